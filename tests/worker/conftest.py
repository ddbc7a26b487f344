from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from trio_sqlrepo._worker import thread


@pytest.fixture(scope="module")
def steady_clock() -> Iterator[None]:
    """The writers' clock, which shows a microsecond more at each look: no group grows old."""
    ticks = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thread, "perf_counter", lambda: next(ticks) * 1e-6)
        yield
