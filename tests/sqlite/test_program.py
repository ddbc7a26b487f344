"""What a program opens and loads."""

from __future__ import annotations

from typing import Any

from trio_sqlrepo._sqlite.program import Btree, Opened, opened_by

BTREES = {
    2: Btree("t", ("a", "b", "c")),
    3: Btree("t", ("b", "c"), is_index=True),
    4: Btree("u", ("x",), whole=True),
}


def program(*operations: tuple[Any, ...]) -> Opened:
    return opened_by(
        ((at, *operation, None, 0, None) for at, operation in enumerate(operations)), BTREES.get
    )


def test_columns_that_are_loaded() -> None:
    opened = program(
        ("OpenRead", 0, 2, 0), ("Rewind", 0, 9, 0), ("Column", 0, 2, 1), ("Column", 5, 0, 1)
    )
    assert opened == Opened({"t": {"c"}})


def test_a_table_of_which_nothing_is_loaded() -> None:
    assert program(("OpenRead", 0, 2, 0), ("Count", 0, 1, 0)) == Opened({"t": set()})


def test_an_index_that_is_searched() -> None:
    assert program(("OpenRead", 1, 3, 0), ("SeekGE", 1, 9, 1)) == Opened({"t": {"b", "c"}})
    assert program(("OpenRead", 1, 3, 0), ("IdxGT", 1, 9, 1)) == Opened({"t": {"b", "c"}})
    assert program(("OpenRead", 1, 3, 0), ("IdxRowid", 1, 9, 0)) == Opened({"t": set()})
    # Beyond the columns of the index lies the rowid.
    assert program(("ReopenIdx", 1, 3, 0), ("Column", 1, 2, 0)) == Opened({"t": set()})
    # A table is searched by its rowid.
    assert program(("OpenRead", 0, 2, 0), ("SeekRowid", 0, 9, 1)) == Opened({"t": set()})


def test_rows_that_are_taken_whole() -> None:
    assert program(("OpenRead", 0, 4, 0), ("Column", 0, 0, 1)) == Opened({"u": None})
    assert program(("OpenRead", 0, 2, 0), ("RowData", 0, 1, 0)) == Opened({"t": None})


def test_what_is_no_table_of_the_file() -> None:
    assert program(("VOpen", 0, 0, 0), ("VOpen", 1, 0, 0)) == Opened(virtual=2)
    assert program(("OpenRead", 0, 7, 0)) == Opened(strange=True)
    assert program(("OpenRead", 0, 2, 1)) == Opened(strange=True)  # a temporary one
