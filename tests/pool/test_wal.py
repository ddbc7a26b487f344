"""The governor of the WAL: real threads, a scripted engine, trio's mock clock."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.fake_driver import Act, Halt, Play, broken, call, statement
from tests.pool.house import House, a_house, ask, pass_time
from tests.waiting import until
from trio_sqlrepo._base.driver import Checkpoint
from trio_sqlrepo._base.errors import OpenError, PoolOverloaded
from trio_sqlrepo._base.job import Job, Kind
from trio_sqlrepo._pool.errand import run_on
from trio_sqlrepo._pool.lease import Lease
from trio_sqlrepo._pool.report import describe_pool
from trio_sqlrepo._pool.state import State
from trio_sqlrepo._pool.wal import Governor, WalState
from trio_sqlrepo._worker.thread import NEVER

FRAME = 4096 + 24
LIMIT = 100 * FRAME  # so it is cut from 75 frames on, and a step is 25


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="trio_sqlrepo")


@asynccontextmanager
async def governed(path: Path | str = "house.db", **settings: Any) -> AsyncIterator[House]:
    # The clock runs fast here while threads work: no wait may have a limit.
    settings = {"connection_timeout": float("inf"), **settings}
    async with a_house(governor=Governor(str(path), LIMIT), **settings) as house:
        yield house


async def settle(house: House) -> None:
    """Wait until the governor has done what there is, and rests."""
    await until(lambda: is_settled(house))


def is_settled(house: House) -> bool:
    governor = house.governor
    assert governor is not None
    return (
        not governor._alarm.armed
        and not house.pool.outstanding
        and house.writers.checkpoint_at == governor._at
        and not governor.lane.opening
        and len(governor.lane.idle) == len(governor.lane.workers)
    )


async def grow(house: House, frames: int) -> None:
    """One commit that adds so many frames."""
    house.file.frames_per_commit = frames
    await house.pool.run(call("write"))
    await settle(house)


def blocks(frames: int, done: int) -> Play:
    return Play(Act(returns=Checkpoint(busy=True, frames=frames, done=done)))


def moves(frames: int, done: int) -> Play:
    return Play(Act(returns=Checkpoint(busy=False, frames=frames, done=done)))


def state(house: House) -> tuple[str | None, float | None]:
    wal = house.pool.wal
    return wal.blocked_by, wal.blocked_since


# -- PASSIVE ---------------------------------------------------------------------------------------


async def test_a_small_application_has_no_connection_for_it() -> None:
    async with governed() as house:
        await grow(house, 5)
        await grow(house, 19)
        assert house.file.open_connections == 2
        assert house.file.checkpoint_log == []


async def test_a_step_is_moved_aside_on_a_connection_of_its_own() -> None:
    async with governed() as house:
        await grow(house, 25)
        assert house.file.checkpoint_log == ["PASSIVE"]
        assert house.file.open_connections == 3
        assert len(house.pool.lanes[-1].workers) == 1
        # Nobody counts it among those that serve calls.
        stats = describe_pool(house.pool, [statement("write")])
        assert (stats.readers.size, stats.writers.size) == (1, 1)
        assert stats.commits == 1


async def test_a_step_is_a_thousand_frames_at_most() -> None:
    governor = Governor("house.db", 100_000 * FRAME)
    async with a_house(governor=governor) as house:
        await grow(house, 999)
        assert house.file.checkpoint_log == []
        await grow(house, 1)
        assert house.file.checkpoint_log == ["PASSIVE"]


async def test_a_wal_that_was_not_begun_anew_is_moved_by_the_next_step() -> None:
    async with governed() as house:
        await grow(house, 30)
        for frames, count in ((1, 1), (23, 1), (1, 2), (24, 2), (1, 3)):
            await grow(house, frames)
            passive = [entry for entry in house.file.checkpoint_log if entry == "PASSIVE"]
            assert len(passive) == count + (house.file.wal_frames == 0)


async def test_a_wal_that_was_begun_anew_counts_from_nothing() -> None:
    async with governed() as house:
        await grow(house, 70)
        house.file.wal_frames = 0
        await grow(house, 24)
        assert house.file.checkpoint_log == ["PASSIVE"]
        await grow(house, 1)
        assert house.file.checkpoint_log == ["PASSIVE", "PASSIVE"]


async def test_what_is_written_meanwhile_is_not_overlooked() -> None:
    """While the governor works nobody tells it of commits."""
    async with governed() as house, trio.open_nursery() as nursery:
        await grow(house, 25)
        halt = Halt()
        house.file.checkpoints.append(Play(Act(halt=halt, returns=None)))
        house.file.frames_per_commit = 26
        await house.pool.run(call("a"))
        await trio.to_thread.run_sync(halt.wait_reached)
        await house.pool.run(call("b"))
        assert house.writers.checkpoint_at == NEVER
        answer = ask(nursery, house, call("c", writes=False))
        await answer.given.wait()  # neither reads nor writes wait for it
        halt.go.set()
        await until(lambda: len(house.file.checkpoint_log) == 5)
        assert house.file.checkpoint_log[1:] == [*["PASSIVE"] * 3, "TRUNCATE 0.05"]


async def test_another_one_at_it_is_left_alone() -> None:
    async with governed() as house:
        await grow(house, 25)
        house.file.checkpoints.append(blocks(0, 0))
        await grow(house, 25)
        assert house.file.checkpoint_log == ["PASSIVE"] * 2
        await grow(house, 24)  # not at each commit
        assert house.file.checkpoint_log == ["PASSIVE"] * 2


async def test_its_connection_is_closed_when_idle(mock_clock: MockClock) -> None:
    async with governed(max_idle=50.0) as house:
        await grow(house, 25)
        await pass_time(mock_clock, 10.0, lambda: house.file.open_connections == 2)
        await grow(house, 25)
        assert house.file.open_connections == 3
        assert house.file.checkpoint_log == ["PASSIVE"] * 2


# -- RESTART ---------------------------------------------------------------------------------------


def meanwhile(house: House, frames: int, found: Checkpoint | None = None) -> Play:
    """A checkpoint while the writer commits so many frames. None: it does all it can."""

    def commit() -> None:
        assert house.governor is not None
        driver: Any = house.governor._driver
        driver.wal_frames = house.file.wal_frames = house.file.wal_frames + frames

    return Play(Act(during=commit, returns=found))


async def test_the_few_written_meanwhile_the_writer_moves_itself() -> None:
    async with governed() as house:
        house.file.checkpoints.append(meanwhile(house, 6))
        await grow(house, 25)
        assert house.file.checkpoint_log == ["PASSIVE", "RESTART 0.003"]
        await grow(house, 24)  # from nothing
        assert len(house.file.checkpoint_log) == 2
        await grow(house, 1)
        assert house.file.checkpoint_log[2:] == ["PASSIVE"]


async def test_many_are_moved_aside_first() -> None:
    async with governed() as house:
        house.file.checkpoints += [meanwhile(house, 7), meanwhile(house, 2)]
        await grow(house, 25)
        assert house.file.checkpoint_log == ["PASSIVE", "PASSIVE", "RESTART 0.003"]


async def test_what_the_last_one_left_is_moved_too() -> None:
    async with governed() as house:
        house.file.checkpoints += [*(meanwhile(house, 7) for _ in range(3)), meanwhile(house, 6)]
        await grow(house, 25)
        assert house.file.checkpoint_log == [*["PASSIVE"] * 4, "RESTART 0.003"]


async def test_a_writer_that_is_faster_than_checkpoints_is_left_alone() -> None:
    async with governed() as house:
        house.file.checkpoints += [meanwhile(house, 7) for _ in range(4)]
        await grow(house, 25)
        assert house.file.checkpoint_log == ["PASSIVE"] * 4
        assert house.writers.checkpoint_at == 46 + 25  # the frames that were seen, and a step


async def test_with_a_reader_in_the_way_the_writer_is_left_alone() -> None:
    async with governed() as house:
        house.file.checkpoints.append(meanwhile(house, 2, Checkpoint(False, 25, 10)))
        await grow(house, 25)
        assert house.file.checkpoint_log == ["PASSIVE"]


async def test_with_another_one_at_it_the_writer_is_left_alone() -> None:
    async with governed() as house:
        house.file.checkpoints += [meanwhile(house, 7), blocks(0, 0)]
        await grow(house, 25)
        assert house.file.checkpoint_log == ["PASSIVE"] * 2


async def test_a_restart_that_readers_prevent_is_tried_a_step_later() -> None:
    async with governed() as house:
        house.file.checkpoints += [meanwhile(house, 2), blocks(27, 27)]
        await grow(house, 25)
        assert state(house) == (None, None)  # nobody is to blame yet
        await grow(house, 24)
        assert house.file.checkpoint_log == ["PASSIVE", "RESTART 0.003"]
        await grow(house, 1)
        assert house.file.checkpoint_log[2:] == ["PASSIVE"]


# -- TRUNCATE --------------------------------------------------------------------------------------


async def test_near_the_limit_it_is_cut_in_a_write_turn() -> None:
    async with governed() as house:
        await grow(house, 74)
        assert house.file.checkpoint_log == ["PASSIVE"]
        await grow(house, 1)
        assert house.file.checkpoint_log == ["PASSIVE", "PASSIVE", "TRUNCATE 0.05"]
        assert house.file.wal_frames == 0
        assert state(house) == (None, None)
        await grow(house, 24)
        assert len(house.file.checkpoint_log) == 3


async def test_it_passes_all_writes_that_wait() -> None:
    async with governed(max_waiting=20) as house, trio.open_nursery() as nursery:
        halt = Halt()
        house.file.frames_per_commit = 80
        ask(nursery, house, call("first", Act(halt=halt)))
        await trio.to_thread.run_sync(halt.wait_reached)
        house.writers.checkpoint_at = NEVER  # the test tells
        answers = [ask(nursery, house, call(str(number))) for number in range(20)]
        await until(lambda: house.writers.waiting == 20)
        with pytest.raises(PoolOverloaded):
            await house.pool.run(call("one more"))
        told: list[int] = []

        def work(_: Any) -> None:
            told.extend(answer.given.is_set() for answer in answers)
            told.append(len(house.file.rows))

        job = Job(Kind.UPKEEP, "urgent", writes=True, work=work)
        nursery.start_soon(lambda: run_on(house.pool, house.writers, job, urgent=True))
        await until(lambda: job in house.pool.outstanding)
        halt.go.set()
        await answers[-1].given.wait()
        assert told == [False] * 20 + [0]
        assert house.writers.urgent is None


async def test_without_a_connection_of_its_own_it_is_cut_all_the_same(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with governed() as house:
        house.file.open_errors.extend(OpenError("no descriptor") for _ in range(3))
        await grow(house, 30)
        await until(lambda: house.pool.lanes[-1].degraded)
        assert "serves with 0 checkpointer connections" in caplog.text
        await grow(house, 30)
        await grow(house, 24)
        assert house.file.checkpoint_log == ["TRUNCATE 0.05"]
        await pass_time(mock_clock, 1.0, lambda: house.pool.lanes[-1].workers)
        await grow(house, 30)
        assert house.file.checkpoint_log == ["TRUNCATE 0.05", "PASSIVE"]


# -- who is in the way -----------------------------------------------------------------------------


async def test_a_snapshot_that_stays_is_named_and_not_waited_for_again(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    wal = tmp_path / "app.db-wal"
    wal.write_bytes(b"x" * (LIMIT + 1))
    async with governed(tmp_path / "app.db", min_readers=3) as house:
        file = house.file
        await grow(house, 25)
        file.checkpoint_log.clear()
        mock_clock.jump(5.0)
        since = trio.current_time()
        lease = await Lease.acquire(house.pool, "Snapshot", writes=False)
        mock_clock.jump(5.0)
        younger = await Lease.acquire(house.pool, "Younger", writes=False)
        file.checkpoints += [moves(80, 10), blocks(80, 10)]
        await grow(house, 55)
        task = trio.lowlevel.current_task().name
        assert state(house) == (f"Snapshot of task {task!r}", since)
        assert (house.pool.wal.size_bytes, house.pool.wal.limit_bytes) == (LIMIT + 1, LIMIT)
        assert f"can't be cut back: held for 5 s by Snapshot of task {task!r}" in caplog.text
        # As long as nothing moves there are looks, rarer and rarer, and no write waits.
        file.checkpoints += [moves(80 + n, 10) for n in range(30)]
        start = trio.current_time()
        await pass_time(mock_clock, 0.01, lambda: len(file.checkpoint_log) == 9)
        assert file.checkpoint_log[2:9] == ["PASSIVE"] * 7
        assert trio.current_time() - start > 2.0
        await settle(house)
        assert house.governor._pause == 1.0  # type: ignore[union-attr]
        assert caplog.text.count("can't be cut back") == 1  # the governor has the observer say so
        # Another look follows when more has been written, whatever the time.
        file.checkpoint_log.clear()
        file.checkpoints.appendleft(moves(80, 10))
        await grow(house, 1)
        assert file.checkpoint_log == []
        await grow(house, 1)
        assert file.checkpoint_log == ["PASSIVE"]
        # It leaves, another one is in the way: the next attempt is more patient.
        await lease.release(lambda worker: worker.hands.driver.rollback())
        await settle(house)
        file.checkpoints.clear()
        file.checkpoint_log.clear()
        file.checkpoints += [moves(99, 50), blocks(99, 50), moves(99, 50)]
        await pass_time(mock_clock, 0.1, lambda: not file.checkpoints)
        assert file.checkpoint_log[:3] == ["PASSIVE", "TRUNCATE 0.1", "PASSIVE"]
        assert state(house) == (f"Younger of task {task!r}", since + 5.0)
        await younger.release(lambda worker: worker.hands.driver.rollback())
        await pass_time(mock_clock, 0.1, lambda: not state(house)[0])
        assert file.checkpoint_log[-1] == "TRUNCATE 0.2"
        assert "is short again" in caplog.text
        # All is as it was at first.
        await grow(house, 80)
        assert file.checkpoint_log[-1] == "TRUNCATE 0.05"


async def test_readers_that_follow_each_other_do_not_win(mock_clock: MockClock) -> None:
    """Another attempt follows when a share of the limit has been written, whatever the time."""
    async with governed() as house:
        file = house.file
        await grow(house, 25)
        for attempt in range(5):
            file.checkpoints += [moves(80, 20 + attempt), blocks(80, 20 + attempt)]
        await grow(house, 50)
        for frames in (4, 7, 13, 26):
            before = len(file.checkpoint_log)
            await grow(house, frames - 1)
            assert len(file.checkpoint_log) == before
            await grow(house, 1)
            assert len(file.checkpoint_log) == before + 2
        patience = [entry for entry in file.checkpoint_log if entry != "PASSIVE"]
        assert patience == [f"TRUNCATE {seconds}" for seconds in (0.05, 0.1, 0.2, 0.4, 0.4)]


async def test_a_call_that_reads_for_long_is_named() -> None:
    async with governed() as house, trio.open_nursery() as nursery:
        halt = Halt()
        await grow(house, 25)
        ask(nursery, house, call("Messages.export", Act(halt=halt), writes=False))
        await trio.to_thread.run_sync(halt.wait_reached)
        house.file.checkpoints += [moves(80, 10), blocks(80, 10)]
        house.file.frames_per_commit = 55
        await house.pool.run(call("write"))
        await until(lambda: state(house)[0])
        assert (state(house)[0] or "").startswith("Messages.export of task 'tests.pool.house.")
        halt.go.set()


async def test_nobody_here_reads(mock_clock: MockClock) -> None:
    async with governed() as house:
        mock_clock.jump(3.0)
        await grow(house, 25)
        house.file.checkpoints += [moves(80, 10), blocks(80, 10), moves(80, 10)]
        await grow(house, 55)
        began = state(house)
        assert began == ("another process", trio.current_time())
        # Who comes after the attempt is not the one.
        house.file.checkpoints += [moves(80, 10)]
        mock_clock.jump(0.001)
        lease = await Lease.acquire(house.pool, "Later", writes=False)
        await pass_time(mock_clock, 0.1, lambda: not house.file.checkpoints)
        await settle(house)
        assert state(house) == began
        await lease.release(lambda worker: worker.hands.driver.rollback())


async def test_a_reader_that_has_seen_all_may_have_gone_unnoticed(mock_clock: MockClock) -> None:
    """Everything is in the file, so a checkpoint can't move on: only an attempt tells."""
    async with governed() as house:
        await grow(house, 25)
        house.file.checkpoints += [moves(80, 80), blocks(80, 80), moves(80, 80)]
        await grow(house, 55)
        assert state(house)[0]
        await pass_time(mock_clock, 0.1, lambda: not state(house)[0])
        assert house.file.checkpoint_log[2:] == ["TRUNCATE 0.05", "PASSIVE", "TRUNCATE 0.1"]


async def test_another_writer_may_get_the_turn() -> None:
    async with governed(max_writers=2) as house:
        governor = house.governor
        assert governor is not None
        first, second = house.writers.workers
        house.writers.idle = [first, second]  # the last one is woken
        assert first.driver is not None
        first.driver.wal_frames = 80  # type: ignore[misc]  # a fake
        governor.notice(first)
        await settle(house)
        assert house.file.checkpoint_log == ["TRUNCATE 0.05"]
        assert governor._driver is second.driver


async def test_one_connection_for_all_has_no_readers_in_its_way() -> None:
    async with governed(max_readers=0, min_readers=0) as house:
        await grow(house, 25)
        house.file.checkpoints += [moves(80, 10), blocks(80, 10)]
        await grow(house, 55)
        assert state(house)[0] == "another process"


# -- what goes wrong -------------------------------------------------------------------------------


async def test_a_checkpoint_that_fails_is_tried_again(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with governed() as house:
        file = house.file
        file.checkpoints += [Play(Act(raises=broken("first"))), Play(Act(raises=broken("next")))]
        await grow(house, 30)
        assert file.checkpoint_log == ["PASSIVE"]
        assert "a checkpoint of house.db failed: first" in caplog.text
        assert await house.pool.run(call("write")) == 1
        # Its connection went with it, and the next look has another one opened.
        await pass_time(mock_clock, 0.1, lambda: len(file.checkpoint_log) == 2)
        await pass_time(mock_clock, 0.1, lambda: len(file.checkpoint_log) == 3)
        await settle(house)
        assert "a checkpoint of house.db failed: next" not in caplog.text
        assert file.open_connections == 3


async def test_one_that_ends_meanwhile_does_nothing() -> None:
    async with governed() as house:
        await grow(house, 25)
        (worker,) = house.pool.lanes[-1].workers
        house.pool.lanes[-1].dismiss(worker)  # its thread does not know yet
        house.file.frames_per_commit = 30
        await house.pool.run(call("write"))
        await wait_all_tasks_blocked()
        assert house.file.checkpoint_log == ["PASSIVE"]
        worker.wake()
        await until(lambda: not house.pool.lanes[-1].workers)
        await grow(house, 19)
        assert house.file.checkpoint_log == ["PASSIVE"]  # it looks after a step, not all the time
        await grow(house, 6)
        assert house.file.checkpoint_log == ["PASSIVE", "TRUNCATE 0.05"]
        await grow(house, 25)  # meanwhile one was opened
        assert house.file.checkpoint_log == ["PASSIVE", "TRUNCATE 0.05", "PASSIVE"]


async def test_a_pool_that_has_failed_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with governed() as house:
        house.pool.state = State.STOPPED
        house.governor.notice(house.writers.workers[0])  # type: ignore[union-attr]
        house.writers.workers[0].driver.wal_frames = 90  # type: ignore[union-attr,misc]
        await wait_all_tasks_blocked()
        assert house.file.checkpoint_log == []
        assert house.governor._pause == float("inf")  # type: ignore[union-attr]
        with pytest.raises(Exception, match="has stopped because of a bug"):
            await run_on(house.pool, house.writers, call("late"))
        house.pool.state = State.OPEN
        assert "failed" not in caplog.text


async def test_closing_interrupts_a_checkpoint_that_does_not_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    halt = Halt()
    async with governed() as house:
        house.file.checkpoints.append(Play(Act(halt=halt)))
        house.file.frames_per_commit = 30
        await house.pool.run(call("write"))
        await trio.to_thread.run_sync(halt.wait_reached)
    assert house.file.open_connections == 0
    assert "failed" not in caplog.text


async def test_closing_does_not_wait_for_a_cut_that_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with trio.open_nursery() as nursery, governed() as house:
        await Lease.acquire(house.pool, "Transaction", writes=True)
        job = Job(Kind.UPKEEP, "urgent", writes=True, work=lambda hands: None)
        nursery.start_soon(swallow, house, job)
        await until(lambda: job in house.pool.outstanding)
    assert house.file.open_connections == 0
    assert "failed" not in caplog.text


async def swallow(house: House, job: Job) -> None:
    with pytest.raises(Exception, match="ending"):
        await run_on(house.pool, house.writers, job, urgent=True)


async def test_a_job_of_the_pools_can_be_cancelled() -> None:
    async with governed() as house:
        await grow(house, 25)
        halt = Halt()
        (worker,) = house.pool.lanes[-1].workers
        for place in (house.writers, worker):
            job = Job(
                Kind.UPKEEP, "endless", writes=True,
                work=lambda hands: hands.driver._perform("x", Play(Act(halt=halt)), writes=False),
            )  # fmt: skip
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(run_on, house.pool, place, job)
                    await trio.to_thread.run_sync(halt.wait_reached)
                    scope.cancel()
            assert job.task is None
            halt.reached.clear()
        assert not house.pool.outstanding


# -- what it says ----------------------------------------------------------------------------------


async def test_a_pool_without_a_wal_has_nothing_to_say() -> None:
    async with a_house() as house:
        assert house.pool.wal == WalState()
        assert house.pool.wal == WalState(
            size_bytes=0, limit_bytes=0, blocked_by=None, blocked_since=None
        )


def test_its_repr(tmp_path: Path) -> None:
    governor = Governor(str(tmp_path / "a.db"), 7)
    assert repr(governor) == f"<Governor of '{tmp_path}/a.db-wal', 7 bytes, free>"
    governor._blocked_by = "you"
    assert repr(governor).endswith("blocked by you>")


def test_the_wal_of_a_link_lies_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real.db-wal").write_bytes(b"1234")
    (tmp_path / "link.db").symlink_to(tmp_path / "there" / "real.db")
    assert Governor(str(tmp_path / "link.db"), 7).state().size_bytes == 4
    assert Governor(str(tmp_path / "none.db"), 7).state().size_bytes == 0
