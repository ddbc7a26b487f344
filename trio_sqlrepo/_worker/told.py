"""What the calls of one transaction are told when it did not come about."""

from __future__ import annotations

import copy

from trio_sqlrepo._base.errors import DatabaseError, SqlError
from trio_sqlrepo._base.job import Job, Kind


def own(error: BaseException) -> BaseException:
    """A copy for one more task: an exception raised in two grows both their tracebacks."""
    mine = copy.copy(error)
    mine.__cause__ = error.__cause__
    return mine


def named(error: BaseException, job: Job) -> BaseException:
    """Say for which call it was, of an error that came before its first statement."""
    if isinstance(error, DatabaseError) and error.query is None:
        error.query = job.parameters[0] if job.kind is Kind.ADHOC else job.label
        text = str(error)
        error.args = (f"{job.label}: {text[:1].lower()}{text[1:]}",)
    return error


def not_run() -> SqlError:
    return SqlError(
        "The connection was lost with an earlier write of the same group; this one was undone and"
        " not run again. Nothing of it was applied: call again."
    )
