from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from trio_sqlrepo._worker import commit


@pytest.fixture(scope="module")
def steady_clock() -> Iterator[None]:
    """The writer's clock, which shows a microsecond more at each look: no group grows old."""
    ticks = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "perf_counter", lambda: next(ticks) * 1e-6)
        yield
