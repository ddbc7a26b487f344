"""`Database.live`: the present value, then each that differs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.live import calls, has_item, settled
from tests.notes import SCHEMA, NewNote, Notes
from tests.waiting import until
from trio_sqlrepo import (
    Database,
    DeclarationError,
    ForeignAwait,
    MappingError,
    NoResult,
    PoolConfig,
    ReadOnlySession,
    Repository,
    SqlError,
    SQLiteConfig,
    UniqueViolation,
    open_database,
    query,
    snapshot,
    transaction,
)

built: list[str] = []


@attrs.frozen
class Seen:
    """A row that tells when it is built."""

    body: str

    def __attrs_post_init__(self) -> None:
        built.append(self.body)


class Boxes(Repository):
    @query("SELECT body FROM note ORDER BY id")
    async def seen(self) -> list[Seen]: ...

    @query("SELECT body FROM note WHERE box = :box ORDER BY id LIMIT 1")
    async def first(self, box: str) -> str: ...

    @query("SELECT box FROM note ORDER BY id")
    async def boxes(self) -> list[str]: ...

    @query("SELECT count(*) FROM note WHERE box = :box")
    async def count(self, box: str) -> int: ...

    @query("SELECT sum(n) FROM checked")
    async def sum(self) -> int | None: ...

    @query("SELECT json_extract(body, '$') FROM note")
    async def parsed(self) -> list[Any]: ...

    @query("SELECT n FROM untyped")
    async def untyped(self) -> list[dict[str, Any]]: ...

    @query("SELECT * FROM untyped")
    async def all_untyped(self) -> list[dict[str, Any]]: ...

    @query("INSERT INTO untyped VALUES (:n)")
    async def put_untyped(self, n: int) -> None: ...

    @query("SELECT count(*) FROM note WHERE box = :box AND body = :body")
    async def count_each(self, notes: Sequence[NewNote]) -> list[int]: ...

    @snapshot
    async def digest(self, boxes: tuple[str, ...]) -> dict[str, int]:
        return {box: await self.count(box) for box in boxes}

    @snapshot
    async def wandering(self) -> list[int]:
        """Read another table once there is a note."""
        if await self.count("go"):
            return [await self.sum() or 0]
        return []

    @snapshot
    async def by_hand(self, box: str) -> Any:
        nested = await self.digest((box,))
        rows = await self.session.execute("SELECT body FROM note WHERE box = ?", (box,))
        named = await self.session.execute(
            "SELECT count(*) FROM note WHERE box = :box AND body <> :body",
            {"box": box, "body": b"x"},
        )
        return nested, rows, named, await self.count_each([NewNote(box, "one")])

    @snapshot
    async def failing(self) -> int:
        if await self.count("bad"):
            raise LookupError
        return 1

    @snapshot
    async def foreign(self) -> None:
        await trio.sleep(0)

    @snapshot
    async def writing(self) -> None:
        await self.session.execute("DELETE FROM note")

    @transaction
    async def swap(self, *bodies: str) -> None:
        for body in bodies:
            await self.session.execute("UPDATE note SET body = ? WHERE id = 1", (body,))


UNTYPED = "CREATE TABLE untyped (n)"
POOLS = {
    "readers": PoolConfig(max_readers=1, reserved_readers=0),
    "one connection": PoolConfig(max_readers=0),
    "memory": PoolConfig(),
}


@pytest.fixture(params=POOLS)
async def db(request: pytest.FixtureRequest, db_path: Path) -> AsyncIterator[Database]:
    path = ":memory:" if request.param == "memory" else db_path
    built.clear()
    async with open_with_boxes(path, POOLS[request.param]) as database:
        yield database


def open_with_boxes(path: Path | str, pool: PoolConfig) -> Any:
    return open_database(
        path,
        repositories=[Notes, Boxes],
        migrations=[*SCHEMA, UNTYPED],
        pool=pool,
        sqlite=SQLiteConfig(synchronous="off"),
    )


# -- values --------------------------------------------------------------------------------------


async def test_the_present_value_then_each_that_differs(db: Database) -> None:
    notes = Notes(db)
    await notes.put("a", "zero")
    async with db.live(notes.bodies) as bodies:
        assert await anext(bodies) == ["zero"]
        await notes.put("a", "one")
        assert await anext(bodies) == ["zero", "one"]
        await notes.empty("nothing")  # changes nothing
        await settled(db)
        assert not has_item(bodies)
        await notes.empty("a")
        assert await anext(bodies) == []
        await notes.put("a", "1")
        found = []
        async for value in bodies:
            found.append(value)
            if len(found) == 3:
                break
            await notes.put("a", "1" * (len(found) + 1))
        assert found == [["1"], ["1", "11"], ["1", "11", "111"]]


async def put(db: Database) -> None:
    await Notes(db).put("b", "one")


async def put_in_batch(db: Database) -> None:
    await Notes(db).put_all([NewNote("b", "one")])


async def put_with_returning(db: Database) -> None:
    await Notes(db).add_all([NewNote("b", "one")])


async def put_in_body(db: Database) -> None:
    await Notes(db).put_two("b", "one", "two")


async def put_in_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        async with tx.savepoint():
            await Notes(tx).put("b", "one")
        await tx.execute("UPDATE note SET box = 'b'")


async def put_ad_hoc(db: Database) -> None:
    await db.execute("INSERT INTO note (box, body) VALUES ('b', 'one')")


async def put_raw(db: Database) -> None:
    await db.write(
        lambda connection: connection.execute("INSERT INTO note (box, body) VALUES ('b', 'one')")
    )


async def put_by_trigger(db: Database) -> None:
    await db.execute(
        "CREATE TRIGGER made AFTER UPDATE ON counter"
        " BEGIN INSERT INTO note (box, body) VALUES ('b', new.n); END"
    )
    await Notes(db).increment()


WAYS = [
    put, put_in_batch, put_with_returning, put_in_body, put_in_transaction, put_ad_hoc, put_raw,
    put_by_trigger,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_to_write_is_seen(
    way: Callable[[Database], Awaitable[None]], db: Database
) -> None:
    async with db.live(Boxes(db).count, "b") as count:
        assert await anext(count) == 0
        await way(db)
        assert await anext(count) > 0


async def test_what_is_undone_is_never_seen(db: Database) -> None:
    notes = Notes(db)
    await notes.put("a", "taken")
    async with db.live(notes.count) as count, db.live(Boxes(db).seen) as seen:
        assert await anext(count) == 1
        await anext(seen)
        with pytest.raises(UniqueViolation):
            await notes.put_two("a", "new", "taken")
        with pytest.raises(LookupError):
            async with db.transaction() as tx:
                await Notes(tx).put("a", "new")
                raise LookupError
        with trio.move_on_after(0) as scope:
            await notes.put("a", "cancelled")
        assert scope.cancelled_caught
        await settled(db)
        assert not has_item(count)
        assert built == ["taken"]


async def test_the_slow_get_the_latest(db: Database) -> None:
    notes = Notes(db)
    async with db.live(notes.count) as count:
        assert await anext(count) == 0
        for number in range(5):
            await notes.put("a", f"{number}")
            await settled(db)
        assert await anext(count) == 5
        assert not has_item(count)


async def test_a_value_that_comes_back_is_none(db: Database) -> None:
    boxes = Boxes(db)
    await Notes(db).put("a", "A")
    async with db.live(boxes.seen) as quick, db.live(boxes.seen) as slow:
        assert await anext(quick) == [Seen("A")] == await anext(slow)
        await boxes.swap("B")
        assert await anext(quick) == [Seen("B")]
        await settled(db)
        assert has_item(slow)
        await boxes.swap("A")
        assert await anext(quick) == [Seen("A")]
        await settled(db)
        assert not has_item(slow)  # it has A
        await boxes.swap("C")
        assert await anext(slow) == [Seen("C")] == await anext(quick)


async def test_the_value_that_is_ready_is_not_made_again(db: Database) -> None:
    boxes = Boxes(db)
    await Notes(db).put("a", "A")
    async with db.live(boxes.seen) as seen:
        await settled(db)
        built.clear()
        await boxes.swap("B", "A")  # the table was written, and the value is as it was
        await settled(db)
        assert built == []
        assert await anext(seen) == [Seen("A")]


async def test_all_who_watch_the_same_share_one_run(db: Database) -> None:
    boxes = Boxes(db)
    async with trio.open_nursery() as nursery:
        values: list[Any] = []

        async def watch() -> None:
            async with db.live(boxes.seen) as seen, db.live(boxes.digest, ("a",)) as digest:
                await anext(seen), await anext(digest)
                waiting.append(None)
                values.append((await anext(seen), await anext(digest)))

        waiting: list[None] = []
        for _ in range(10):
            nursery.start_soon(watch)
        await until(lambda: len(waiting) >= 10)
        await settled(db)
        before = calls(db, "Boxes.seen"), calls(db, "Boxes.count")
        built.clear()
        await Notes(db).put("a", "one")
    assert built == ["one"] * 10
    assert values == [([Seen("one")], {"a": 1})] * 10
    assert len({id(seen) for seen, _ in values}) == len({id(seen[0]) for seen, _ in values}) == 10
    assert len({id(digest) for _, digest in values}) == 10
    # Once for the value, and perhaps a second time for those that were told of it while it ran.
    assert calls(db, "Boxes.seen") - before[0] <= 2
    assert calls(db, "Boxes.count") - before[1] <= 2


async def test_what_is_not_read_is_not_looked_at(db: Database) -> None:
    boxes, notes = Boxes(db), Notes(db)
    await notes.put("a", "one")
    async with db.live(boxes.boxes) as watched, db.live(notes.counted) as counted:
        assert await anext(watched) == ["a"]
        assert await anext(counted) == 0
        await settled(db)
        before = calls(db, "Boxes.boxes"), calls(db, "Notes.counted")
        await notes.increment()
        assert await anext(counted) == 1
        await settled(db)
        assert calls(db, "Boxes.boxes") == before[0]
        await db.execute("UPDATE note SET box = 'b'")
        assert await anext(watched) == ["b"]
        await settled(db)
        assert calls(db, "Notes.counted") == before[1] + 1


async def test_a_column_that_is_not_read_is_not_looked_at(db: Database) -> None:
    boxes = Boxes(db)
    await db.execute("INSERT INTO note (box, body) VALUES ('a', 'one')")
    await db.execute("CREATE TABLE plain (a, b)")
    await db.execute("INSERT INTO plain VALUES (1, 1)")
    async with db.live(boxes.boxes) as watched:
        assert await anext(watched) == ["a"]
        await settled(db)
        before = calls(db, "Boxes.boxes")
        await db.execute("UPDATE plain SET a = 2")
        await settled(db)
        assert calls(db, "Boxes.boxes") == before


async def test_values_are_compared_to_the_type(db: Database) -> None:
    await Boxes(db).put_untyped(1)
    async with db.live(Boxes(db).untyped) as rows:
        assert await anext(rows) == [{"n": 1}]
        await db.execute("UPDATE untyped SET n = 1.0")
        (row,) = await anext(rows)
        assert type(row["n"]) is float


async def test_columns_count_as_well(db: Database) -> None:
    async with db.live(Boxes(db).all_untyped) as rows:
        await Boxes(db).put_untyped(1)
        while await anext(rows) != [{"n": 1}]:
            pass
        await db.execute("ALTER TABLE untyped RENAME n TO m")
        assert await anext(rows) == [{"m": 1}]


# -- bodies --------------------------------------------------------------------------------------


async def test_a_body_is_watched_as_well(db: Database) -> None:
    boxes, notes = Boxes(db), Notes(db)
    async with db.live(boxes.digest, ("a", "b")) as digest:
        assert await anext(digest) == {"a": 0, "b": 0}
        await notes.put("b", "one")
        assert await anext(digest) == {"a": 0, "b": 1}
        await notes.put("c", "two")
        await settled(db)
        assert not has_item(digest)


async def test_a_body_that_reads_elsewhere_is_watched_there(db: Database) -> None:
    async with db.live(Boxes(db).wandering) as value:
        assert await anext(value) == []
        await Notes(db).put("go", "one")
        assert await anext(value) == [0]
        await db.execute("INSERT INTO checked VALUES (5)")
        assert await anext(value) == [5]
        await db.execute("DELETE FROM note")
        assert await anext(value) == []
        await settled(db)
        before = calls(db, "Boxes.count")
        await db.execute("INSERT INTO checked VALUES (5)")
        await settled(db)
        assert calls(db, "Boxes.count") == before


async def test_a_body_may_do_all_that_reads(db: Database) -> None:
    async with db.live(Boxes(db).by_hand, box="b") as value:
        assert await anext(value) == ({"b": 0}, [], [(0,)], [0])
        await Notes(db).put("b", "one")
        assert await anext(value) == ({"b": 1}, [("one",)], [(1,)], [1])
        await Notes(db).put("b", "two")
        assert await anext(value) == ({"b": 2}, [("one",), ("two",)], [(2,)], [1])


# -- errors --------------------------------------------------------------------------------------


async def test_an_error_of_the_query_ends_it_alone(db: Database) -> None:
    boxes, notes = Boxes(db), Notes(db)
    await notes.put("a", "1")
    async with (
        db.live(boxes.first, "a") as first,
        db.live(boxes.parsed) as parsed,
        db.live(notes.count) as count,
    ):
        assert await anext(first) == "1"
        assert await anext(parsed) == [1]
        await db.execute("UPDATE note SET body = '{'")
        with pytest.raises(SqlError, match=r"Boxes\.parsed: malformed JSON"):
            await anext(parsed)
        assert await anext(first) == "{"
        await notes.empty("a")
        with pytest.raises(NoResult, match=r"Boxes\.first gave no row"):
            await anext(first)
        for ended in (first, parsed):
            with pytest.raises(StopAsyncIteration):
                await anext(ended)
        await settled(db)
        before = calls(db, "Boxes.first")
        await notes.put("a", "again")
        while await anext(count) != 1:
            pass
        assert calls(db, "Boxes.first") == before
    assert (await notes.add("b", "well")).body == "well"


async def test_each_who_watches_gets_an_error_of_its_own(db: Database) -> None:
    boxes = Boxes(db)
    async with db.live(boxes.first, "a") as one, db.live(boxes.first, "a") as other:
        with pytest.raises(NoResult) as first:
            await anext(one)
        with pytest.raises(NoResult) as second:
            await anext(other)
        assert first.value is not second.value


async def test_a_row_that_does_not_fit_ends_it(db: Database) -> None:
    await db.execute("CREATE TABLE wrong (n)")
    async with db.live(Boxes(db).sum) as value:
        assert await anext(value) is None
        await db.execute("DROP TABLE checked")
        with pytest.raises(DeclarationError, match="no longer fits the schema"):
            await anext(value)
    await db.execute("CREATE TABLE checked (n)")
    await db.execute("INSERT INTO checked VALUES (1.5)")
    async with db.live(Boxes(db).sum) as value:
        with pytest.raises(MappingError, match="REAL"):
            await anext(value)


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("failing", LookupError, None),
        ("foreign", ForeignAwait, "sleep"),
        ("writing", ReadOnlySession, "writes, but Boxes.writing only reads"),
    ],
)
async def test_what_a_body_raises_ends_it(
    name: str, error: type[Exception], says: str | None, db: Database
) -> None:
    await Notes(db).put("bad", "one")
    async with db.live(getattr(Boxes(db), name)) as value:
        with pytest.raises(error, match=says):
            await anext(value)
        with pytest.raises(StopAsyncIteration):
            await anext(value)
