"""The writer's turns: who joins a group, who waits for the lock, what runs alone or on a lease."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from tests.fake_driver import (
    BROKEN,
    Act,
    FakeFile,
    Play,
    batch,
    broken,
    call,
    working,
)
from tests.waiting import PATIENCE
from tests.worker.support import Desk, writer_desk
from trio_sqlrepo._base.driver import Interrupted
from trio_sqlrepo._base.errors import (
    DatabaseLocked,
    DatabaseReadOnly,
    DiskFull,
    ForeignKeyViolation,
    SqlError,
    TransactionAborted,
)
from trio_sqlrepo._base.job import Job, Kind, Stopped
from trio_sqlrepo._worker import thread

pytestmark = pytest.mark.usefixtures("steady_clock")


def commits(desk: Desk) -> int:
    return desk.driver.log.count("COMMIT")


def body(label: str) -> Job:
    def work(hands: Any) -> None:
        hands.driver._perform(label, Play(Act(adds=(label,))), writes=True)

    return working(Kind.BODY, label, work)


def function(label: str, act: Act | None = None) -> Job:
    play = Play(act or Act(adds=(label,)))

    def work(hands: Any) -> Any:
        return hands.driver._perform(label, play, writes=True)

    return working(Kind.FUNCTION, label, work)


def adhoc(label: str, sql: str, act: Act | None = None) -> Job:
    play = Play(act or Act(adds=(label,)))
    job = working(Kind.ADHOC, label, lambda hands: hands.driver.execute(sql, (play,)))
    job.parameters = (sql,)
    return job


def lease(label: str, *, writes: bool = True) -> Job:
    return Job(Kind.LEASE, label, writes=writes)


def release(label: str, ending: Callable[[Any], Any]) -> Job:
    return Job(Kind.RELEASE, label, writes=False, work=ending)


# -- the turn itself -------------------------------------------------------------------------------


def test_without_a_turn_it_does_not_look_at_the_inbox() -> None:
    """Another writer may be at it: two that pop would lose a job."""
    desk = writer_desk(woken=False)
    job = call("a")
    desk.send(job)
    assert not desk.worker._turn()
    assert job.claim
    desk.worker._wakes_seen = 1
    desk.turn()
    assert desk.told == ["a"]


def test_an_empty_inbox_is_no_work() -> None:
    assert not writer_desk().worker._turn()


def test_the_dead_are_passed_over() -> None:
    desk = writer_desk()
    jobs = [call(name) for name in "abc"]
    desk.send(*jobs)
    for job in jobs:
        desk.cancel(job)
    assert not desk.worker._turn()
    assert not desk.inbox.queue
    assert desk.messages == []


def test_a_queue_compacted_under_it_runs_nothing_twice() -> None:
    """The loop replaces the queue, dead jobs dropped, while the thread holds the old one."""
    desk = writer_desk()
    a, b = call("a"), call("b")
    take = desk.worker._take

    def take_and_compact(job: Job) -> bool:
        desk.inbox.queue = desk.inbox.queue.copy()
        return take(job)

    desk.worker._take = take_and_compact  # type: ignore[method-assign]
    desk.run_dry(a, b)
    assert desk.file.rows == ["a", "b"]
    assert desk.told == ["a", "b"]


def test_a_job_compacted_away_as_it_is_taken_takes_no_other_with_it() -> None:
    desk = writer_desk()
    a, b = call("a"), call("b")
    take = desk.worker._take

    def take_and_compact(job: Job) -> bool:
        taken = take(job)
        desk.inbox.queue = deque(job for job in desk.inbox.queue if job.claim)
        return taken

    desk.worker._take = take_and_compact  # type: ignore[method-assign]
    desk.run_dry(a, b)
    assert desk.file.rows == ["a", "b"]
    assert desk.told == ["a", "b"]


# -- who joins -------------------------------------------------------------------------------------


def slow_call(label: str) -> Job:
    job = call(label)
    assert job.statement is not None
    job.statement.cost = 0.0011
    return job


def slow_batch(label: str) -> Job:
    job = batch(label, *[Play(Act(adds=(label,)))] * 11)
    assert job.statement is not None
    job.statement.cost = 0.0001
    return job


@pytest.mark.parametrize("make", [slow_call, slow_batch], ids=["call", "batch"])
def test_before_a_slow_write_the_group_is_committed(make: Callable[[str], Job]) -> None:
    desk = writer_desk()
    slow = make("slow")
    desk.turn(call("a"), call("b"), slow, call("c"))
    assert desk.told == ["a", "b"]
    assert slow.claim
    desk.turn()  # the slow one begins the next, which others may join
    assert desk.told == ["a", "b", "slow", "c"]
    assert commits(desk) == 2


def test_a_short_batch_of_cheap_writes_joins() -> None:
    desk = writer_desk()
    few = batch("few", Play(Act()), Play(Act()))
    assert few.statement is not None
    few.statement.cost = 0.0004
    desk.turn(call("a"), few)
    assert desk.told == ["a", "few"]


def test_a_body_is_slow_once_it_has_been() -> None:
    desk = writer_desk()
    real = desk.worker.clock
    # Turn, oldest, the body's begin and end, its end once more, turn, message.
    desk.worker.clock = iter([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]).__next__
    desk.turn(body("long"))
    desk.worker.clock = real
    desk.turn(call("a"), body("long"), body("other"))
    assert desk.told == ["long", "a"]
    desk.turn()
    assert desk.told == ["long", "a", "long", "other"]


def test_an_old_group_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(thread, "perf_counter", lambda: now)

    def pass_time(seconds: float) -> Callable[[], None]:
        def later() -> None:
            nonlocal now
            now += seconds

        return later

    desk = writer_desk()
    young = call("young", Act(during=pass_time(0.0049)))
    desk.turn(young, call("joins"), call("joins too", Act(during=pass_time(0.0002))), call("late"))
    assert desk.told == ["young", "joins", "joins too"]


@pytest.mark.parametrize(
    "stranger",
    [
        lease("stranger"),
        function("stranger"),
        adhoc("stranger", "INSERT"),
        call("stranger", writes=False),
    ],
    ids=["transaction", "function", "execute", "read"],
)
def test_what_can_not_join_ends_the_group(stranger: Job) -> None:
    desk = writer_desk()
    desk.turn(call("a"), stranger, call("b"))
    assert desk.told == ["a"]
    assert stranger.claim
    assert commits(desk) == 1


# -- the lock of another process -------------------------------------------------------------------


def run_while_locked(desk: Desk) -> threading.Thread:
    """Have the worker take a turn on a thread of its own, and wait until it waits for the lock."""
    desk.file.locked = True
    thread = threading.Thread(target=desk.worker._turn)
    thread.start()
    assert desk.file.waiting.wait(PATIENCE)
    return thread


@pytest.mark.parametrize(
    "make", [call, body, function, lease, lambda label: adhoc(label, "INSERT")],
    ids=["call", "body", "function", "transaction", "execute"],
)  # fmt: skip
def test_a_lock_held_too_long_is_told_to_those_who_waited(make: Callable[[str], Job]) -> None:
    desk = writer_desk()
    first, second, gone, late = make("first"), make("second"), call("gone"), call("late")
    desk.send(first, gone, second)
    thread = run_while_locked(desk)
    desk.cancel(gone)
    desk.send(late)
    desk.file.timed_out = True
    thread.join(PATIENCE)
    assert isinstance(first.error, DatabaseLocked)
    assert isinstance(second.error, DatabaseLocked)
    assert first.error is not second.error
    assert (str(first.error), str(second.error)) == ("first: locked", "second: locked")
    asked = "INSERT" if first.kind is Kind.ADHOC else "first"
    assert first.error.query == asked
    assert late.claim  # it waits on
    assert desk.told == ["first", "second"]
    assert desk.driver.log == ["BEGIN IMMEDIATE"]
    assert desk.retired is None


def test_reads_on_the_same_connection_did_not_wait_for_the_lock() -> None:
    desk = writer_desk()
    write, read, later = call("write"), call("read", writes=False), call("later")
    desk.send(write, read, later)
    thread = run_while_locked(desk)
    desk.file.timed_out = True
    thread.join(PATIENCE)
    assert desk.told == ["write"]
    desk.file.locked = False
    desk.run_dry()
    assert read.error is None
    assert later.error is None


def test_when_all_who_waited_are_gone_the_wait_is_given_up() -> None:
    desk = writer_desk()
    jobs = call("a"), function("b"), lease("c")
    desk.send(*jobs)
    thread = run_while_locked(desk)
    for job in jobs:
        desk.cancel(job)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert desk.told == []
    assert desk.worker.tally.claimed == 0


def test_while_anybody_waits_the_wait_goes_on() -> None:
    desk = writer_desk()
    first, second = function("first"), call("second")
    desk.send(first, second)
    thread = run_while_locked(desk)
    desk.cancel(first)
    desk.file.waiting.clear()
    assert desk.file.waiting.wait(PATIENCE)
    desk.file.locked = False
    thread.join(PATIENCE)
    assert desk.driver.log == ["BEGIN IMMEDIATE", "ROLLBACK"]  # it was not for `second`
    desk.run_dry()
    assert desk.told == ["second"]


def test_a_stop_ends_the_wait() -> None:
    desk = writer_desk()
    job = call("a")
    desk.send(job)
    thread = run_while_locked(desk)
    desk.worker.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert job.claim


def test_a_member_that_runs_again_waits_for_the_lock_under_its_own_ticket() -> None:
    """Cancelled meanwhile it is gone; the next one waits on."""
    desk = writer_desk()
    again, other = call("again"), call("other")
    lock_again = Act(vanishes=True, raises=DiskFull("full"), during=lambda: lock(desk))
    desk.send(again, other, call("bad", lock_again, Act()))

    def lock(desk: Desk) -> None:
        desk.file.locked = True

    thread = threading.Thread(target=desk.worker._turn)
    thread.start()
    assert desk.file.waiting.wait(PATIENCE)
    desk.cancel(again)
    desk.file.waiting.clear()
    assert desk.file.waiting.wait(PATIENCE)
    desk.file.locked = False
    thread.join(PATIENCE)
    assert isinstance(again.error, Stopped)
    assert desk.file.rows == ["other"]


@pytest.mark.parametrize(
    ("error", "retires"), [(DatabaseReadOnly("read-only"), False), (broken(), True)]
)
def test_a_begin_that_fails_is_the_first_ones_error(error: SqlError, retires: bool) -> None:
    desk = writer_desk()
    desk.driver.begin_errors.append(error)
    first, second = call("first"), call("second")
    desk.turn(first, second)
    assert type(first.error) is type(error)
    assert second.claim
    assert (desk.retired is error) is retires
    assert error.code == (BROKEN if retires else 0)


@pytest.mark.parametrize("make", [call, lease, function], ids=["call", "transaction", "function"])
def test_a_begin_that_fails_for_nobody_is_nobodys_error(make: Callable[[str], Job]) -> None:
    desk = writer_desk()
    job = make("a")
    desk.send(job)
    begin = desk.driver.begin_write

    def begin_write() -> None:
        desk.cancel(job)
        begin()

    desk.driver.begin_errors.append(DatabaseReadOnly("read-only"))
    desk.driver.begin_write = begin_write  # type: ignore[method-assign]
    desk.turn()
    assert desk.told == []


@pytest.mark.parametrize("make", [call, lease, function], ids=["call", "transaction", "function"])
def test_a_begin_for_whom_nobody_waits_any_more_is_rolled_back(make: Callable[[str], Job]) -> None:
    desk = writer_desk()
    job = make("a")
    desk.send(job)
    begin = desk.driver.begin_write

    def begin_write() -> None:
        begin()
        desk.cancel(job)

    desk.driver.begin_write = begin_write  # type: ignore[method-assign]
    desk.turn()
    assert desk.told == []
    assert desk.driver.log == ["BEGIN IMMEDIATE", "ROLLBACK"]


@pytest.mark.parametrize("make", [call, function, lambda label: adhoc(label, "VACUUM")])
def test_a_queue_emptied_between_two_looks_is_no_crash(make: Callable[[str], Job]) -> None:
    """The loop cancels the only job and compacts, after the writer has seen it."""
    desk = writer_desk()
    job = make("a")
    desk.send(job)
    peek = desk.worker._peek

    def peek_then_cancel() -> Job | None:
        found = peek()
        desk.cancel(job)
        desk.inbox.queue.clear()
        return found

    desk.worker._peek = peek_then_cancel  # type: ignore[method-assign]
    assert desk.worker._turn()
    assert desk.told == []


# -- alone -----------------------------------------------------------------------------------------


def test_a_function_has_a_transaction_of_its_own() -> None:
    desk = writer_desk()
    jobs = function("a"), function("b", Act(raises=ValueError())), function("c")
    desk.run_dry(*jobs)
    assert desk.file.rows == ["a", "c"]
    assert [type(job.error) for job in jobs] == [type(None), ValueError, type(None)]
    assert commits(desk) == 2
    assert (desk.worker.tally.commits, desk.worker.tally.writes) == (2, 2)


def test_a_function_is_never_run_twice() -> None:
    desk = writer_desk()
    vanishing = function("a", Act(vanishes=True, raises=DiskFull("full")))
    failing = function("b", Act(adds=("b",), breaks=1))
    swallowing = function("c", Act(vanishes=True))
    desk.run_dry(vanishing, failing, swallowing)
    assert isinstance(vanishing.error, DiskFull)
    assert isinstance(failing.error, ForeignKeyViolation)
    assert isinstance(swallowing.error, TransactionAborted)
    assert [desk.driver.log.count(name) for name in "abc"] == [1, 1, 1]
    assert desk.file.rows == []
    assert failing.value is None


def test_a_function_that_leaves_the_connection_changed_costs_it() -> None:
    desk = writer_desk()
    job = function("a", Act(adds=("a",), during=lambda: setattr(desk.driver, "dirty", "settings")))
    desk.turn(job)
    assert job.error is None
    assert "changed settings" in str(desk.retired)


def test_vacuum_runs_outside_of_a_transaction() -> None:
    desk = writer_desk()
    job = adhoc("execute", "VACUUM", Act(during=lambda: seen.append(desk.driver.in_transaction)))
    seen: list[bool] = []
    desk.driver.is_read_only = lambda sql: True  # type: ignore[method-assign]  # no write to the fake
    desk.turn(job)
    assert seen == [False]
    assert desk.told == ["execute"]


def test_sql_that_has_become_wrong_is_its_calls_error() -> None:
    """The table was dropped after a reader had looked at the statement."""
    desk = writer_desk()
    desk.driver.alone_error = SqlError("no such table")
    job, other = adhoc("execute", "INSERT"), call("other")
    desk.run_dry(job, other)
    assert isinstance(job.error, SqlError)
    assert desk.told == ["execute", "other"]
    assert desk.retired is None


@pytest.mark.parametrize("sql", ["VACUUM", "INSERT"])
def test_alone_and_cancelled_at_the_last_moment(sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = writer_desk()
    job = adhoc("execute", sql)
    alone = desk.driver.runs_alone

    def runs_alone(sql: str) -> bool:
        desk.cancel(job)
        if desk.driver.alone_error:
            raise desk.driver.alone_error
        return alone(sql)

    monkeypatch.setattr(desk.driver, "runs_alone", runs_alone)
    desk.turn(job)
    assert desk.told == []
    assert desk.driver.log in ([], ["BEGIN IMMEDIATE", "ROLLBACK"])


def test_wrong_sql_of_a_cancelled_call_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = writer_desk()
    job = adhoc("execute", "INSERT")

    def runs_alone(_: str) -> bool:
        desk.cancel(job)
        raise SqlError("no such table")

    monkeypatch.setattr(desk.driver, "runs_alone", runs_alone)
    desk.turn(job)
    assert desk.told == []


# -- interactive transactions ----------------------------------------------------------------------


def test_a_transaction_waits_for_its_turn_among_writes() -> None:
    desk = writer_desk()
    held = lease("transaction")
    inside = working(
        Kind.ADHOC,
        "inside",
        lambda hands: hands.driver._perform("x", Play(Act(adds=("x",))), writes=True),
    )
    desk.worker.mailbox += [inside, release("end", lambda worker: worker.commit())]
    desk.run_dry(call("a"), held, call("b"))
    assert desk.told == ["a", "transaction", "inside", "end", "b"]
    assert desk.file.rows == ["a", "x", "b"]
    assert held.value is desk.worker
    assert (desk.worker.tally.commits, desk.worker.tally.writes) == (3, 3)


def test_two_transactions_are_held_in_turn() -> None:
    desk = writer_desk()
    first, second = lease("first"), lease("second")
    roll_back = release("end", lambda worker: worker.hands.driver.rollback())
    desk.worker.mailbox.append(roll_back)
    desk.turn(first, second)
    assert desk.told == ["first", "end"]
    assert second.claim


def test_a_transaction_that_vanished_is_not_committed() -> None:
    desk = writer_desk()
    culprit = working(
        Kind.ADHOC,
        "bad",
        lambda hands: hands.driver._perform(
            "bad", Play(Act(vanishes=True, raises=DiskFull("full"))), writes=True
        ),
    )
    after = working(Kind.ADHOC, "after", lambda hands: None)
    ending = release("end", lambda worker: worker.commit())
    desk.worker.mailbox += [culprit, after, ending]
    desk.turn(lease("transaction"))
    assert [type(job.error) for job in (culprit, after, ending)] == [
        DiskFull, TransactionAborted, TransactionAborted,
    ]  # fmt: skip
    assert desk.worker.tally.commits == 0


def test_an_abandoned_transaction_is_not_committed() -> None:
    desk = writer_desk()
    inside = working(
        Kind.ADHOC,
        "inside",
        lambda hands: hands.driver._perform("x", Play(Act(adds=("x",))), writes=True),
    )
    ending = release("end", lambda worker: (worker.ticket.abandon(), worker.commit()))
    desk.worker.mailbox += [inside, ending]
    desk.turn(lease("transaction"))
    assert isinstance(ending.error, Stopped)
    assert desk.file.rows == []


def test_a_transaction_begun_for_another_that_came_first_now() -> None:
    """The one it was begun for is gone; the next waiting one has it."""
    desk = writer_desk()
    first, second = lease("first"), lease("second")
    desk.send(first, second)
    begin = desk.driver.begin_write

    def begin_write() -> None:
        begin()
        desk.cancel(first)

    desk.driver.begin_write = begin_write  # type: ignore[method-assign]
    desk.worker.mailbox.append(release("end", lambda worker: worker.commit()))
    desk.turn()
    assert desk.told == ["second", "end"]


# -- reads where one connection serves all ---------------------------------------------------------


def test_reads_take_their_turn_between_writes() -> None:
    desk = writer_desk()
    seen: list[list[str]] = []
    look = Act(during=lambda: seen.append(list(desk.file.rows)))
    snapshot_body = working(
        Kind.BODY, "body", lambda hands: hands.driver._perform("body", Play(look), writes=False),
        writes=False,
    )  # fmt: skip
    desk.run_dry(
        call("a"), call("b"), call("r", look, writes=False), call("c"), snapshot_body, call("d")
    )
    assert desk.told == ["a", "b", "r", "c", "body", "d"]
    assert seen == [["a", "b"], ["a", "b", "c"]]
    assert desk.driver.log == [
        "BEGIN IMMEDIATE", "a", "b", "COMMIT", "r", "BEGIN IMMEDIATE", "c", "COMMIT",
        "BEGIN", "body", "ROLLBACK", "BEGIN IMMEDIATE", "d", "COMMIT",
    ]  # fmt: skip


def test_a_snapshot_takes_its_turn_too() -> None:
    desk = writer_desk()
    view = lease("snapshot", writes=False)
    desk.worker.mailbox.append(release("end", lambda worker: worker.hands.driver.rollback()))
    desk.run_dry(call("a"), view, call("b"))
    assert desk.told == ["a", "snapshot", "end", "b"]


@pytest.mark.parametrize("kind", [Kind.CALL, Kind.BODY])
def test_a_read_that_spoils_the_connection_costs_it(kind: Kind) -> None:
    desk = writer_desk()
    act = Act(raises=broken())
    if kind is Kind.CALL:
        job = call("r", act, writes=False)
    else:
        job = working(
            kind, "r", lambda hands: hands.driver._perform("r", Play(act), writes=False),
            writes=False,
        )  # fmt: skip
    desk.turn(job)
    assert desk.retired is job.error


def cancel_at_the_last_moment(desk: Desk, job: Job) -> None:
    """Have the loop cancel the job after the thread has looked at it, before it takes it."""
    take = desk.worker._take

    def cancel_and_take(taken: Job) -> bool:
        desk.cancel(job)
        return take(taken)

    desk.worker._take = cancel_and_take  # type: ignore[assignment,method-assign]


@pytest.mark.parametrize("writes", [True, False])
def test_one_cancelled_at_the_last_moment_is_passed_over(writes: bool) -> None:
    desk = writer_desk()
    job = call("a", writes=writes)
    cancel_at_the_last_moment(desk, job)
    desk.run_dry(job, call("b", writes=writes))
    assert desk.told == ["b"]
    assert desk.driver.log.count("a") == 0


def test_one_cancelled_at_the_last_moment_is_not_told_of_the_lock() -> None:
    desk = writer_desk()
    job = call("a")
    cancel_at_the_last_moment(desk, job)
    desk.file.locked = desk.file.timed_out = True
    desk.run_dry(job, call("b"))
    assert desk.told == ["b"]


def test_a_cancelled_read_gives_up_its_wait_to_begin() -> None:
    desk = writer_desk(FakeFile())
    job = working(Kind.BODY, "r", lambda hands: None, writes=False)
    desk.send(job)
    thread = run_while_locked(desk)
    desk.cancel(job)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert isinstance(job.error, Stopped)
    assert not isinstance(job.error, Interrupted)


def test_only_a_group_with_a_body_is_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = writer_desk()
    looks: list[list[str]] = []

    def look() -> bool:
        looks.append(list(desk.file.rows))
        return True

    monkeypatch.setattr(desk.driver, "is_clean", look)
    desk.turn(call("a"), call("b"))
    assert looks == []
    desk.turn(call("c"), body("d"), call("e"))
    assert looks == [["a", "b", "c", "d", "e"]]
    desk.turn(call("f"))
    assert len(looks) == 1


def test_what_a_body_leaves_costs_the_connection_and_no_answer() -> None:
    desk = writer_desk()
    leaving = body("a")
    desk.driver.dirty = "a table"
    desk.turn(leaving)
    assert leaving.error is None
    assert desk.told == desk.file.rows == ["a"]
    assert "a temporary table" in str(desk.retired)


def test_what_says_already_what_it_is_about_is_left_alone() -> None:
    desk = writer_desk()
    desk.driver.begin_errors.append(DatabaseLocked("Locked.", query="known"))
    job = call("a")
    desk.run_dry(job)
    assert isinstance(job.error, DatabaseLocked)
    assert (str(job.error), job.error.query) == ("Locked.", "known")


def test_of_those_that_run_alone_the_one_that_waited_is_named() -> None:
    desk = writer_desk()
    desk.driver.begin_errors += [None, DatabaseLocked("Locked.")]
    job = call("a", Act(vanishes=True), Act())
    desk.run_dry(job)
    assert isinstance(job.error, DatabaseLocked)
    assert (str(job.error), job.error.query) == ("a: locked.", "a")


def test_a_probe_that_is_cancelled_on_its_way_is_not_made() -> None:
    desk = writer_desk()
    dead, probe = (Job(Kind.PROBE, name, writes=False, work=str) for name in ("dead", "probe"))
    del dead.claim
    desk.worker.mailbox += [dead, probe]
    desk.run_dry()
    assert [job.label for job in desk.worker._take_finished()] == ["probe"]
