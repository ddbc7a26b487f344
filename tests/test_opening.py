"""`open_database`: paths, what goes wrong, and how the block is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import cattrs
import pytest
import trio

from tests.notes import Notes, assert_healthy, open_notes, pool_threads
from tests.support import read_in_child, run_child
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    DeclarationError,
    InternalError,
    MigrationError,
    OpenError,
    PoolConfig,
    Repository,
    SQLiteConfig,
    SqlRepoError,
    open_database,
    query,
)
from trio_sqlrepo._opening import Parts
from trio_sqlrepo._pool import watch
from trio_sqlrepo._sqlite import open_driver


class Oops(Exception):
    pass


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    assert pool_threads() == []
    yield
    assert pool_threads() == []


# -- paths -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "a?mode=memory", "a?mode=ro", "file:x", "file:x?mode=memory&cache=shared", "%41", "a%00b",
        "with spaces", "a#b", "a&b=c", "é—ü", "-wal", "quote'\"", "a\nb", ":memory:x",
        "very." + "long" * 40,
    ],
)  # fmt: skip
async def test_a_path_is_a_path(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    async with open_notes(path) as db:
        await Notes(db).put("b", "x")
        assert db.stats().path == str(path)
        # The file is there, under that very name, and no other.
        assert {entry.name for entry in tmp_path.iterdir()} == {name, name + "-wal", name + "-shm"}
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert read_in_child(path, "SELECT body FROM note") == [("x",)]


async def test_a_relative_path_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with open_notes("file:here.db", pool=PoolConfig(min_readers=0)) as db:
        monkeypatch.chdir(elsewhere)
        await Notes(db).put("b", "x")
        assert await Notes(db).count() == 1  # on a connection that was opened just now
        assert repr(db) == "<Database 'file:here.db' open>"
    assert list(elsewhere.iterdir()) == []
    assert [entry.name for entry in tmp_path.glob("*.db")] == ["file:here.db"]


@attrs.frozen
class Pathy:
    path: object

    def __fspath__(self) -> Any:
        return self.path


async def test_any_path_like_will_do(tmp_path: Path) -> None:
    for path in (Pathy(str(tmp_path / "a.db")), trio.Path(tmp_path / "b.db"), tmp_path / "c.db"):
        async with open_notes(path) as db:  # type: ignore[arg-type]
            await assert_healthy(db)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.db", "b.db", "c.db"]


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (None, TypeError, "takes a path as str or PathLike, not NoneType"),
        (3, TypeError, "not int"),
        (b"a.db", TypeError, "not bytes"),
        (Pathy(b"a.db"), TypeError, "takes a path of str, not of bytes"),
        ("", OpenError, "'' is no file name"),
        ("a\0b", OpenError, "is no file name"),
        ("no/such/directory/a.db", OpenError, "there is no directory"),
        ("/dev/null", OpenError, "is no regular file"),
        (".", OpenError, "is a directory"),
        ("x" * 300, OpenError, "can't be"),
    ],
)
async def test_what_is_no_path(path: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        async with open_notes(path):
            raise AssertionError


async def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "real" / "a.db")
    async with open_notes(tmp_path / "link.db") as db:
        await Notes(db).put("b", "x")
        await assert_healthy(db)
    assert read_in_child(tmp_path / "real" / "a.db", "SELECT body FROM note") == [("x",)]


async def test_memory_is_private_and_gone_with_the_block() -> None:
    async with open_notes(":memory:") as one, open_notes(":memory:") as other:
        await Notes(one).put("b", "x")
        assert (await Notes(one).count(), await Notes(other).count()) == (1, 0)
        assert one.stats().path == ":memory:"
        assert (one.stats().writers.size, one.stats().readers.size) == (1, 0)
    async with open_notes(":memory:") as again:
        assert await Notes(again).count() == 0


async def test_memory_enforces_what_a_file_does() -> None:
    script = (
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);"
        "CREATE TABLE child (parent INTEGER REFERENCES parent)"
    )
    for on in (True, False):
        async with open_database(
            ":memory:", migrations=[script], sqlite=SQLiteConfig(foreign_keys=on)
        ) as db:
            if on:
                with pytest.raises(SqlRepoError, match="FOREIGN KEY"):
                    await db.execute("INSERT INTO child VALUES (1)")
            else:
                await db.execute("INSERT INTO child VALUES (1)")


# -- what goes wrong while opening ---------------------------------------------------------------


class Wrong(Repository):
    @query("SELECT no_such_column FROM note")
    async def first(self) -> int: ...

    @query("SELECT body FROM note WHERE id = :id")
    async def second(self, key: int) -> str: ...


async def test_all_wrong_declarations_together_and_no_group(db_path: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        async with open_notes(db_path, Wrong):
            raise AssertionError
    assert len(caught.value.problems) >= 2
    assert "Wrong.first" in str(caught.value)
    assert "Wrong.second" in str(caught.value)
    async with open_notes(db_path) as db:
        await assert_healthy(db)


@pytest.mark.parametrize("path", ["file", ":memory:"])
async def test_a_failing_migration(path: str, db_path: Path) -> None:
    with pytest.raises(MigrationError, match=r"Migration 0002 failed: .*nonsense"):
        async with open_database(
            path if path == ":memory:" else db_path,
            migrations=["CREATE TABLE a (x)", "CREATE TABLE b (x); nonsense"],
        ):
            raise AssertionError


async def test_migrations_of_a_wrong_kind(db_path: Path) -> None:
    with pytest.raises(TypeError, match="bare str"):
        async with open_database(db_path, migrations="CREATE TABLE a (x)"):
            raise AssertionError
    assert not db_path.exists()


async def test_no_database(db_path: Path) -> None:
    before = b"This is no database, and it is longer than a header would be. " * 20
    db_path.write_bytes(before)
    with pytest.raises(SqlRepoError) as caught:
        async with open_notes(db_path):
            raise AssertionError
    assert str(db_path) in str(caught.value)
    assert db_path.read_bytes() == before


@pytest.mark.parametrize("which", ["writer", "spare writer", "reader"])
async def test_whichever_connection_fails_it_fails_alone(
    which: str, db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are open by then; they are closed again."""
    opened: list[str] = []

    def fail(path: str, config: Any, role: Any, **more: Any) -> Any:
        opened.append(role.value)
        if {"writer": 2, "spare writer": 3, "reader": 4}[which] == len(opened):
            raise OpenError("no more")
        return open_driver(path, config, role, **more)

    monkeypatch.setattr("trio_sqlrepo._opening.Parts", lambda: Parts(open_driver=fail))
    with pytest.raises(OpenError, match="no more"):
        async with open_notes(db_path, pool=PoolConfig(max_writers=2, min_readers=2)):
            raise AssertionError
    assert opened[0] == "migrator"


async def test_outside_of_trio(db_path: Path) -> None:
    def drive() -> None:
        open_notes(db_path).__aenter__().send(None)

    with pytest.raises(RuntimeError):
        await trio.to_thread.run_sync(drive)
    assert not db_path.exists()


# -- repositories, converter ---------------------------------------------------------------------


async def test_repositories_may_be_any_iterable(db_path: Path) -> None:
    async with open_notes(db_path):
        pass
    for repositories in ((Notes,), {Notes}, iter([Notes]), [Notes, Notes]):
        async with open_database(db_path, repositories=repositories) as db:
            assert await Notes(db).count() == 0


async def test_a_lone_repository_is_no_list(db_path: Path) -> None:
    with pytest.raises(TypeError, match=r"takes a list: repositories=\[Notes\]"):
        open_database(db_path, repositories=Notes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pool", {"max_readers": 2}, r"takes a PoolConfig, not dict; .*PoolConfig\.from_mapping"),
        ("sqlite", PoolConfig(), r"takes a SQLiteConfig, not PoolConfig"),
        ("pool", None, r"takes a PoolConfig, not NoneType"),
    ],
)
async def test_what_is_no_config(name: str, value: Any, message: str, db_path: Path) -> None:
    with pytest.raises(TypeError, match=message):
        open_database(db_path, **{name: value})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(int, "no subclass of Repository"), (3, "is no class"), (Repository, "")],
)
async def test_what_is_no_repository(wrong: Any, message: str, db_path: Path) -> None:
    if wrong is Repository:  # the base itself: nothing is declared, and nothing is wrong
        async with open_database(db_path, repositories=[wrong]) as db:
            assert wrong(db).session is db
        return
    with pytest.raises(DeclarationError, match=message):
        async with open_database(db_path, repositories=[wrong]):
            raise AssertionError


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


class Prices(Repository):
    @query("SELECT :price")
    async def echo(self, price: Money) -> Money: ...


async def test_the_converter_maps_types_of_the_user_s() -> None:
    converter = cattrs.Converter()
    converter.register_unstructure_hook(Money, lambda money: money.cents)
    converter.register_structure_hook(Money, lambda value, _: Money(value))
    async with open_database(":memory:", repositories=[Prices], converter=converter) as db:
        assert (await Prices(db).echo(Money(250))).cents == 250
    with pytest.raises(DeclarationError, match="Money"):
        async with open_database(":memory:", repositories=[Prices]):
            raise AssertionError


# -- pools ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool", "writers", "readers"),
    [
        (PoolConfig(), 1, 1),
        (PoolConfig(min_readers=3), 1, 3),
        (PoolConfig(min_readers=0), 1, 0),
        (PoolConfig(max_readers=0), 1, 0),
        (PoolConfig(max_writers=2, min_readers=2), 2, 2),
    ],
)
async def test_so_many_connections_are_opened_at_the_start(
    pool: PoolConfig, writers: int, readers: int, db_path: Path
) -> None:
    async with open_notes(db_path, pool=pool) as db:
        stats = db.stats()
        assert (stats.writers.size, stats.readers.size) == (writers, readers)
        await assert_healthy(db)


async def test_one_file_may_be_opened_twice(db_path: Path) -> None:
    async with open_notes(db_path) as one, open_notes(db_path) as other:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(Notes(one).put, "one", f"one {number}")
                nursery.start_soon(Notes(other).put, "other", f"other {number}")
        assert await Notes(one).count() == await Notes(other).count() == 40


def execute(connection: Any, sql: str) -> None:
    connection.execute(sql)


class Columns(Repository):
    @query("SELECT id, extra FROM wide")
    async def unfit(self) -> list[tuple[int, str]]: ...

    @query("SELECT id FROM wide")
    async def fit(self) -> list[int]: ...


async def test_a_query_that_has_become_unfit_does_not_keep_a_reader_out(db_path: Path) -> None:
    async with open_database(
        db_path,
        repositories=[Columns],
        migrations=["CREATE TABLE wide (id INTEGER PRIMARY KEY, extra TEXT NOT NULL)"],
        pool=PoolConfig(min_readers=0, max_readers=2),
    ) as db:
        assert db.stats().readers.size == 0
        await db.write(execute, "ALTER TABLE wide RENAME COLUMN extra TO other")
        assert await Columns(db).fit() == []  # on a reader that is opened now
        with pytest.raises(DeclarationError, match=r"Columns\.unfit"):
            await Columns(db).unfit()
        await db.write(execute, "ALTER TABLE wide RENAME COLUMN other TO extra")
        assert await Columns(db).unfit() == []
        assert db.stats().readers.failed == 0


# -- leaving the block -----------------------------------------------------------------------------


def group() -> BaseExceptionGroup[BaseException]:
    return ExceptionGroup("the user's", [Oops(1), ExceptionGroup("inner", [ValueError(2)])])


class MyGroup(ExceptionGroup[Exception]):
    """Without `derive`, so a copy would be of another class."""


@pytest.mark.parametrize(
    "make",
    [
        Oops, KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, StopAsyncIteration,
        group, lambda: MyGroup("mine", [Oops()]), lambda: BaseExceptionGroup("b", [SystemExit()]),
    ],
)  # fmt: skip
async def test_an_exception_leaves_as_itself(
    make: Callable[[], BaseException], db_path: Path
) -> None:
    raised = make()
    with pytest.raises(type(raised)) as caught:
        async with open_notes(db_path) as db:
            await Notes(db).put("b", "kept")
            raise raised
    assert caught.value is raised
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert read_in_child(db_path, "SELECT body FROM note") == [("kept",)]


async def test_its_context_stays_what_it_was(db_path: Path) -> None:
    with pytest.raises(Oops) as caught:
        async with open_notes(db_path):
            try:
                raise ValueError
            except ValueError:
                raise Oops  # noqa: B904
    assert isinstance(caught.value.__context__, ValueError)
    assert caught.value.__context__.__context__ is None


async def test_cancelled_it_is_left_as_cancelled(db_path: Path) -> None:
    with trio.CancelScope() as scope:
        async with open_notes(db_path):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught


async def test_an_exception_in_a_cancelled_block_is_not_lost(db_path: Path) -> None:
    raised = Oops()
    with trio.CancelScope() as scope, pytest.raises(Oops) as caught:
        async with open_notes(db_path):
            scope.cancel()
            raise raised
    assert caught.value is raised


async def test_a_trio_run_without_strict_groups(db_path: Path) -> None:
    """It asks for nurseries that raise a lone exception as it is; a group in one stays a group."""
    script = f"""
import trio, warnings
from tests.notes import Notes, open_notes

async def main():
    raised = ExceptionGroup("mine", [ValueError()])
    try:
        async with open_notes({str(db_path)!r}) as db:
            await Notes(db).put("b", "x")
            raise raised
    except ExceptionGroup as error:
        assert error is raised
    print("as itself")

warnings.simplefilter("ignore")
trio.run(main, strict_exception_groups=False)
"""
    child = run_child("-c", script)
    assert child.stdout == "as itself\n", child.stderr


# -- bugs of the library ---------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["well", "with its own error"])
async def test_a_crash_in_here_surfaces_as_itself(
    ends: str, db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = ZeroDivisionError("a bug")

    async def broken(_: Any) -> None:
        raise crash

    monkeypatch.setattr(watch, "watch_ages", broken)

    async def use(db: Database) -> None:
        await until(lambda: db.stats().state != "open")
        with pytest.raises(InternalError, match="because of a bug in trio_sqlrepo") as caught:
            await Notes(db).count()
        assert caught.value.__cause__ is crash
        if ends != "well":
            raise Oops

    with pytest.raises(ZeroDivisionError if ends == "well" else Oops) as caught:
        async with open_notes(db_path) as db:
            await use(db)
    if ends == "well":
        assert caught.value is crash
    assert db.stats().state == "stopped"
