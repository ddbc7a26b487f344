from __future__ import annotations

import threading
import time

import pytest

from tests.fake_driver import call
from tests.waiting import PATIENCE
from trio_sqlrepo._base.job import Job
from trio_sqlrepo._worker.ticket import Ticket


def make_ticket() -> tuple[Ticket, list[Job | None]]:
    """A ticket, and which job each interrupt has met."""
    met: list[Job | None] = []
    ticket = Ticket(lambda: met.append(ticket.current))
    return ticket, met


def test_an_interrupt_meets_the_current_job_only() -> None:
    ticket, met = make_ticket()
    mine, other = call("mine"), call("other")
    ticket.cancel(mine)
    assert ticket.begin(mine)
    ticket.cancel(other)
    assert met == []
    ticket.cancel(mine)
    ticket.end()
    ticket.cancel(mine)
    assert met == [mine]


def test_a_cancelled_job_does_not_begin() -> None:
    ticket, _ = make_ticket()
    job = call("job")
    job.cancelled = True
    assert not ticket.begin(job)
    assert ticket.current is None


@pytest.mark.parametrize("following", [None, call("following")])
def test_nothing_else_runs_during_an_interrupt(following: Job | None) -> None:
    """The thread waits while the driver is told: otherwise it could meet the next statement."""
    began, go = threading.Event(), threading.Event()
    order: list[str] = []

    def abort() -> None:
        began.set()
        assert go.wait(PATIENCE)
        order.append("aborted")

    ticket = Ticket(abort)
    job = call("job")
    ticket.begin(job)
    loop = threading.Thread(target=ticket.cancel, args=(job,))
    loop.start()
    assert began.wait(PATIENCE)

    def end() -> None:
        if following is None:
            ticket.end()
        else:
            ticket.begin(following)
        order.append("ended")

    thread = threading.Thread(target=end)
    thread.start()
    while ticket.current is job:  # it has stored the other one, and waits
        time.sleep(0)
    go.set()
    loop.join(PATIENCE)
    thread.join(PATIENCE)
    assert order == ["aborted", "ended"]


def test_an_abandoned_thread_does_not_pass_the_gate() -> None:
    ticket, _ = make_ticket()
    ticket.abandon()
    assert not ticket.may_commit()
    assert not ticket.committing  # so its calls are told that nothing was kept


def test_whoever_passed_the_gate_before_is_seen() -> None:
    ticket, _ = make_ticket()
    assert ticket.may_commit()
    ticket.abandon()
    assert ticket.committing  # its calls are told that nobody knows
    assert ticket.abandoned
