"""What a run found, as it is kept: tables, plots and comparisons are made from it alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import attrs
import cattrs

from benchmarks.judge import Spread, Verdict, ratios
from benchmarks.measure import Metrics
from benchmarks.workload import Column

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.rounds import Results

FORMAT: Final = 1  # of the file


@attrs.frozen(kw_only=True)
class Figures:
    """One workload's."""

    name: str
    question: str
    one_core: bool
    columns: list[Column]
    compare: str  # the metric whose ratios are shown
    more_is_better: bool
    rounds: dict[str, list[Metrics | None]]  # by contender; the first is compared with
    settings: dict[str, dict[str, Any]]
    failures: dict[str, str]
    missing: list[str]
    not_run: dict[str, str]
    goals: list[Verdict]

    @classmethod
    def of(cls, results: Results) -> Figures:
        workload = results.workload
        return cls(
            name=workload.name,
            question=workload.question,
            one_core=workload.one_core,
            columns=list(workload.columns),
            compare=workload.compare,
            more_is_better=workload.more_is_better,
            rounds=results.rounds,
            settings=results.settings,
            failures=results.failures,
            missing=results.missing,
            not_run=dict(workload.not_run),
            goals=[goal.judge(results.rounds) for goal in workload.goals],
        )

    @property
    def reference(self) -> str:
        """The contender that others are compared with."""
        return next(iter(self.rounds), "")

    def of_contender(self, name: str, metric: str) -> list[float]:
        """One figure of one contender, of each round that has it."""
        return [m[metric] for m in self.rounds.get(name, ()) if m is not None and metric in m]

    def median(self, name: str, metric: str) -> float | None:
        spread = Spread.of(self.of_contender(name, metric))
        return None if spread is None else spread.median

    def header(self) -> list[str]:
        """Titles of the columns of `rows`."""
        compared = self.compare.removesuffix("_ms")
        first = "" if self.reference == "trio_sqlrepo" else f" {self.reference}'s"
        ratio = f"{compared} ÷{first}" if first else f"{compared} ÷ ours"
        return ["contender", *(column.title for column in self.columns), ratio]

    def rows(self) -> list[list[str]]:
        """A line for each contender: the medians, and the ratio with its range."""
        return [self._row(name) for name in self.rounds]

    def _row(self, name: str) -> list[str]:
        cells = [name]
        for column in self.columns:
            middle = self.median(name, column.metric)
            cells.append("–" if middle is None else f"{middle:,.{column.digits}f}")
        compared = Spread.of(ratios(self.rounds, name, self.reference, self.compare))
        cells.append("" if compared is None or name == self.reference else shown(compared, 2))
        return cells

    def losses(self) -> list[str]:
        """Sentences about contenders that lost or refused work."""
        found = []
        for name in self.rounds:
            for metric, what in _LOSSES.items():
                total = sum(self.of_contender(name, metric))
                if total:
                    found.append(f"{name}: {total:,.0f} {what}")
        return found


_LOSSES: Final = {
    "lost": "acknowledged writes are not in the file",
    "lock_errors": "calls failed because the database was locked",
    "refused": "calls were refused",
    "dropped": "requests found 10 000 in flight and were dropped",
    "errors": "calls failed otherwise",
}


@attrs.frozen(kw_only=True)
class Run:
    """All of it."""

    machine: dict[str, Any]
    versions: dict[str, str]
    workloads: list[Figures]
    quick: bool = False
    date: str = ""  # of the start, UTC
    format: int = FORMAT

    def find(self, name: str) -> Figures | None:
        return next((figures for figures in self.workloads if figures.name == name), None)

    def check_joins(self, other: Run) -> None:
        """See that figures of both may stand in one table.

        Raises:
            UnfitError: they may not.
        """
        facts = ("system", "processor", "cores", "python", "file_system")
        changed = [fact for fact in facts if self.machine.get(fact) != other.machine.get(fact)]
        if self.quick != other.quick:
            changed.append("--quick")
        if changed:
            raise UnfitError(
                f"The run to resume differs from this one in {', '.join(changed)}: their figures do"
                " not belong together. Measure anew, without --resume."
            )

    def learn(self, versions: Mapping[str, str]) -> None:
        """Note the versions that a workload was measured with.

        Raises:
            UnfitError: an earlier one was measured with another version of something.
        """
        mine = {**versions, **self.versions}
        changed = [name for name in versions if mine[name] != versions[name]]
        if changed:
            raise UnfitError(
                f"The run to resume was measured with other versions of {', '.join(changed)}."
                " Measure anew, without --resume."
            )
        self.versions.update(versions)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(cattrs.unstructure(self), indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read what `save` wrote.

        Raises:
            UnreadableError: it is no such file.
        """
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["format"] != FORMAT:
                raise UnreadableError(
                    f"{path} has the format {stored['format']}; this suite reads {FORMAT}."
                    " Measure again, or compare with the suite of that time."
                )
            return cattrs.structure(stored, cls)
        except (OSError, ValueError, KeyError, TypeError, cattrs.BaseValidationError) as error:
            raise UnreadableError(
                f"{path} holds no results of this suite ({type(error).__name__}); give a file that"
                " `python -m benchmarks` wrote."
            ) from error


class UnreadableError(Exception):
    """A file that holds no results."""


class UnfitError(Exception):
    """Figures that do not belong together."""


def shown(spread: Spread, digits: int) -> str:
    """Write the median, and the range if there is one."""
    if spread.least == spread.most:
        return f"{spread.median:,.{digits}f}"
    return f"{spread.median:,.{digits}f} ({spread.least:,.{digits}f}–{spread.most:,.{digits}f})"


def verdict_line(verdict: Verdict) -> tuple[str, str]:
    """Say whether a goal is met, in a word and in a line."""
    word = {True: "met", False: "MISSED", None: "not measured"}[verdict.met]
    value = "no figure" if verdict.value is None else shown(verdict.value, 2)
    return word, f"{verdict.goal}: {value}"
