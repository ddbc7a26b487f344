"""Fixtures and Hypothesis profiles for every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No deadline: a shared machine may take its time, and a slow example is not a wrong one. Threads
# start and files open in each example, so generation looks slow to Hypothesis.
_common = settings(
    deadline=None, print_blob=True, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", parent=_common, max_examples=50)
settings.register_profile("full", parent=_common, max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def db_path(tmp_path: Path) -> Path:
    """Where a test's database goes; nothing is there yet."""
    return tmp_path / "test.db"
