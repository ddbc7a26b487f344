"""What SQLite makes of its own errors: ours, and of the open transaction.

The real driver does all it can do: it is told that SQLite has raised, and goes on from there. What
SQLite itself would have done before it raised is done here (`sqlite3VdbeHalt` in its vdbeaux.c): an
I/O error, a full disk and an interrupted write end the whole transaction. (A full disk does not
always: where SQLite keeps a statement journal only the statement is undone. The worse is done.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_sqlrepo._sqlite import codes
from trio_sqlrepo._sqlite.busy import BusyHandler
from trio_sqlrepo._sqlite.opening import _unopened

if TYPE_CHECKING:
    from trio_sqlrepo._sqlite import SqliteDriver

# SQLite's result codes (https://sqlite.org/rescode.html).
BUSY: Final = 5
NOMEM: Final = 7
INTERRUPT: Final = 9
IOERR: Final = 10
IOERR_READ: Final = 266
IOERR_FSYNC: Final = 1034
CORRUPT: Final = 11
FULL: Final = 13

_ENDING: Final = frozenset({IOERR, FULL, NOMEM})  # what ends an open transaction, by primary code
_PRIMARY: Final = 0xFF


def interruption(
    driver: SqliteDriver, *, writes: bool, name: str | None = None, sql: str | None = None
) -> BaseException:
    """What an interrupted statement raises; a write has ended its transaction."""
    if writes:
        _end_transaction(driver)
    return driver._link.converted(codes.injected(INTERRUPT), name=name, sql=sql)


def statement_error(
    driver: SqliteDriver, code: int, *, name: str | None = None, sql: str | None = None
) -> BaseException:
    """What a statement, or a BEGIN, raises that meets this code."""
    if code & _PRIMARY in _ENDING:
        _end_transaction(driver)
    return driver._link.converted(codes.injected(code), name=name, sql=sql)


def commit_error(driver: SqliteDriver, code: int, *, applied: bool) -> BaseException:
    """What a COMMIT raises; `applied`: what it says of it, it is on the disk."""
    transaction = driver._transaction
    error = codes.injected(code)
    unknown = not codes.leaves_nothing(code)
    failure = transaction._commit_failed(error)
    if unknown and driver.in_transaction:
        driver._link.own(transaction._commit if applied else transaction._rollback)
    return failure


def opening_error(path: str, code: int) -> BaseException:
    """What opening a connection raises."""
    return _unopened(path, codes.injected(code), BusyHandler(0.0))


def _end_transaction(driver: SqliteDriver) -> None:
    """Have SQLite end it as if by itself: the driver is not told, and has to notice."""
    if driver.in_transaction:
        driver._link.own(driver._transaction._rollback)
        driver._transaction.notice()
