"""The test kit: what applications test their repositories with, and this library itself.

Needs the extra `testing`. Here is what needs no more than the library: a database in memory for the
repositories of one test, the assertion that no query of them reads a whole table, a child process
that reads a database file, and a guard against leaks. One module for each further purpose:

- `trio_sqlrepo.testing.disk`: files whose operations fail, and a disk whose power does.
- `trio_sqlrepo.testing.faults`: faults at the driver, under your own repositories.
- `trio_sqlrepo.testing.histories`: records what concurrent tasks did, and judges whether it was
  linearizable, or serializable.
- `trio_sqlrepo.testing.plugin`: fixtures for pytest, found by themselves.
- `trio_sqlrepo.testing.schedules`: concurrent programs that Hypothesis draws, shrinks and repeats.
"""

from trio_sqlrepo.testing._child import ChildReader as ChildReader
from trio_sqlrepo.testing._child import read_in_child as read_in_child
from trio_sqlrepo.testing._leaks import LeakGuard as LeakGuard
from trio_sqlrepo.testing._memory import memory_database as memory_database
from trio_sqlrepo.testing._scans import assert_no_full_scans as assert_no_full_scans

# What users see in tracebacks and help is the public name.
for _public in (ChildReader, LeakGuard, assert_no_full_scans, memory_database, read_in_child):
    _public.__module__ = __name__
del _public
