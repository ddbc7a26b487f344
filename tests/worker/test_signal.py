from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import trio

from tests.waiting import PATIENCE
from trio_sqlrepo._worker.signal import Signal

kinds = pytest.mark.parametrize(
    "eventfd",
    [
        pytest.param(
            True, marks=pytest.mark.skipif(not hasattr(os, "eventfd"), reason="no eventfd")
        ),
        False,
    ],
    ids=["eventfd", "pipe"],
)


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@kinds
def test_counts_what_was_set_since_the_last_read(eventfd: bool) -> None:
    signal = Signal(blocking=True, eventfd=eventfd)
    for _ in range(3):
        signal.set()
    assert signal.wait() == 3
    signal.set()
    assert signal.wait() == 1
    signal.close()


@kinds
def test_wakes_a_thread_that_blocks(eventfd: bool) -> None:
    signal = Signal(blocking=True, eventfd=eventfd)
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(signal.wait()))
    thread.start()
    signal.set()
    thread.join(PATIENCE)
    assert counts == [1]
    signal.close()


@kinds
async def test_wakes_the_loop_until_cleared(eventfd: bool) -> None:
    signal = Signal(blocking=False, eventfd=eventfd)
    signal.set()
    await trio.lowlevel.wait_readable(signal.fileno())
    signal.clear()
    signal.clear()  # nothing to forget: it neither blocks nor raises
    with trio.move_on_after(0) as scope:
        await trio.lowlevel.wait_readable(signal.fileno())
    assert scope.cancelled_caught
    signal.close()


@kinds
def test_its_descriptors_live_as_long_as_it_does(eventfd: bool) -> None:
    before = open_descriptors()
    signal = Signal(blocking=True, eventfd=eventfd)
    assert len(open_descriptors() - before) == (1 if eventfd else 2)
    assert str(signal.fileno()) in repr(signal)
    del signal
    assert open_descriptors() == before


@kinds
def test_once_closed_it_never_touches_another_file(eventfd: bool, tmp_path: Path) -> None:
    signal = Signal(blocking=True, eventfd=eventfd)
    before = open_descriptors()
    signal.close()
    signal.close()
    assert len(open_descriptors()) < len(before)
    with (tmp_path / "other").open("w+b") as other:  # gets the number that was given back
        with pytest.raises(ValueError, match="negative"):
            signal.set()
        with pytest.raises(ValueError, match="negative"):
            signal.wait()
        assert other.read() == b""


@kinds
@pytest.mark.parametrize("blocking", [True, False])
def test_is_not_inherited_by_programs(eventfd: bool, blocking: bool) -> None:
    signal = Signal(blocking=blocking, eventfd=eventfd)
    assert not os.get_inheritable(signal.fileno())
    signal.renew()
    assert not os.get_inheritable(signal.fileno())
    signal.close()


@kinds
@pytest.mark.parametrize("blocking", [True, False])
def test_a_renewed_one_shares_nothing_with_what_it_was(eventfd: bool, blocking: bool) -> None:
    signal = Signal(blocking=blocking, eventfd=eventfd)
    number, kept = signal.fileno(), os.dup(signal.fileno())
    before = open_descriptors()
    signal.set()
    signal.renew()
    assert signal.fileno() == number
    assert open_descriptors() == before
    assert os.get_blocking(number) is blocking
    signal.set()
    assert signal.wait() == 1  # not the count from before, and nothing is taken from that
    assert os.read(kept, 8)
    os.close(kept)
    signal.close()


def test_one_that_could_not_be_opened_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe", fail)
    with pytest.raises(OSError, match="Too many"):
        Signal(blocking=True, eventfd=False)  # its __del__ would warn, and warnings are errors
