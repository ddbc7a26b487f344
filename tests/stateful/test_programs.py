"""Random programs through the public API agree with a model of the database, to the last row.

Posts, batches, moves, transactions and savepoints that fail, bodies within bodies, conflicts that
end a transaction, calls cancelled at any checkpoint, changes of the schema, tasks at the same time.
What a call gives is what the model gives; what a child process finds in the file at the end is what
the model holds. A counter that all tasks share is checked for linearizability.

A few dozen examples run by default. For 10,000 of them:

    HYPOTHESIS_PROFILE=full python -m pytest tests/stateful
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import example, given

from tests.cancellation.stepping import When
from tests.notes import pool_threads
from tests.stateful.operations import (
    AddColumn,
    Body,
    CancelledInside,
    Increment,
    Put,
    PutStrictly,
    Rows,
    Transaction,
)
from tests.stateful.programs import POOLS, PROGRAMS, Cancel, Step, Together, run
from tests.support import ROOT
from trio_sqlrepo import PoolConfig

Witness = Callable[[Path], dict[str, list[list[Any]]]]


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    """A child that tells what is in a file."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.stateful.witness"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, encoding="utf-8",
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None

        def look(path: Path) -> dict[str, list[list[Any]]]:
            child.stdin.write(f"{path}\n")  # type: ignore[union-attr]
            child.stdin.flush()  # type: ignore[union-attr]
            found: dict[str, list[list[Any]]] = json.loads(child.stdout.readline())  # type: ignore[union-attr]
            return found

        yield look
        child.stdin.close()


TWICE = [Put("a", "1"), PutStrictly("s"), Put("a", "2"), PutStrictly("s"), Put("a", "3"), Rows()]


@given(program=PROGRAMS, pool=POOLS)
@example([Step(Transaction(TWICE, "commit")), Step(Rows())], PoolConfig())
@example([Step(Body([Body(TWICE), Rows()])), Step(Rows())], PoolConfig())
@example(
    [
        Step(Body([AddColumn("x"), Rows()], fails=True)),
        Step(Rows()),
        Step(Transaction([AddColumn("x"), Put("a", "1"), Rows()], "rollback")),
        Step(Rows()),
        Step(AddColumn("x", by_function=True)),
        Step(Rows(), Cancel(When.BLOCKED, 1)),
        Step(Rows()),
    ],
    PoolConfig(max_readers=0),
)
@example(
    [
        Step(
            Transaction(
                [CancelledInside(Put("a", name), When.BLOCKED, int(name)) for name in "12"],
                "commit",
            )
        )
    ],
    PoolConfig(),
)
@example([Together([[Step(Increment())] * 3, [Step(Increment())] * 3])], PoolConfig())
def test_programs(witness: Witness, program: list[Step | Together], pool: PoolConfig) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "test.db")
        state = trio.run(run, program, pool, path)
        found = witness(path)
    assert pool_threads() == []
    assert found["integrity"] == [["ok"]]
    assert [name for (name,) in found["columns"]] == ["id", "box", "body", *state.columns]
    extra = ["default"] * len(state.columns)
    assert found["notes"] == [
        [number, box, body, *extra] for number, (box, body) in sorted(state.notes.items())
    ]
    assert [name for (name,) in found["strict"]] == sorted(state.strict)
    assert found["counter"] == [[state.counter]]
