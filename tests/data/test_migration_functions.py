"""Migrations in Python: in order with the scripts, in their transaction, known by name alone."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from trio_sqlrepo import Migration, MigrationError, SqlError, open_database
from trio_sqlrepo._base.config import SQLiteConfig
from trio_sqlrepo._base.driver import Driver, Interrupted, Role
from trio_sqlrepo._data.migrate import migrate, rehearse
from trio_sqlrepo._data.migration import MigrationSource, read_migrations
from trio_sqlrepo._sqlite.opening import open_driver

WORDS = "CREATE TABLE word (text TEXT NOT NULL, length INTEGER) STRICT"
SEED = "INSERT INTO word (text) VALUES ('one'), ('three')"


def measure(connection: apsw.Connection) -> None:
    for rowid, text in connection.execute("SELECT rowid, text FROM word").fetchall():
        connection.execute("UPDATE word SET length = ? WHERE rowid = ?", (len(str(text)), rowid))


MEASURE = Migration("measure", run=measure)


@pytest.fixture
def driver(db_path: Path) -> Iterator[Driver]:
    config = SQLiteConfig(busy_timeout=0)
    with closing(open_driver(str(db_path), config, Role.MIGRATOR)) as driver:
        yield driver


def apply(driver: Driver, source: MigrationSource) -> None:
    migrate(driver, read_migrations(source))


def failure(driver: Driver, source: MigrationSource) -> str:
    with pytest.raises(MigrationError) as caught:
        apply(driver, source)
    assert not driver.in_transaction
    return str(caught.value)


def names(driver: Driver) -> list[Any]:
    rows = driver.execute("SELECT name FROM _trio_sqlrepo_migration ORDER BY number", ())
    return [name for (name,) in rows]


def test_a_function_runs_once_in_its_place_among_the_scripts(driver: Driver) -> None:
    after = "UPDATE word SET length = length * 10"
    apply(driver, [WORDS, SEED, MEASURE, after])
    apply(driver, [WORDS, SEED, MEASURE, after])
    assert driver.execute("SELECT length FROM word", ()) == [(30,), (50,)]
    assert names(driver) == ["0001", "0002", "measure", "0004"]


async def test_a_function_runs_for_a_database_in_memory() -> None:
    async with open_database(":memory:", migrations=[WORDS, SEED, MEASURE]) as db:
        assert await db.execute("SELECT length FROM word") == [(3,), (5,)]


def test_a_failing_function_leaves_nothing_and_says_where(driver: Driver) -> None:
    def fail(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO word (text) VALUES ('gone')")
        raise ValueError("secret")

    said = failure(driver, [WORDS, Migration("fails", run=fail), SEED])
    line = fail.__code__.co_firstlineno + 2
    assert said == (
        f"Migration fails failed: {__file__}, line {line}: ValueError raised. Nothing of it stays;"
        " mend it and open the database again."
    )
    assert driver.execute("SELECT * FROM word", ()) == []
    assert names(driver) == ["0001"]


def test_an_error_of_sqlite_in_a_function_is_shown_with_its_line(driver: Driver) -> None:
    def fail(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO word (text) VALUES (NULL)")

    with pytest.raises(MigrationError) as caught:
        apply(driver, [WORDS, Migration("fails", run=fail)])
    line = fail.__code__.co_firstlineno + 1
    assert f"line {line}: NOT NULL constraint failed: word.text." in str(caught.value)


def test_a_function_that_cannot_be_placed_fails_all_the_same(driver: Driver) -> None:
    class Fill:
        def __call__(self, _: apsw.Connection) -> None:
            raise LookupError

    said = failure(driver, [Migration("fills", run=Fill())])
    assert said.startswith("Migration fills failed: LookupError raised.")


def test_foreign_keys_are_off_for_a_function_and_checked_after_it(driver: Driver) -> None:
    family = """
        CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (parent INTEGER REFERENCES parent ON DELETE CASCADE);
        INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1);
    """

    def orphan(connection: apsw.Connection) -> None:
        connection.execute("DELETE FROM parent")

    said = failure(driver, [family, Migration("orphan", run=orphan)])
    assert "In child, 1 row refers by parent to no row of parent." in said
    assert driver.execute("SELECT id FROM parent", ()) == [(1,)]
    assert driver.execute("SELECT parent FROM child", ()) == [(1,)]


@pytest.mark.parametrize("sql", ["COMMIT", "ROLLBACK", "SAVEPOINT x", "PRAGMA foreign_keys = ON"])
def test_a_function_cannot_leave_its_transaction(driver: Driver, sql: str) -> None:
    def leave(connection: apsw.Connection) -> None:
        connection.execute("CREATE TABLE left_behind (x)")
        connection.execute(sql)

    assert "is not allowed here" in failure(driver, [Migration("leaves", run=leave)])
    assert driver.execute("SELECT name FROM sqlite_schema", ()) == []


def test_a_transaction_that_a_function_lost_is_no_migration(driver: Driver) -> None:
    def lose(connection: apsw.Connection) -> None:
        connection.execute("CREATE TABLE t (x UNIQUE ON CONFLICT ROLLBACK)")
        connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(apsw.ConstraintError):
            connection.execute("INSERT INTO t VALUES (1)")

    assert failure(driver, [Migration("loses", run=lose)]).startswith("Migration loses failed: ")
    assert driver.execute("SELECT name FROM sqlite_schema", ()) == []


def test_the_wish_to_stop_is_no_failure(driver: Driver) -> None:
    def stop(_: apsw.Connection) -> None:
        raise Interrupted("…")

    with pytest.raises(Interrupted):
        apply(driver, [Migration("stops", run=stop)])


# -- the rule of what is recorded --------------------------------------------------------------


def test_of_a_function_only_the_name_is_recorded(driver: Driver) -> None:
    apply(driver, [WORDS, MEASURE])
    apply(driver, [WORDS, Migration("measure", run=print)])
    ((checksum,),) = driver.execute(
        "SELECT checksum FROM _trio_sqlrepo_migration WHERE name = 'measure'", ()
    )
    assert checksum == "function"


def test_a_function_is_no_script(driver: Driver) -> None:
    apply(driver, [WORDS, MEASURE])
    assert "Migration measure was changed" in failure(driver, [WORDS, Migration("measure", "")])
    assert "Migration 0001 was changed" in failure(driver, [Migration("0001", run=print), MEASURE])


def test_another_function_in_its_place_is_not_taken_for_its_new_name(driver: Driver) -> None:
    apply(driver, [WORDS, MEASURE])
    said = failure(driver, [WORDS, Migration("other", run=measure)])
    assert said.startswith("Migration measure was applied to this database on ")
    assert said.endswith(" and is missing here, where other has its place. Restore it.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "'x' needs either sql or run=, and not both"),
        ({"sql": "", "run": print}, "'x' needs either sql or run=, and not both"),
        ({"run": "SELECT 1"}, "Migration.run must be a function of the connection"),
    ],
)
def test_a_migration_is_one_thing(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Migration("x", **arguments)


def test_an_async_function_is_refused() -> None:
    async def run(_: object) -> None: ...

    with pytest.raises(TypeError, match="must be a plain function: it runs on the connection's"):
        Migration("x", run=cast("Any", run))


async def waits() -> None: ...


async def yields_and_waits() -> AsyncGenerator[None]:
    yield


@pytest.mark.parametrize(
    ("run", "kind"),
    [
        (lambda _: (yield), "generator"),
        (lambda _: waits(), "coroutine"),
        (lambda _: yields_and_waits(), "async_generator"),
    ],
)
def test_a_function_that_has_not_run_is_not_recorded(
    driver: Driver, run: Callable[[object], object], kind: str
) -> None:
    said = failure(driver, [Migration("lazy", run=run)])
    assert f"it gave a {kind} and has done nothing; write a plain function" in said
    assert driver.execute("SELECT name FROM sqlite_schema", ()) == []


# -- files of Python ---------------------------------------------------------------------------

FILE = """\
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Word:
    text: str

def run(connection):
    words = [Word(text) for (text,) in connection.execute("SELECT text FROM word").fetchall()]
    for word in words:
        connection.execute(
            "UPDATE word SET length = ? WHERE text = ?", (len(word.text), word.text)
        )
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "migrations"
    directory.mkdir()
    (directory / "0001_word.sql").write_text(WORDS)
    (directory / "0002_seed.sql").write_text(SEED)
    (directory / "helpers.py").write_text("raise AssertionError")
    return directory


def test_a_file_of_python_runs_in_its_place(driver: Driver, directory: Path) -> None:
    (directory / "0003_measure.py").write_text(FILE)
    (directory / "0004_ten.sql").write_text("UPDATE word SET length = length * 10")
    apply(driver, directory)
    assert driver.execute("SELECT length FROM word", ()) == [(30,), (50,)]
    assert names(driver) == ["0001_word", "0002_seed", "0003_measure", "0004_ten"]
    assert not [name for name in sys.modules if name.startswith("_trio_sqlrepo_migration")]


def test_an_applied_file_is_never_executed_again(driver: Driver, directory: Path) -> None:
    (directory / "0003_measure.py").write_text(FILE)
    apply(driver, directory)
    (directory / "0003_measure.py").write_text("import a_module_that_is_long_gone")
    apply(driver, directory)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef run(connection):\n    raise OSError", "0003_bad.py, line 3: OSError raised."),
        ("x = 1\n\nimport gone_module", "0003_bad.py, line 3: ModuleNotFoundError raised."),
        ("x = 1\ndef", "0003_bad.py, line 2: SyntaxError raised."),
        ("import sys\nsys.exit(4)", "0003_bad.py, line 2: SystemExit raised."),
        ("x = 1", "0003_bad.py must define a plain function `def run(connection)`."),
        ("run = 1", "0003_bad.py must define a plain function `def run(connection)`."),
        (
            "async def run(connection): ...",
            "0003_bad.py must define a plain function `def run(connection)`.",
        ),
    ],
)
def test_a_bad_file_is_told_of(driver: Driver, directory: Path, text: str, said: str) -> None:
    (directory / "0003_bad.py").write_text(text)
    told = failure(driver, directory)
    assert told.startswith("Migration 0003_bad failed: ")
    assert said in told
    assert names(driver) == ["0001_word", "0002_seed"]


def test_a_number_is_one_files(directory: Path) -> None:
    (directory / "0002_also.py").write_text(FILE)
    with pytest.raises(MigrationError, match="bear the same number"):
        read_migrations(directory)


# -- the rehearsal -----------------------------------------------------------------------------


def test_a_rehearsal_finds_what_fails_and_leaves_nothing(driver: Driver) -> None:
    apply(driver, [WORDS])
    migrations = read_migrations([WORDS, SEED, MEASURE])
    assert [each.name for each in rehearse(driver, migrations)] == ["0002", "measure"]
    assert driver.execute("SELECT * FROM word", ()) == []
    assert names(driver) == ["0001"]
    with pytest.raises(MigrationError, match="Migration 0004 failed: Statement 1, line 1"):
        rehearse(driver, read_migrations([WORDS, SEED, MEASURE, "DROP TABLE nothing"]))
    assert not driver.in_transaction
    assert driver.execute("SELECT * FROM word", ()) == []


def test_errors_of_the_library_keep_their_text(driver: Driver) -> None:
    def fail(_: apsw.Connection) -> None:
        raise SqlError("The sentence.")

    assert "SqlError" not in failure(driver, [Migration("f", run=fail)])
    assert "line" in failure(driver, [Migration("f", run=fail)])
    assert "The sentence." in failure(driver, [Migration("f", run=fail)])
