"""What a fork does to pools: nothing in the parent; in the child every use is refused.

SQLite's connections must not cross a fork (https://sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_).
The child neither uses nor closes them: the threads that owned them are gone, their stacks, and so
the references they held, stay for ever.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Final

from trio_sqlrepo._pool.state import State

if TYPE_CHECKING:
    from trio_sqlrepo._pool.pool import Pool

_pools: Final[weakref.WeakSet[Pool]] = weakref.WeakSet()


def guard(pool: Pool) -> None:
    """Have every use of the pool refused in processes that are forked from this one."""
    _pools.add(pool)


def _in_child() -> None:
    for pool in _pools:
        pool.state = State.FORKED
        pool.renew_signals()


os.register_at_fork(after_in_child=_in_child)
