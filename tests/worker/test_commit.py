"""Group commit: what each member of a group is told, and what is in the file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fake_driver import BROKEN, Act, Play, batch, broken, call, working
from tests.worker.support import Desk, writer_desk
from trio_sqlrepo._base.driver import Interrupted
from trio_sqlrepo._base.errors import (
    DatabaseLocked,
    DatabaseReplaced,
    DiskFull,
    ForeignKeyViolation,
    IntegrityError,
    InternalError,
    OutcomeUnknown,
    SqlError,
    TransactionAborted,
    UniqueViolation,
)
from trio_sqlrepo._base.job import Job, Kind, Stopped
from trio_sqlrepo._worker.thread import Event

pytestmark = pytest.mark.usefixtures("steady_clock")

REFUSED = UniqueViolation("taken")


def told(*jobs: Job) -> dict[str, Any]:
    """What each was answered: "done", or the class of its error."""
    return {job.label: "done" if job.error is None else type(job.error) for job in jobs}


def runs(desk: Desk, label: str) -> int:
    return desk.driver.log.count(label)


def body(label: str, *acts: Act, swallow: bool = False) -> Job:
    """A @transaction body of one statement, which may swallow what that raises."""
    play = Play(*(acts or (Act(adds=(label,)),)))

    def work(hands: Any) -> str:
        try:
            hands.driver._perform(label, play, writes=True)
        except SqlError:
            if not swallow:
                raise
        return label

    return working(Kind.BODY, label, work)


# -- a good day ------------------------------------------------------------------------------------


def test_writes_that_wait_together_share_one_commit() -> None:
    desk = writer_desk()
    jobs = [call("a"), call("b", rows=True), batch("c", *[Play(Act(adds=("c",)))] * 2), body("d")]
    desk.turn(*jobs)
    assert desk.file.rows == ["a", "b", "c", "c", "d"]
    assert [job.value for job in jobs] == [1, ["b"], 2, "d"]
    assert desk.driver.log == ["BEGIN IMMEDIATE", "a", "b", "c", "c", "d", "COMMIT"]
    assert desk.told == ["a", "b", "c", "d"]
    assert desk.events == []  # with the word that it rests
    assert (desk.worker.tally.commits, desk.worker.tally.writes) == (1, 4)
    assert desk.worker.tally.claimed == 4
    assert desk.worker.tally.busy_seconds > 0
    assert desk.driver.savepoint_depth == 0


def test_while_more_waits_a_group_is_answered_at_once() -> None:
    desk = writer_desk()
    desk.turn(call("a"), call("b"), working(Kind.FUNCTION, "fn", lambda hands: None))
    assert desk.events == [Event.NEWS]
    assert desk.told == ["a", "b"]


def test_nothing_is_answered_before_the_commit() -> None:
    desk = writer_desk()
    seen: list[int] = []
    desk.driver.during_commit = lambda: seen.append(len(desk.messages))
    desk.turn(call("a"), call("b", Act(raises=REFUSED)))
    assert seen == [0]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_group_is_never_larger_than_it_may_be(most: int) -> None:
    desk = writer_desk(group_commit=most)
    desk.run_dry(*[call(name) for name in "abcdef"])
    assert desk.file.rows == list("abcdef")
    assert desk.driver.log.count("COMMIT") == 6 // most


def test_the_next_group_takes_what_came_meanwhile() -> None:
    desk = writer_desk()
    late = call("late")
    desk.driver.during_commit = lambda: desk.send(late) if not late.sequence else None
    desk.turn(call("a"))
    assert desk.file.rows == ["a"]
    desk.turn()
    assert desk.file.rows == ["a", "late"]


def test_what_comes_while_a_group_runs_joins_it() -> None:
    desk = writer_desk()
    desk.turn(call("a", Act(adds=("a",), during=lambda: desk.send(call("b")))))
    assert desk.file.rows == ["a", "b"]
    assert desk.driver.log.count("COMMIT") == 1


# -- what fails alone ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "culprit",
    [
        call("bad", Act(adds=("bad",), raises=REFUSED)),
        call("bad", Act(adds=("bad",), raises=REFUSED), rows=True),
        batch("bad", Play(Act(adds=("bad",))), Play(Act(raises=REFUSED))),
        body("bad", Act(adds=("bad",), keeps=True, raises=REFUSED)),
    ],
    ids=["statement", "returning", "batch", "body"],
)
def test_a_failing_member_fails_alone(culprit: Job) -> None:
    desk = writer_desk()
    before, after = call("before"), call("after")
    desk.turn(before, culprit, after)
    assert told(before, culprit, after) == {
        "before": "done", "bad": type(culprit.error), "after": "done",
    }  # fmt: skip
    assert isinstance(culprit.error, (UniqueViolation, ValueError))
    assert culprit.value is None
    assert desk.file.rows == ["before", "after"]
    assert desk.driver.log.count("COMMIT") == 1
    assert runs(desk, "before") == 1
    assert desk.driver.savepoint_depth == 0
    assert desk.worker.tally.writes == 2
    assert desk.retired is None


@pytest.mark.parametrize("error", [REFUSED, ValueError("no such value")])
def test_a_statement_that_moved_the_total_is_undone_with_the_group(error: Exception) -> None:
    """OR FAIL and RAISE(FAIL) keep rows; what RETURNING gives may not fit.

    Without a savepoint only all can be undone; from then on that query has one.
    """
    desk = writer_desk()
    left = Act(adds=("half",), keeps=True, raises=error)
    culprit = call("bad", left, left, left)
    others = call("a"), call("b"), call("c")
    desk.turn(others[0], culprit)
    assert [runs(desk, each) for each in ("a", "bad")] == [2, 2]
    again = Job(
        Kind.CALL, "bad", writes=True, statement=culprit.statement, parameters=culprit.parameters
    )
    desk.turn(others[1], again, others[2])
    assert desk.file.rows == ["a", "b", "c"]
    assert told(*others, culprit, again) == {
        "a": "done", "b": "done", "c": "done", "bad": type(error),
    }  # fmt: skip
    assert [runs(desk, each) for each in ("a", "bad", "b", "c")] == [2, 3, 1, 1]


def test_deferred_violations_are_pinned_on_who_made_them() -> None:
    desk = writer_desk()
    culprit = call("bad", Act(adds=("bad",), breaks=1))
    others = call("a"), call("b")
    desk.run_dry(others[0], culprit, others[1])
    assert told(*others, culprit) == {"a": "done", "b": "done", "bad": ForeignKeyViolation}
    assert desk.file.rows == ["a", "b"]
    assert runs(desk, "a") == 2  # with the group, then alone
    assert runs(desk, "b") == 1  # it had not been taken


# -- what takes the transaction with it ------------------------------------------------------------


def vanishing(error: BaseException | None) -> Act:
    return Act(adds=("bad",), vanishes=True, raises=error)


@pytest.mark.parametrize("kind", ["statement", "returning", "body", "batch"])
@pytest.mark.parametrize(
    "error",
    [REFUSED, IntegrityError("RAISE(ROLLBACK)"), DiskFull("full"), broken(), broken("no memory")],
    ids=["ON CONFLICT ROLLBACK", "RAISE(ROLLBACK)", "FULL", "IOERR", "NOMEM"],
)
def test_after_a_vanished_transaction_each_runs_alone_once_in_order(
    kind: str, error: BaseException
) -> None:
    desk = writer_desk()
    act = vanishing(error)
    match kind:
        case "statement":
            culprit = call("bad", act)
        case "returning":
            culprit = call("bad", act, rows=True)
        case "batch":
            culprit = batch("bad", Play(act))
        case _:
            culprit = body("bad", act)
    before, failing, after = call("a"), call("b", Act(raises=ValueError())), call("c")
    desk.run_dry(before, failing, culprit, after)
    assert told(before, failing, culprit) == {"a": "done", "b": ValueError, "bad": type(error)}
    again = desk.driver.log[desk.driver.log.index("bad") + 1 :]
    assert [step for step in again if step != "ROLLBACK"][:7] == [
        "BEGIN IMMEDIATE", "a", "COMMIT", "BEGIN IMMEDIATE", "b", "BEGIN IMMEDIATE", "bad",
    ]  # fmt: skip
    assert [runs(desk, each) for each in ("a", "b", "bad")] == [2, 2, 2]
    if getattr(error, "code", 0) == BROKEN:  # the connection has served: c waits for another
        assert desk.retired is not None
        assert after.claim
        assert desk.file.rows == ["a"]
    else:
        assert desk.file.rows == ["a", "c"]
        assert runs(desk, "c") == 1
    assert desk.told[:3] == ["a", "b", "bad"]


def test_an_error_that_rests_on_another_member_is_not_told() -> None:
    """B finds the row that a has written, which is then undone: its error would be a lie."""
    desk = writer_desk()
    a = call("a", Act(adds=("a",)), Act(raises=ValueError("a fails when alone")))
    b = call("b", Act(raises=REFUSED), Act(adds=("b",)))
    culprit = call("bad", vanishing(REFUSED))
    desk.turn(a, b, culprit)
    assert told(a, b, culprit) == {"a": ValueError, "b": "done", "bad": UniqueViolation}
    assert desk.file.rows == ["b"]


def test_a_culprit_that_succeeds_when_alone_is_told_so() -> None:
    desk = writer_desk()
    culprit = call("bad", vanishing(REFUSED), Act(adds=("good",), returns=7))
    desk.turn(call("a"), culprit)
    assert (culprit.value, culprit.error) == (7, None)
    assert desk.file.rows == ["a", "good"]


def test_a_body_that_swallowed_the_end_of_its_transaction_is_not_acknowledged() -> None:
    desk = writer_desk()
    other = call("a")
    culprit = body("bad", vanishing(SqlError("gone")), swallow=True)
    desk.turn(other, culprit)
    assert told(other, culprit) == {"a": "done", "bad": TransactionAborted}
    assert culprit.value is None
    assert desk.file.rows == ["a"]


def test_a_savepoint_that_fails_is_nobodys_error() -> None:
    desk = writer_desk()
    desk.driver.savepoint_errors += [None, broken("no memory for a savepoint")]
    jobs = body("a", Act(adds=("a",))), body("b", Act(adds=("b",)))
    desk.turn(*jobs)
    assert told(*jobs) == {"a": "done", "b": "done"}
    assert desk.file.rows == ["a", "b"]
    assert isinstance(desk.retired, SqlError)


@pytest.mark.parametrize("rows", [True, False])
def test_an_error_that_spoils_the_connection_undoes_the_group(rows: bool) -> None:
    """Even where the transaction is still open: SQLite says nothing of what it is worth."""
    desk = writer_desk()
    jobs = call("a"), call("bad", Act(raises=broken()), rows=rows)
    desk.turn(*jobs)
    assert told(*jobs) == {"a": "done", "bad": SqlError}
    assert runs(desk, "a") == 2
    assert isinstance(desk.retired, SqlError)


# -- a COMMIT that fails ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [DiskFull("full"), IntegrityError("a constraint"), TransactionAborted("vanished before it")],
    ids=["FULL", "constraint", "vanished"],
)
def test_a_commit_that_was_not_applied_is_tried_one_by_one(error: BaseException) -> None:
    desk = writer_desk()
    a, b, failing = call("a"), call("b"), call("c", Act(raises=ValueError()))
    desk.driver.commit_errors += [error, None, DiskFull("still full")]
    desk.turn(a, b, failing)
    assert told(a, b, failing) == {"a": "done", "b": DiskFull, "c": ValueError}
    assert desk.file.rows == ["a"]
    assert [runs(desk, each) for each in "abc"] == [2, 2, 2]
    assert desk.retired is None
    assert b.value is None


def test_a_commit_that_met_another_process_is_tried_one_by_one() -> None:
    desk = writer_desk()
    a, b = call("a"), call("b")
    desk.driver.commit_errors += [DatabaseLocked("busy")]
    desk.turn(a, b)
    assert told(a, b) == {"a": "done", "b": "done"}
    assert desk.file.rows == ["a", "b"]


@pytest.mark.parametrize("error", [OutcomeUnknown("half-way"), InternalError("a bug")])
def test_a_commit_whose_outcome_is_unknown_is_told_to_all_that_ran(error: BaseException) -> None:
    desk = writer_desk()
    a, failed, b = call("a"), call("c", Act(raises=ValueError())), call("b")
    desk.driver.commit_errors.append(error)
    desk.turn(a, failed, b)
    assert told(a, failed, b) == {"a": type(error), "c": ValueError, "b": type(error)}
    assert (a.value, b.value) == (None, None)
    assert a.error is not b.error  # each has a traceback of its own
    assert [runs(desk, each) for each in "acb"] == [1, 1, 1]  # never tried again
    assert desk.retired is error
    assert desk.worker.tally.commits == 0


def test_a_commit_into_another_file_is_told_to_all_that_ran() -> None:
    desk = writer_desk()
    desk.file.replaced = True
    a, b = call("a"), call("b")
    desk.turn(a, b)
    assert told(a, b) == {"a": DatabaseReplaced, "b": DatabaseReplaced}
    assert [runs(desk, each) for each in "ab"] == [1, 1]
    assert isinstance(desk.retired, DatabaseReplaced)


def test_a_connection_lost_while_each_runs_alone_runs_no_more() -> None:
    desk = writer_desk()
    jobs = [call("a"), call("b"), call("c"), call("bad", vanishing(REFUSED))]
    desk.driver.commit_errors += [None, OutcomeUnknown("half-way")]
    desk.turn(*jobs)
    assert told(*jobs) == {"a": "done", "b": OutcomeUnknown, "c": SqlError, "bad": SqlError}
    assert desk.file.rows == ["a"]
    assert "not run again" in str(jobs[2].error)
    assert runs(desk, "c") == 1
    assert isinstance(desk.retired, OutcomeUnknown)


def test_a_crash_of_the_engine_is_not_taken_for_an_answer() -> None:
    desk = writer_desk()
    desk.driver.commit_errors.append(MemoryError())
    with pytest.raises(MemoryError):
        desk.turn(call("a"))
    assert desk.messages == []
    assert desk.worker.ticket.committing  # whoever buries the worker sees that nobody knows


# -- cancellation ----------------------------------------------------------------------------------


def test_cancelled_before_it_is_claimed_it_never_runs() -> None:
    desk = writer_desk()
    a, b = call("a"), call("b")
    desk.send(a, b)
    desk.cancel(a)
    desk.turn()
    assert runs(desk, "a") == 0
    assert desk.told == ["b"]
    assert desk.worker.tally.claimed == 1


def test_cancelled_while_it_runs_it_alone_is_undone() -> None:
    desk = writer_desk()
    a, b, after = call("a"), call("b"), call("c")
    culprit = call("bad", Act(adds=("bad",), during=lambda: desk.cancel(culprit)))
    desk.run_dry(a, culprit, b, after)
    assert told(a, culprit, b) == {"a": "done", "bad": Stopped, "b": "done"}
    assert desk.file.rows == ["a", "b", "c"]
    assert runs(desk, "bad") == 1  # not run again
    assert desk.driver.aborts == 1


def test_cancelled_after_it_ran_it_ends_as_if_it_were_not() -> None:
    desk = writer_desk()
    a = call("a")
    b = call("b", Act(adds=("b",), during=lambda: desk.cancel(a)))
    desk.turn(a, b)
    assert told(a, b) == {"a": "done", "b": "done"}
    assert desk.file.rows == ["a", "b"]
    assert desk.driver.aborts == 0  # b is not disturbed


def test_cancelled_after_it_ran_in_a_group_that_is_undone_it_does_not_run_again() -> None:
    desk = writer_desk()
    a, b = call("a"), call("b")
    culprit = call("bad", Act(during=lambda: desk.cancel(a), vanishes=True, raises=REFUSED))
    desk.turn(a, b, culprit)
    assert told(a, b, culprit) == {"a": Stopped, "b": "done", "bad": UniqueViolation}
    assert desk.file.rows == ["b"]
    assert runs(desk, "a") == 1


def test_cancelled_while_it_runs_again_it_leaves_nothing() -> None:
    desk = writer_desk()
    b = call("b")
    a = call("a", Act(adds=("a",)), Act(adds=("a",), during=lambda: desk.cancel(a)))
    desk.turn(a, b, call("bad", vanishing(REFUSED)))
    assert told(a, b) == {"a": Stopped, "b": "done"}
    assert desk.file.rows == ["b"]


def test_a_cancelled_read_in_a_write_leaves_the_group_standing() -> None:
    """An interrupted SELECT of a body does not end the transaction."""
    desk = writer_desk()
    a, b = call("a"), call("b")

    def work(hands: Any) -> None:
        desk.cancel(culprit)
        hands.check()

    culprit = working(Kind.BODY, "bad", work)
    desk.turn(a, culprit, b)
    assert told(a, culprit, b) == {"a": "done", "bad": Stopped, "b": "done"}
    assert [runs(desk, each) for each in "ab"] == [1, 1]


def test_a_body_that_says_it_stopped_does_not_run_again() -> None:
    desk = writer_desk()
    ran: list[str] = []

    def work(_: Any) -> None:
        ran.append("body")
        raise Stopped

    stopped = working(Kind.BODY, "stopped", work)
    a = call("a")
    desk.turn(a, stopped, call("bad", vanishing(REFUSED)))
    assert told(a, stopped) == {"a": "done", "stopped": Stopped}
    assert ran == ["body"]


def test_cancelled_between_its_claim_and_its_start_it_does_not_start() -> None:
    """The loop comes between the claim and the ticket; its interrupt finds nothing running."""
    desk = writer_desk()
    a, b = call("a"), call("b")
    take = desk.worker._take

    def take_and_cancel(job: Job) -> bool:
        taken = take(job)
        if job is a:
            desk.cancel(a)
        return taken

    desk.worker._take = take_and_cancel  # type: ignore[method-assign]
    desk.turn(a, b)
    assert told(a, b) == {"a": Stopped, "b": "done"}
    assert runs(desk, "a") == 0
    assert desk.file.rows == ["b"]


def test_an_interrupt_swallowed_by_a_function_is_still_a_stop() -> None:
    """The function went on, but SQLite had ended the transaction."""
    desk = writer_desk()
    play = Play(Act(adds=("bad",), during=lambda: desk.cancel(job)))

    def work(hands: Any) -> None:
        with contextlib.suppress(Interrupted):
            hands.driver._perform("fn", play, writes=True)

    job = working(Kind.FUNCTION, "fn", work)
    desk.turn(job)
    assert told(job) == {"fn": Stopped}
    assert desk.file.rows == []


# -- a thread that nobody waits for any more -------------------------------------------------------

ENDINGS: dict[str, Callable[[Any], Job]] = {
    "call": lambda act: call("a", act),
    "function": lambda act: working(
        Kind.FUNCTION, "a", lambda hands: hands.driver._perform("a", Play(act), writes=True)
    ),
}


@pytest.mark.parametrize("make", ENDINGS.values(), ids=ENDINGS)
def test_an_abandoned_thread_commits_nothing(make: Callable[[Any], Job]) -> None:
    desk = writer_desk()
    job = make(Act(adds=("a",), during=desk.worker.ticket.abandon))
    desk.turn(job)
    assert told(job) == {"a": Stopped}
    assert desk.file.rows == []
    assert "COMMIT" not in desk.driver.log
    assert not desk.driver.in_transaction


def test_the_gate_is_passed_before_and_closed_after_the_answer() -> None:
    desk = writer_desk()
    ticket = desk.worker.ticket
    seen: list[bool] = []
    desk.driver.during_commit = lambda: seen.append(ticket.committing)
    desk.worker._post = lambda message: seen.append(ticket.committing)
    desk.turn(call("a"))
    desk.worker._send(Event.RESTING)
    assert seen == [True, True]
    assert not ticket.committing


@given(data=st.data())
def test_what_the_file_keeps_is_what_was_told(data: st.DataObject) -> None:
    """Whatever happens to whomever: the rows kept are those of the jobs that are done."""
    desk = writer_desk(group_commit=data.draw(st.integers(1, 4)))
    jobs: list[Job] = []

    def cancel_one() -> None:
        desk.cancel(data.draw(st.sampled_from(jobs)))

    during: list[Callable[[], object]] = [int, int, cancel_one]

    def act(name: str) -> Act:
        error = data.draw(st.sampled_from([None, None, None, REFUSED, ValueError(), broken()]))
        return Act(
            adds=(name,),
            during=data.draw(st.sampled_from(during)),
            breaks=data.draw(st.sampled_from([0, 0, 0, 1])),
            vanishes=error is not None and data.draw(st.booleans()),
            keeps=data.draw(st.booleans()),
            raises=error,
        )

    makers: list[Callable[[str], Job]] = [
        lambda name: call(name, act(name), act(name)),
        lambda name: call(name, act(name), act(name), rows=True),
        lambda name: body(name, act(name), act(name)),
        lambda name: batch(name, Play(act(name), act(name))),
    ]
    jobs += [
        data.draw(st.sampled_from(makers))(f"job {number}")
        for number in range(data.draw(st.integers(1, 8)))
    ]
    failures = [None, None, REFUSED, DiskFull("full"), OutcomeUnknown("half-way")]
    desk.driver.commit_errors += data.draw(st.lists(st.sampled_from(failures)))
    desk.run_dry(*jobs)
    assert desk.file.rows == [job.label for job in jobs if not job.claim and job.value is not None]
    for job in jobs:
        answered = desk.told.count(job.label)
        assert answered == (0 if job.claim or job.worker is None else 1)
        assert job.value is None or job.error is None
    assert not desk.driver.in_transaction
