"""A file that is taken away or damaged, and a full disk, are noticed and survived."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final
from unittest import mock

from tests.faults.figure import Figure
from tests.faults.files_flipped import flip_files
from tests.faults.files_full import fill_disks
from tests.faults.files_swapped import MOST_REOPENED, swap_files
from tests.faults.recovery import Recovery
from trio_sqlrepo._pool.hub import logger
from trio_sqlrepo.testing import ChildReader

PROMISE: Final = (
    "a deleted, replaced or damaged file and a full disk give no false answer, and service returns"
)


def run(seed: int, *, full: bool) -> Figure:
    """Swap files under load, damage files, fill a small disk up."""
    swaps, flips, fillups = (100, 10_000, 100) if full else (4, 20, 2)
    # Of each outage a line is logged: thousands.
    with (
        mock.patch.object(logger, "disabled", new=True),
        tempfile.TemporaryDirectory() as directory,
        Recovery() as recovery,
        ChildReader() as reader,
    ):
        swapped = swap_files(seed, swaps, Path(directory), recovery, reader)
        flipped = flip_files(seed, flips, Path(directory), recovery, reader)
        filled = fill_disks(seed, fillups)
    disk = "a tmpfs" if filled["tmpfs"] else "FaultyDisk, as none could be mounted,"
    reopened = max(swapped["reopened"], flipped["reopened"])
    assert reopened <= MOST_REOPENED
    return Figure(
        f"{swapped['swaps']} swaps, {swapped['noticed']} noticed by a call,"
        f" {swapped['acknowledged']} acknowledged, 0 falsely, service"
        f" {swapped['back'] / 1000:.2f} s after the well file at the latest; {flipped['files']}"
        f" damaged files ({flipped['serving']} while they were served), {flipped['opened']} opened,"
        f" {flipped['noticed']} put out of service, {flipped['restored']} restored,"
        f" {flipped['resumed']} found well again,"
        f" {flipped['errors']} typed errors, 0 others, 0 crashes, 0 hangs,"
        f" {flipped['after']} acknowledged after that, 0 falsely; {filled['fillups']} fill-ups of"
        f" {disk}: {filled['refused']} writes refused and absent, {filled['acknowledged']}"
        f" acknowledged, 0 lost, no read failed, no connection was opened anew; at most {reopened}"
        " reopenings in a row",
        {
            **{f"swaps_{name}": number for name, number in swapped.items()},
            **{f"flips_{name}": number for name, number in flipped.items()},
            **{f"fill_ups_{name}": number for name, number in filled.items()},
            "crashes": flipped["crashes"],
            "false_acknowledgements": flipped["false"],
        },
    )
