"""A look: what is read once, what is made anew, whose error it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from tests.fake_driver import Act, FakeDriver, FakeFile, Play, broken, call, statement
from tests.worker.support import Desk
from trio_sqlrepo._base.driver import Interrupted
from trio_sqlrepo._base.errors import SqlError
from trio_sqlrepo._base.footprint import EVERYTHING, NOTHING
from trio_sqlrepo._base.job import Job, Kind, Stopped
from trio_sqlrepo._worker.hands import Hands
from trio_sqlrepo._worker.live import (
    Found,
    LiveReader,
    OpenResult,
    View,
    Watched,
    footprint_of,
    look,
)
from trio_sqlrepo._worker.record import Tally
from trio_sqlrepo._worker.thread import Event
from trio_sqlrepo._worker.ticket import Ticket

READ = statement("read", writes=False, rows=True)


@pytest.fixture
def hands() -> Any:
    driver = FakeDriver(FakeFile())
    tally = Tally()
    tally.make_room(1)
    driver.begin_read()
    return Hands(driver, Ticket(driver.abort), tally)


def play(*acts: Act) -> Any:
    """Parameters of a statement that does this."""
    return (Play(*acts),)


def gives(*rows: Any) -> Act:
    return Act(returns=[(row,) for row in rows])


def reading(parameters: Any) -> Callable[[View], Any]:
    return lambda view: view.call(READ, parameters)


def runs(hands: Hands) -> int:
    return hands.tally.statements[0].calls


def test_the_same_is_read_once(hands: Any) -> None:
    same = play(gives(1), gives(2))
    found = look([Watched(reading(same), ()) for _ in range(3)], hands)
    assert [each.value for each in found] == [[[1]], [[1]], [[1]]]
    assert len({id(each.value) for each in found}) == 3
    assert len({id(each.value[0]) for each in found}) == 3
    assert found[0].reads == found[1].reads
    assert footprint_of(found[0].reads) == EVERYTHING
    assert footprint_of(()) == NOTHING
    record = hands.tally.statements[0]
    assert (record.calls, record.rows, record.errors) == (1, 1, 0)
    assert repr(View(hands)) == "<View of 0 results>"


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (0.0, -0.0), ("1", b"1"), (None, 0), (1, 2)]
)
def test_parameters_are_told_apart_to_the_type(one: Any, other: Any, hands: Any) -> None:
    ran: list[Any] = []

    def fetch(_: Any, parameters: Any) -> Any:
        ran.append(parameters)
        return (), [], list, NOTHING

    hands.driver.fetch = fetch
    look([Watched(reading((each,)), ()) for each in (one, other, one)], hands)
    assert ran == [(one,), (other,)]


def test_parameters_are_taken_as_they_were(hands: Any) -> None:
    ran: list[Any] = []

    def execute(_: str, parameters: Any) -> Any:
        ran.append(parameters)
        return []

    hands.driver.execute = execute
    value = bytearray(b"x")
    view: Any = View(hands)
    view.execute("sql", [value, memoryview(b"y")])
    view.execute("sql", {"b": value, "a": 1})
    view.execute("sql", {"a": 1, "b": b"x"})
    value[0] = 0
    assert ran == [(b"x", b"y"), {"b": b"x", "a": 1}]


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (0.0, -0.0), ("1", b"1"), (None, 0), (1, 2), ("a", "b")]
)
def test_rows_are_told_apart_to_the_type(one: Any, other: Any, hands: Any) -> None:
    made = reading(play(gives(one), gives(one), gives(other)))
    (first,) = look([Watched(made, ())], hands)
    (same,) = look([Watched(made, (first.reads,))], hands)
    assert same == Found(first.reads)
    (differs,) = look([Watched(made, (first.reads,))], hands)
    assert differs.is_made
    assert type(differs.value[0][0]) is type(other)


def test_names_of_columns_count(hands: Any) -> None:
    names = deque([("a",), ("b",)])
    hands.driver.fetch = lambda *_: (names.popleft(), [(1,)], list, NOTHING)
    made = reading((1,))
    (first,) = look([Watched(made, ())], hands)
    (other,) = look([Watched(made, (first.reads,))], hands)
    assert other.is_made


def test_what_is_known_is_not_made_again(hands: Any) -> None:
    parameters = play(gives(1), gives(2), gives(1), gives(3))
    made: list[None] = []

    def make(view: View) -> Any:
        made.append(None)
        return view.call(READ, parameters)

    (a,) = look([Watched(make, ())], hands)
    (b,) = look([Watched(make, (a.reads,))], hands)
    assert len(made) == 2
    (back,) = look([Watched(make, (b.reads, a.reads))], hands)
    assert back == Found(a.reads)
    assert len(made) == 2
    (new,) = look([Watched(make, (b.reads, a.reads))], hands)
    assert new.value == [[3]]


def test_reading_again_stops_where_something_differs(hands: Any) -> None:
    """What follows may not be asked for any more, or not with these parameters."""
    first, second = play(gives(1), gives(2)), play(gives(5), gives(6))

    def make(view: View) -> Any:
        one = view.call(READ, first)
        return one if one == [[2]] else (one, view.call_many(READ, [second, second]))

    (before,) = look([Watched(make, ())], hands)
    assert before.value == ([[1]], [[5], [5]])
    assert len(before.reads) == 3
    ran = runs(hands)
    (after,) = look([Watched(make, (before.reads,))], hands)
    assert after.value == [[2]]
    assert len(after.reads) == 1
    assert runs(hands) == ran + 1


def test_an_error_is_the_watcher_s(hands: Any) -> None:
    wrong = SqlError("It is wrong.", code=1)

    def fail(_: View) -> Any:
        raise LookupError

    found = look(
        [
            Watched(reading(play(Act(raises=wrong))), ()),
            Watched(fail, ()),
            Watched(reading(play(gives(1))), ()),
        ],
        hands,
    )
    assert found[0].error is wrong
    assert isinstance(found[1].error, LookupError)
    assert found[2].value == [[1]]
    assert hands.tally.statements[0].errors == 1


def test_an_error_while_reading_again_is_the_watcher_s(hands: Any) -> None:
    wrong = SqlError("It is wrong.", code=1)
    made = reading(play(gives(1), Act(raises=wrong)))
    (first,) = look([Watched(made, ())], hands)
    (second,) = look([Watched(made, (first.reads,))], hands)
    assert second.error is wrong


@pytest.mark.parametrize(
    "error", [broken(), MemoryError(), Interrupted("cancelled"), Stopped("closed")]
)
def test_what_is_about_the_connection_ends_the_look(error: BaseException, hands: Any) -> None:
    with pytest.raises(type(error)):
        look([Watched(reading(play(Act(raises=error))), ())], hands)
    interrupted = isinstance(error, Interrupted)
    assert hands.tally.statements[0].errors == (not interrupted)


def test_a_cancelled_look_reads_no_further(hands: Any) -> None:
    job = Job(Kind.UPKEEP, "look", writes=False)
    assert hands.ticket.begin(job)
    made = reading(play(gives(1)))
    (first,) = look([Watched(made, ())], hands)
    job.cancelled = True
    for known in ((), (first.reads,)):
        with pytest.raises(Interrupted):
            look([Watched(made, known)], hands)
    assert runs(hands) == 1


def test_to_a_body_it_is_its_hands_and_their_driver(hands: Any) -> None:
    view: Any = View(hands)
    assert view.driver is view
    assert view.tally is hands.tally
    assert view.clock is hands.clock
    assert view.in_transaction
    assert view.is_read_only("SELECT")
    assert not view.is_read_only("DELETE")
    hands.driver.rollback()
    assert not view.in_transaction


def test_rows_in_bits(hands: Any) -> None:
    rows = View(hands).stream(READ, play(gives(1, 2, 3)))
    assert rows.has_more
    assert rows.fetch(2, 0, 0.0) == [[1], [2]]
    assert repr(rows) == "<OpenResult, 1 rows left>"
    assert rows.fetch(2, 0, 0.0) == [[3]]
    assert not rows.has_more
    assert rows.fetch(2, 0, 0.0) == []
    left: OpenResult = View(hands).stream(READ, play(gives(1)))
    left.close()
    assert not left.has_more


def test_its_worker_does_what_it_is_sent() -> None:
    desk = Desk(FakeFile(), LiveReader)
    assert not desk.worker._turn()
    desk.send(call("never", writes=False))  # it draws from no inbox
    assert not desk.worker._turn()
    seen: list[bool] = []

    def work(hands: Hands) -> None:
        seen.append(hands.driver.in_transaction)

    job = Job(Kind.UPKEEP, "look", writes=False, work=work)
    desk.worker.mailbox.append(job)
    assert desk.worker._turn()
    assert seen == [True]
    assert not desk.driver.in_transaction
    desk.worker._send(Event.NEWS)
    assert desk.told == ["look"]
