"""A stream on its thread: opened by its first fetch, counted as one call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fake_driver import Act, FakeDriver, FakeFile, Play, statement
from tests.worker.test_hands import Clock
from trio_sqlrepo._base.driver import Interrupted
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._worker.hands import Hands
from trio_sqlrepo._worker.record import Tally
from trio_sqlrepo._worker.stream import Stream
from trio_sqlrepo._worker.ticket import Ticket


@pytest.fixture
def driver() -> FakeDriver:
    driver = FakeDriver(FakeFile())
    driver.begin_read()
    return driver


@pytest.fixture
def hands(driver: FakeDriver) -> Hands:
    tally = Tally()
    tally.make_room(1)
    return Hands(driver, Ticket(driver.abort), tally, Clock())


def stream(*acts: Act) -> Stream:
    parameters: Any = (Play(*acts),)
    return Stream(statement("export", writes=False, rows=True), parameters)


def test_it_is_one_call_of_many_rows(hands: Hands) -> None:
    export = stream(Act(returns=[1, 2]), Act(returns=[3]), Act(returns=[]))
    assert export.fetch(10, hands) == ([1, 2], True, 1.0)
    assert export.fetch(10, hands) == ([3], True, 1.0)
    assert export.fetch(10, hands) == ([], False, 1.0)
    record = hands.tally.statements[0]
    assert (record.calls, record.errors, record.rows) == (1, 0, 3)
    # Opening it and each fetch took a second, as one look at the clock after the other does.
    assert (record.total_seconds, record.max_seconds) == (4.0, 1.0)


def test_an_error_is_counted(hands: Hands) -> None:
    export = stream(Act(returns=[1]), Act(raises=ValueError("no")))
    assert export.fetch(10, hands) == ([1], True, 1.0)
    with pytest.raises(ValueError, match="no"):
        export.fetch(10, hands)
    record = hands.tally.statements[0]
    assert (record.calls, record.errors, record.rows) == (1, 1, 1)


def test_an_interrupt_is_no_error(hands: Hands) -> None:
    export = stream(Act(raises=Interrupted("interrupted")))
    with pytest.raises(Interrupted):
        export.fetch(10, hands)
    assert hands.tally.statements[0].errors == 0


def test_a_cancelled_job_does_not_even_begin(hands: Hands, driver: FakeDriver) -> None:
    job = Job(Kind.ADHOC, "export", writes=False)
    hands.ticket.begin(job)
    job.cancelled = True
    with pytest.raises(Interrupted):
        stream(Act()).fetch(10, hands)
    assert driver.log == ["BEGIN"]
    assert hands.tally.statements[0].calls == 0


def test_closing_resets_the_statement(hands: Hands, driver: FakeDriver) -> None:
    export = stream(Act(returns=[1]))
    export.close(hands)
    assert driver.log == ["BEGIN"]
    export.fetch(10, hands)
    assert repr(export).startswith("<Stream of export, <")
    export.close(hands)
    assert driver.log == ["BEGIN", "export", "reset"]
