"""Faults at the driver: what SQLite or a thread may do to a call, done to one that is chosen.

For example::

    faults = Faults(Fault("ioerr", at="commit", nth=2))
    async with open_database_with(faults, path, repositories=[Accounts]) as db:
        ...
    faults.check()  # it fired

The connection behind it is a real one, and so are the errors, their verdicts and what is left of
the transaction.
"""

from trio_sqlrepo.testing.faults._database import open_database_with as open_database_with
from trio_sqlrepo.testing.faults._driver import At as At
from trio_sqlrepo.testing.faults._driver import Lane as Lane
from trio_sqlrepo.testing.faults._plan import Failure as Failure
from trio_sqlrepo.testing.faults._plan import Fault as Fault
from trio_sqlrepo.testing.faults._plan import Faults as Faults
from trio_sqlrepo.testing.faults._plan import Fired as Fired

# What users see in tracebacks and help is the public name.
for _public in list(globals().values()):
    if getattr(_public, "__module__", "").startswith(f"{__name__}._"):
        _public.__module__ = __name__
del _public
