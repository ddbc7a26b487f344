"""A reader's turns: one job at a time, results in batches, nobody stuck behind a slow one."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from tests.fake_driver import Act, Play, batch, broken, call, working
from tests.worker.support import Desk, reader_desk
from trio_sqlrepo._base.driver import Interrupted
from trio_sqlrepo._base.errors import SqlError
from trio_sqlrepo._base.job import Job, Kind, Stopped
from trio_sqlrepo._worker import reader as module
from trio_sqlrepo._worker import thread
from trio_sqlrepo._worker.thread import FLUSH_EVERY, SLOW, Event


def look(label: str, *acts: Act, cost: float = 0.0) -> Job:
    job = call(label, *acts, writes=False)
    assert job.statement is not None
    job.statement.cost = cost
    return job


def body(label: str, act: Act | None = None) -> Job:
    play = Play(act or Act())
    return working(
        Kind.BODY, label, lambda hands: hands.driver._perform(label, play, writes=False),
        writes=False,
    )  # fmt: skip


def lease(sequence: int) -> Job:
    made = Job(Kind.LEASE, "Snapshot", writes=False)
    made.sequence = sequence
    return made


@pytest.fixture
def desk() -> Desk:
    desk = reader_desk()
    desk.worker._flushed = float("inf")  # no result is old: what is sent is sent for a reason
    return desk


def test_it_takes_one_job_at_a_time(desk: Desk) -> None:
    jobs = [look("a"), look("b")]
    desk.turn(*jobs)
    assert list(desk.inbox.queue) == [jobs[1]]
    assert desk.worker.tally.claimed == 1


def test_results_of_cheap_jobs_go_back_together(desk: Desk) -> None:
    desk.run_dry(look("a"), look("b"), look("c"))
    assert desk.messages == []  # resting brings them: see the module `thread`
    desk.worker._send(Event.RESTING)
    assert desk.told == ["a", "b", "c"]


def test_results_go_back_while_more_work_waits_once_they_are_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(thread, "perf_counter", lambda: now)

    def pass_time() -> None:
        nonlocal now
        now += FLUSH_EVERY * 0.6

    desk = reader_desk()
    desk.worker._flushed = now
    acts = Act(during=pass_time)
    desk.send(*[look(name, acts) for name in "abcd"])
    told = []
    while desk.worker._turn():
        told.append([job.label for message in desk.messages for job in message.jobs])
    assert told == [[], ["a", "b"], ["a", "b"], ["a", "b"]]  # the last are sent when it rests
    assert desk.events == [Event.NEWS]


def test_a_body_sees_one_state_and_leaves_nothing_open(desk: Desk) -> None:
    job = body("b")
    desk.turn(job)
    assert desk.driver.log == ["BEGIN", "b", "ROLLBACK"]
    assert job.value == 1
    assert desk.worker.tally.busy_seconds > 0


def test_a_batch_of_reads_sees_one_state(desk: Desk) -> None:
    desk.turn(batch("b", Play(Act()), Play(Act()), writes=False))
    assert desk.driver.log == ["BEGIN", "b", "b", "ROLLBACK"]


slow_jobs = pytest.mark.parametrize(
    "slow",
    [
        lambda act: look("slow", act, cost=SLOW),
        lambda act: body("slow", act),
    ],
    ids=["query", "body"],
)


@slow_jobs
def test_before_a_slow_job_it_hands_back_what_it_has(desk: Desk, slow: Any) -> None:
    seen: list[tuple[bool, list[str], list[Event]]] = []
    spy = Act(during=lambda: seen.append((desk.worker.slow, desk.told, desk.events)))
    desk.run_dry(look("a"), slow(spy))
    assert seen == [(True, ["a"], [Event.NEWS])]
    assert not desk.worker.slow


@slow_jobs
def test_before_a_slow_job_it_asks_for_help_if_work_waits(desk: Desk, slow: Any) -> None:
    seen: list[list[Event]] = []
    spy = Act(during=lambda: seen.append(desk.events))
    desk.turn(slow(spy), look("b"))
    assert seen == [[Event.HELP]]
    assert desk.events == [Event.HELP, Event.NEWS]  # and after it the result goes back at once
    assert desk.told == ["slow"]


@slow_jobs
def test_with_nothing_in_hand_and_nothing_waiting_it_says_nothing(desk: Desk, slow: Any) -> None:
    desk.turn(slow(Act()))
    assert desk.messages == []


def test_it_is_slow_before_it_looks_whether_work_waits(desk: Desk) -> None:
    """A submitter appends, then reads `slow`: in this order one of the two sees the other."""
    seen: list[bool] = []

    class Queue(list[Job]):
        def __bool__(self) -> bool:
            seen.append(desk.worker.slow)
            return False

    job = look("slow", cost=SLOW)
    assert desk.worker._claim(job)
    desk.inbox.queue = Queue()  # type: ignore[assignment]
    desk.worker._serve(job)  # type: ignore[attr-defined]
    assert seen[0] is True


def test_a_query_that_has_become_slow_is_known_as_such(desk: Desk) -> None:
    job = look("a")
    assert job.statement is not None
    job.statement.cost = SLOW * 0.99
    desk.run_dry(job)
    assert desk.messages == []
    desk.turn(look("b", cost=SLOW), look("c"))
    assert Event.HELP in desk.events


# -- leases ----------------------------------------------------------------------------------------


def test_a_lease_older_than_the_oldest_call_goes_first(desk: Desk) -> None:
    desk.send(look("a"), look("b"))  # 1 and 2
    desk.inbox.lease_sequence = 2
    assert desk.worker._turn()
    desk.inbox.lease_sequence = 1
    assert not desk.worker._turn()  # it rests, so that the loop can lend it
    assert [job.label for job in desk.inbox.queue] == ["b"]


def test_a_lease_cancelled_on_its_way_has_it_rest(desk: Desk) -> None:
    dead = lease(1)
    del dead.claim
    desk.worker.mailbox.append(dead)
    desk.send(look("a"))
    assert not desk.worker._turn()
    assert not desk.worker.mailbox
    assert desk.worker._turn()  # once the loop has it back


# -- races and errors ------------------------------------------------------------------------------


def test_a_job_that_another_reader_took_is_no_error(desk: Desk) -> None:
    class Emptied(list[Job]):
        def popleft(self) -> Job:
            raise IndexError

    desk.inbox.queue = Emptied([look("a")])  # type: ignore[assignment]
    assert not desk.worker._turn()


def test_a_job_that_was_cancelled_in_the_inbox_is_passed_over(desk: Desk) -> None:
    job = look("a")
    desk.send(job)
    desk.cancel(job)
    assert desk.worker._turn()
    assert desk.worker.tally.claimed == 0
    desk.worker._send(Event.RESTING)
    assert desk.told == []


@pytest.mark.parametrize("cost", [0.0, SLOW])
def test_cancelled_between_claim_and_start_it_does_not_start(desk: Desk, cost: float) -> None:
    job = look("a", cost=cost)
    job.cancelled = True
    desk.turn(job)
    assert isinstance(job.error, Stopped)
    assert desk.driver.log == []
    assert desk.worker.tally.busy_seconds == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("cost", [0.0, SLOW])
def test_cancelled_while_it_runs_it_says_it_stopped(desk: Desk, cost: float) -> None:
    job = look("a", Act(during=lambda: desk.cancel(job)), cost=cost)
    desk.run_dry(job, look("b"))
    assert isinstance(job.error, Stopped)
    assert desk.driver.log == ["a", "b"]
    assert desk.retired is None


@pytest.mark.parametrize("cost", [0.0, SLOW])
def test_an_error_is_the_calls_and_may_cost_the_connection(desk: Desk, cost: float) -> None:
    harmless, harmful = ValueError(), broken()
    jobs = look("a", Act(raises=harmless), cost=cost), look("b", Act(raises=harmful), cost=cost)
    desk.turn(*jobs)
    assert jobs[0].error is harmless
    assert desk.retired is None
    desk.turn()
    assert desk.retired is jobs[1].error is harmful


@pytest.mark.parametrize("label", ["begin", "body"])
def test_an_error_of_a_view_leaves_nothing_open(desk: Desk, label: str) -> None:
    error = broken()
    if label == "begin":
        desk.driver.begin_errors.append(error)
    job = body("b", Act(raises=error))
    desk.turn(job)
    assert job.error is desk.retired is error
    assert not desk.driver.in_transaction


# -- one view for calls that wait together ---------------------------------------------------------


def test_calls_that_wait_together_share_a_view(desk: Desk) -> None:
    desk.run_dry(*[look(name) for name in "abcde"])
    assert desk.driver.log == ["BEGIN", *"abcde", "ROLLBACK"]


def test_a_few_calls_are_quicker_without(desk: Desk) -> None:
    desk.run_dry(*[look(name) for name in "abcd"])
    assert desk.driver.log == list("abcd")


def test_a_call_that_came_after_the_view_gets_a_newer_one(desk: Desk) -> None:
    late = [look(name) for name in "vwxyz"]
    comes = look("e", Act(during=lambda: desk.send(*late)))
    desk.run_dry(*[look(name) for name in "abcd"], comes)
    assert desk.driver.log == [
        "BEGIN", *"abcde", "ROLLBACK", "BEGIN", *"vwxyz", "ROLLBACK",
    ]  # fmt: skip


def test_no_view_is_open_when_results_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = reader_desk()
    open_when_sent: list[bool] = []
    desk.worker._post = lambda _: open_when_sent.append(desk.driver.in_transaction)
    monkeypatch.setattr(module, "FLUSH_EVERY", -1.0)  # every result is old
    desk.run_dry(*[look(name) for name in "abcdef"])
    desk.worker._send(Event.RESTING)
    assert len(open_when_sent) > 2
    assert not any(open_when_sent)


@pytest.mark.parametrize("slow", [look("slow", cost=1.0), body("slow"), lease(100)])
def test_a_view_does_not_outlast_the_cheap(desk: Desk, slow: Job) -> None:
    desk.send(*[look(name) for name in "abcde"])
    for _ in "abc":
        assert desk.worker._turn()
    assert desk.driver.in_transaction
    desk.worker.stopping = True  # a lease would wait for its release
    desk.worker._serve(slow)  # type: ignore[attr-defined]  # a Reader's
    assert desk.driver.log[:5] == ["BEGIN", *"abc", "ROLLBACK"]


def test_a_lease_that_is_due_finds_no_view_open(desk: Desk) -> None:
    desk.send(*[look(name) for name in "abcde"])
    assert desk.worker._turn()
    desk.inbox.lease_sequence = 1
    assert not desk.worker._turn()
    assert desk.driver.log == ["BEGIN", "a", "ROLLBACK"]


def test_a_failed_call_ends_the_view_and_only_itself(desk: Desk) -> None:
    jobs = [look(name) for name in "abcdefgh"]
    jobs[1] = look("b", Act(raises=ValueError("no")))
    desk.run_dry(*jobs)
    assert desk.driver.log == ["BEGIN", *"ab", "ROLLBACK", "BEGIN", *"cdefgh", "ROLLBACK"]
    assert [type(job.error) for job in jobs] == [type(None), ValueError, *[type(None)] * 6]


def test_a_view_that_can_not_be_opened_is_the_calls_own_error(desk: Desk) -> None:
    desk.driver.begin_errors.append(broken())
    jobs = [look(name) for name in "abcdef"]
    desk.run_dry(*jobs)
    assert isinstance(jobs[0].error, SqlError)
    assert desk.retired is jobs[0].error
    assert jobs[1].claim  # for another connection


def test_a_call_cancelled_while_the_view_is_opened_is_stopped(desk: Desk) -> None:
    jobs = [look(name) for name in "abcdef"]
    desk.send(*jobs)
    begin = desk.driver.begin_read

    def cancelled_meanwhile() -> None:
        desk.cancel(jobs[0])
        desk.driver.give_up = desk.worker._give_up
        if desk.driver.give_up():
            raise Interrupted("gave up")
        begin()

    desk.driver.begin_read = cancelled_meanwhile  # type: ignore[method-assign]
    assert desk.worker._turn()
    assert isinstance(jobs[0].error, Stopped)
    assert desk.retired is None


def test_calls_another_reader_took_need_no_view(desk: Desk) -> None:
    class Emptied(deque[Job]):
        def __getitem__(self, index: Any) -> Any:
            if index == -1:
                raise IndexError  # between the look at its length and this
            return super().__getitem__(index)

    desk.send(*[look(name) for name in "abcdef"])
    desk.inbox.queue = Emptied(desk.inbox.queue)
    assert desk.worker._turn()
    assert desk.driver.log == ["a"]
