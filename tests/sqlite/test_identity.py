"""Whether the file is still the one that was opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sqlite.support import run_in, writes
from trio_sqlrepo._base.config import SqlFunction, SQLiteConfig
from trio_sqlrepo._base.driver import Interrupted, Role, Verdict
from trio_sqlrepo._base.errors import DatabaseReplaced
from trio_sqlrepo._sqlite.identity import FileIdentity
from trio_sqlrepo.testing import ChildReader

if TYPE_CHECKING:
    from tests.sqlite.support import Opener
    from trio_sqlrepo._sqlite import SqliteDriver

INSERT = writes("INSERT INTO room (name) VALUES ('cellar')")


def test_the_same_file_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    identity = FileIdentity(str(path))
    path.write_text("more")
    identity.check()
    assert repr(identity) == f"<FileIdentity {path}>"


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_commit_into_a_deleted_file_is_not_acknowledged(
    writer: SqliteDriver, db_path: Path, suffix: str
) -> None:
    run_in(writer, INSERT)
    Path(f"{db_path}{suffix}").unlink()
    writer.begin_write()
    writer.execute("DELETE FROM room")
    with pytest.raises(DatabaseReplaced, match=r"is gone") as caught:
        writer.commit()
    assert writer.verdict(caught.value) is Verdict.UNKNOWN
    with pytest.raises(DatabaseReplaced):
        writer.probe()


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_replaced_file_is_noticed(writer: SqliteDriver, db_path: Path, suffix: str) -> None:
    writer.probe()
    other = db_path.with_name("other")
    other.touch()
    other.replace(f"{db_path}{suffix}")
    with pytest.raises(DatabaseReplaced, match="is another file than the one opened"):
        writer.probe()


@pytest.mark.parametrize("told_to_end", [False, True])
def test_the_wal_goes_into_a_file_that_moved_once_its_readers_have_ended(
    writer: SqliteDriver, reader: SqliteDriver, db_path: Path, *, told_to_end: bool
) -> None:
    run_in(writer, INSERT)
    reader.begin_read()
    db_path.rename(db_path.with_name("moved"))

    def end_the_reader() -> bool:
        reader.close()
        return told_to_end

    writer.give_up = end_the_reader
    writer.close()
    wal = Path(f"{db_path}-wal")
    assert not wal.exists() or not wal.stat().st_size


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_wal_that_was_deleted_goes_into_the_file_as_a_whole(
    opened: Opener, reader: SqliteDriver, db_path: Path, *, interrupted: bool
) -> None:
    """What a checkpoint moves beside a reader is parts of two states: with the WAL gone, damage."""

    def stop() -> int:
        writer.abort()
        return 1

    writer = opened(Role.WRITER, SQLiteConfig(functions={"stop": SqlFunction(call=stop)}))
    grow = writes("INSERT INTO room (name) SELECT hex(randomblob(2000)) FROM room, room AS other")
    for _ in range(3):
        run_in(writer, grow)
    reader.begin_read()
    run_in(writer, writes("DELETE FROM room WHERE id % 2"))
    rows = writer.execute("SELECT count(*) FROM room")
    Path(f"{db_path}-wal").unlink()
    if interrupted:
        with pytest.raises(Interrupted):  # which is in effect until the next statement
            writer.execute(
                "WITH n(i) AS (SELECT stop() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
            )

    def end_the_reader() -> bool:
        reader.close()
        return False

    writer.give_up = end_the_reader
    writer.close()
    with ChildReader() as child:
        assert child.read(db_path, "PRAGMA integrity_check") == [("ok",)]
        assert child.read(db_path, "SELECT count(*) FROM room") == rows


def test_reading_acknowledges_nothing_and_compares_nothing(
    reader: SqliteDriver, db_path: Path
) -> None:
    db_path.unlink()
    reader.begin_read()
    reader.commit()
