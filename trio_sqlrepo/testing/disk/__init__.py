"""Disks that fail, for tests: give one to a database by `SQLiteConfig(vfs=disk.name)`.

`FaultyDisk` makes the n-th read, write, sync, lock fail. `PowerLoss` loses, tears and garbles what
was not synced when its power fails. Both lie over SQLite's default VFS, for every file of a
database: the file itself, its WAL, its shared memory, journals.

They are for SQLite files that this library (apsw) opens: the SQLite of the standard library's
`sqlite3` module is another one and knows none of them.
"""

from trio_sqlrepo.testing.disk._faulty import Fault as Fault
from trio_sqlrepo.testing.disk._faulty import FaultyDisk as FaultyDisk
from trio_sqlrepo.testing.disk._operations import FileKind as FileKind
from trio_sqlrepo.testing.disk._operations import Operation as Operation
from trio_sqlrepo.testing.disk._power import Losses as Losses
from trio_sqlrepo.testing.disk._power import PowerCut as PowerCut
from trio_sqlrepo.testing.disk._power import PowerLoss as PowerLoss

# What users see in tracebacks and help is the public name.
for _public in (Fault, FaultyDisk, FileKind, Losses, Operation, PowerCut, PowerLoss):
    _public.__module__ = __name__
del _public
