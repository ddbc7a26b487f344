"""Every promise at its small setting; `python -m tests.faults --full` runs the full ones."""

from __future__ import annotations

import random

import pytest

from tests.faults.figure import load, promises


@pytest.mark.parametrize("name", promises())
def test_small(name: str) -> None:
    promise = load(name)
    seed = random.randrange(1 << 32)
    print(f"python -m tests.faults {name} --seed {seed}")  # shown where it fails
    figure = promise.run(seed, full=False)
    assert promise.PROMISE
    assert figure.sentence
    assert figure.numbers
