"""Ten thousand damaged files: each is met by a pool in a child process, whose death is counted."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import attrs

from tests.faults.files_damaged import GUARD
from tests.faults.files_swapped import MOST_REOPENED
from tests.faults.ledger import ROWS
from tests.faults.recovery import Recovery
from tests.faults.zygote import Zygote
from trio_sqlrepo.testing import ChildReader

_BATCH: Final = 500  # cases of one child
_SHOWN: Final = 10  # broken cases that are told of


@attrs.define
class _Cases:
    """All cases, and what came of them."""

    directory: Path
    seed: int
    recovery: Recovery
    reader: ChildReader
    numbers: Counter[str] = attrs.field(factory=Counter)
    kinds: Counter[str] = attrs.field(factory=Counter)  # of errors
    broken: list[str] = attrs.field(factory=list)

    def run(self, zygote: Zygote, count: int) -> None:
        zygote.run("prepare_files", str(self.directory))
        following = 0
        while following < count:
            following = self.run_batch(zygote, following, min(following + _BATCH, count))

    def run_batch(self, zygote: Zygote, first: int, end: int) -> int:
        """Have one child meet the cases; the number of the first that was not met."""
        errors = self.directory / "errors"
        zygote.start("meet_damage", str(self.directory), self.seed, first, end, errors=errors)
        heard, current = 0, first - 1
        while heard < len(zygote.lines) or zygote.code is None:
            if heard == len(zygote.lines):
                seen = heard
                patience = time.monotonic() + 2 * GUARD
                zygote.hear_until(patience, stop=lambda seen=seen: len(zygote.lines) > seen)
                if zygote.code is None and len(zygote.lines) == seen:
                    self.numbers["hangs"] += 1
                    zygote.send(signal.SIGUSR1)  # its stacks
                    zygote.hear_until(time.monotonic() + 1)
                    zygote.send(signal.SIGKILL)
                    zygote.wait()
                continue
            word, _, rest = zygote.lines[heard].partition(" ")
            heard += 1
            if word == "case":
                current = int(rest)
            else:
                self.judge(current, json.loads(rest))
        if zygote.code:
            self.numbers["crashes"] += 1
            said = errors.read_text(encoding="utf-8", errors="replace")[-3000:]
            self.broken.append(f"case {current}: the process ended with {zygote.code}\n{said}")
            return current + 1
        return end

    def judge(self, number: int, outcome: dict[str, Any]) -> None:
        self.numbers["files"] += 1
        for name in ("opened", "noticed", "restored", "resumed", "serving"):
            self.numbers[name] += outcome[name]
        self.numbers["reopened"] = max(self.numbers["reopened"], outcome["reopened"])
        self.kinds.update(outcome["errors"])
        if outcome["broken"]:
            self.broken.append(f"case {number}:\n{outcome['broken']}")
        if outcome["reopened"] > MOST_REOPENED:
            self.broken.append(f"case {number}: {outcome['reopened']} reopenings")
        path = self.directory / f"case {number}.db"
        if outcome["after"]:
            self.judge_answers(number, path, outcome)
        if outcome["resumed"]:
            try:
                self.recovery.rows(path, ROWS)
            except AssertionError as error:
                self.broken.append(f"case {number}: back in service, and {error}, {outcome}")
        for left in self.directory.glob(f"{path.name}*"):
            left.unlink()

    def judge_answers(self, number: int, path: Path, outcome: dict[str, Any]) -> None:
        """What was acknowledged after the pool had been out of service must be there."""
        try:
            if outcome["restored"]:
                rows = self.recovery.rows(path, ROWS)
            else:
                rows = self.reader.read(path, ROWS)
            found, said = {row[1] for row in rows}, f"{len(rows)} rows"
        except AssertionError as error:
            found, said = set(), str(error)
        self.numbers["after"] += len(outcome["after"])
        if lost := set(outcome["after"]) - found:
            self.numbers["false"] += 1
            self.broken.append(
                f"case {number}: {sorted(lost)} acknowledged after the damage was noticed, not"
                f" found: {said}, {outcome}"
            )


def flip_files(
    seed: int, count: int, directory: Path, recovery: Recovery, reader: ChildReader
) -> Counter[str]:
    """Damage so many files; what was counted.

    Raises:
        AssertionError: crashes, hangs, errors without a type, false acknowledgements.
    """
    cases = _Cases(directory, seed, recovery, reader)
    with Zygote() as zygote:
        cases.run(zygote, count)
    numbers = cases.numbers
    numbers["errors"] = sum(cases.kinds.values())
    if cases.broken:
        told = f"{len(cases.broken)} of {count} are broken ({dict(numbers)}, {dict(cases.kinds)}):"
        message = "\n\n".join([told, *cases.broken[:_SHOWN]])
        raise AssertionError(message)
    return numbers
