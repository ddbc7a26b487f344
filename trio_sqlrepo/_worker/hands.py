"""The thread side of a job: runs declared statements, counts them, looks whether to stop."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, final

from trio_sqlrepo._base.driver import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio_sqlrepo._base.driver import Driver
    from trio_sqlrepo._base.job import Parameters, Statement
    from trio_sqlrepo._worker.record import Tally
    from trio_sqlrepo._worker.ticket import Ticket

# Weights of the newest call in `Statement.cost`. A call's time holds its waits for the interpreter
# lock, hundreds of microseconds under load: so the cheaper calls count for more. A query that is
# really slow, 100 ms, is known as such after its first call all the same.
_CHEAPER = 0.5
_DEARER = 0.02


@final
class Hands:
    """What a job may use of its worker. Worker thread only."""

    __slots__ = ("clock", "driver", "ended", "seconds", "tally", "ticket")

    def __init__(
        self,
        driver: Driver,
        ticket: Ticket,
        tally: Tally,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.clock = clock
        self.driver = driver
        self.ticket = ticket
        self.tally = tally
        self.ended = 0.0  # by the clock, at the end of the last `call`
        self.seconds = 0.0  # what it took

    def check(self) -> None:
        """Raise `Interrupted` if the current job is cancelled.

        To be asked before every statement of a job that has several: an interrupt that comes
        between two statements is lost.
        """
        current = self.ticket.current
        if current is not None and current.cancelled:
            message = "The call was cancelled."
            raise Interrupted(message)

    def call(self, statement: Statement, parameters: Parameters) -> Any:
        """Run a declared query once; give what the call returns."""
        record = self.tally.statements[statement.number]
        clock = self.clock
        started = clock()
        try:
            result = self.driver.run(statement, parameters)
            record.rows += len(result) if statement.build is not None else result
            if statement.finish is not None:
                result = statement.finish(result)
        except Interrupted:  # whoever cancelled it knows
            raise
        except BaseException:
            record.errors += 1
            raise
        finally:
            self.ended = ended = clock()
            self.seconds = seconds = ended - started
            record.calls += 1
            record.total_seconds += seconds
            if seconds > record.max_seconds:  # noqa: PLR1730  # max() costs twice as much
                record.max_seconds = seconds
            cost = statement.cost
            statement.cost += (seconds - cost) * (_CHEAPER if seconds < cost else _DEARER)
        return result

    def call_many(self, statement: Statement, batch: Sequence[Parameters]) -> Any:
        """Run a declared query once for each element; give what the call returns."""
        record = self.tally.statements[statement.number]
        started = self.clock()
        try:
            result = self.driver.run_many(statement, batch)
            record.rows += len(result) if statement.build is not None else result
            return result if statement.finish is None else statement.finish(result)
        except Interrupted:  # whoever cancelled it knows
            raise
        except BaseException:
            record.errors += 1
            raise
        finally:
            seconds = self.clock() - started
            record.calls += 1
            record.total_seconds += seconds
            record.max_seconds = max(record.max_seconds, seconds)
            seconds /= max(len(batch), 1)
            cost = statement.cost
            statement.cost += (seconds - cost) * (_CHEAPER if seconds < cost else _DEARER)
