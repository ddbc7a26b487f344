"""Concurrent schedules: what several tasks do at once with a database, in an order that repeats.

For example::

    bank = Scenario(
        repositories=[Accounts],
        migrations=[SCHEMA],
        prepare=fill,
        check=nothing_is_lost,
        operations=[call(Accounts.transfer, source=ids, target=ids, amount=amounts)],
    )


    @given(schedules(bank))
    def test_transfers(schedule: Schedule) -> None:
        run_schedule(bank, schedule)

The whole library runs, with its threads and real SQLite files, but one thread at a time and by a
clock of the schedule's: the same schedule takes the same course each time. Needs Hypothesis.
"""

from trio_sqlrepo.testing.schedules._conductor import StuckError as StuckError
from trio_sqlrepo.testing.schedules._program import Call as Call
from trio_sqlrepo.testing.schedules._program import Cancelled as Cancelled
from trio_sqlrepo.testing.schedules._program import Deadline as Deadline
from trio_sqlrepo.testing.schedules._program import Operation as Operation
from trio_sqlrepo.testing.schedules._program import Schedule as Schedule
from trio_sqlrepo.testing.schedules._program import Step as Step
from trio_sqlrepo.testing.schedules._record import Done as Done
from trio_sqlrepo.testing.schedules._record import Ending as Ending
from trio_sqlrepo.testing.schedules._record import Event as Event
from trio_sqlrepo.testing.schedules._record import Run as Run
from trio_sqlrepo.testing.schedules._runner import run_schedule as run_schedule
from trio_sqlrepo.testing.schedules._scenario import Scenario as Scenario
from trio_sqlrepo.testing.schedules._strategy import call as call
from trio_sqlrepo.testing.schedules._strategy import faults as faults
from trio_sqlrepo.testing.schedules._strategy import schedules as schedules

# What users see in tracebacks and help is the public name.
for _public in list(globals().values()):
    if getattr(_public, "__module__", "").startswith(f"{__name__}._"):
        _public.__module__ = __name__
del _public
