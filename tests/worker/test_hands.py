from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fake_driver import Act, FakeDriver, FakeFile, Play, call, statement
from trio_sqlrepo._base.driver import Interrupted
from trio_sqlrepo._base.job import Statement
from trio_sqlrepo._worker.hands import Hands
from trio_sqlrepo._worker.record import Tally
from trio_sqlrepo._worker.ticket import Ticket


class Clock:
    """What shows a second later each time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def hands() -> Hands:
    driver = FakeDriver(FakeFile())
    tally = Tally()
    tally.make_room(1)
    driver.begin_write()
    return Hands(driver, Ticket(driver.abort), tally, Clock())


Run = Callable[[Hands, Statement, Act], Any]


def run_once(hands: Hands, query: Statement, act: Act) -> Any:
    return hands.call(query, (Play(act),))  # type: ignore[arg-type]  # a play stands for a value


def run_many(hands: Hands, query: Statement, act: Act) -> Any:
    return hands.call_many(query, [(Play(act),), (Play(act),)])  # type: ignore[list-item]


both_ways = pytest.mark.parametrize("run", [run_once, run_many])


@both_ways
def test_counts_rows_that_were_changed(hands: Hands, run: Run) -> None:
    times = 1 if run is run_once else 2
    assert run(hands, statement("s"), Act(returns=3)) == 3 * times
    record = hands.tally.statements[0]
    assert (record.calls, record.errors, record.rows) == (1, 0, 3 * times)


@both_ways
def test_counts_rows_that_were_returned_and_finishes_them(hands: Hands, run: Run) -> None:
    query = statement("s", rows=True)
    query.finish = len
    times = 1 if run is run_once else 2
    assert run(hands, query, Act(returns=["a", "b"])) == 2 * times
    assert hands.tally.statements[0].rows == 2 * times


@both_ways
def test_counts_errors_of_the_engine_and_of_the_mapping(hands: Hands, run: Run) -> None:
    query = statement("s")

    def finish(_: Any) -> Any:
        raise LookupError

    with pytest.raises(ZeroDivisionError):
        run(hands, query, Act(raises=ZeroDivisionError()))
    query.finish = finish
    with pytest.raises(LookupError):
        run(hands, query, Act(returns=1))
    record = hands.tally.statements[0]
    assert (record.calls, record.errors) == (2, 2)


@both_ways
def test_what_was_cancelled_is_no_error(hands: Hands, run: Run) -> None:
    with pytest.raises(Interrupted):
        run(hands, statement("s"), Act(raises=Interrupted("stopped")))
    assert hands.tally.statements[0].errors == 0


@both_ways
def test_measures_each_call(hands: Hands, run: Run) -> None:
    query = statement("s")
    record = hands.tally.statements[0]
    run(hands, query, Act())
    assert (record.total_seconds, record.max_seconds) == (1.0, 1.0)
    hands.clock = iter([0.0, 5.0]).__next__
    run(hands, query, Act())
    assert (record.total_seconds, record.max_seconds) == (6.0, 5.0)
    hands.clock = iter([0.0, 2.0]).__next__
    run(hands, query, Act())
    assert (record.total_seconds, record.max_seconds) == (8.0, 5.0)


def test_the_mean_cost_follows_the_newest_calls(hands: Hands) -> None:
    query = statement("s")
    run_once(hands, query, Act())
    # One dear call, which may have waited for the interpreter, weighs little ...
    assert query.cost == pytest.approx(0.02)
    assert (hands.seconds, hands.ended) == (1.0, 2.0)
    for _ in range(300):
        run_once(hands, query, Act())
    assert query.cost == pytest.approx(1.0, abs=0.01)
    # ... and a cheap one half.
    query.cost = 3.0
    run_once(hands, query, Act())
    assert query.cost == pytest.approx(2.0)


def test_the_mean_cost_of_a_batch_is_that_of_one_element(hands: Hands) -> None:
    query = statement("s")
    for _ in range(300):
        run_many(hands, query, Act())
    assert query.cost == pytest.approx(0.5, abs=0.01)
    hands.call_many(query, [])  # an empty one divides by nothing


def test_check_stops_only_the_cancelled_job(hands: Hands) -> None:
    hands.check()  # no job at all: a connection being opened
    job = call("job")
    hands.ticket.begin(job)
    hands.check()
    job.cancelled = True
    with pytest.raises(Interrupted):
        hands.check()
