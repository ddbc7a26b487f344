"""Histories of concurrent tasks and processes, and two judges of them.

A `History` records what each task did, when, and what came of it. `check_linearizability` judges
single calls against a sequential model of yours; `check_serializability` judges transactions that
append to lists and read them, by the cycles of their dependencies. Needs the extra `testing`.

    history = History()


    async def user(notes: Notes) -> None:
        await history.call("increment", notes.increment)


    def counter(n: int, operation: Operation) -> tuple[int, int]:
        return (n + 1, n + 1) if operation.name == "increment" else (n, n)


    check_linearizability(history, counter, 0).require()
"""

from trio_sqlrepo.testing.histories._linearizability import (
    check_linearizability as check_linearizability,
)
from trio_sqlrepo.testing.histories._operation import Operation as Operation
from trio_sqlrepo.testing.histories._operation import Outcome as Outcome
from trio_sqlrepo.testing.histories._recorder import History as History
from trio_sqlrepo.testing.histories._recorder import Recording as Recording
from trio_sqlrepo.testing.histories._recorder import TransactionRecording as TransactionRecording
from trio_sqlrepo.testing.histories._serializability import (
    check_serializability as check_serializability,
)
from trio_sqlrepo.testing.histories._timeline import timeline as timeline
from trio_sqlrepo.testing.histories._transactions import Append as Append
from trio_sqlrepo.testing.histories._transactions import Read as Read
from trio_sqlrepo.testing.histories._verdict import Anomaly as Anomaly
from trio_sqlrepo.testing.histories._verdict import Undecided as Undecided
from trio_sqlrepo.testing.histories._verdict import Verdict as Verdict

# What users see in tracebacks and help is the public name.
for _public in list(globals().values()):
    if callable(_public) and _public.__module__.startswith(f"{__name__}._"):
        _public.__module__ = __name__
del _public
