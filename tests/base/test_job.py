"""What a statement and a job say of themselves."""

from __future__ import annotations

import pytest

from tests.fake_driver import batch, call, statement
from trio_sqlrepo._base.job import Job, Kind


def test_a_statement_says_whether_it_writes() -> None:
    assert repr(statement("Notes.add")) == "<Statement Notes.add writes>"
    assert repr(statement("Notes.all", writes=False)) == "<Statement Notes.all reads>"


def test_a_job_says_who_has_it() -> None:
    job = call("Notes.add")
    assert repr(job) == "<Job Notes.add call waiting>"
    del job.claim
    assert repr(job) == "<Job Notes.add call taken>"
    job.cancelled = True
    assert repr(job) == "<Job Notes.add call cancelled>"


def test_a_job_carries_either_a_statement_or_work() -> None:
    query = statement("Notes.all", writes=False)
    made = Job(Kind.CALL, "Notes.all", writes=False, statement=query, parameters=(1,))
    assert (made.statement, made.parameters, made.work) == (query, (1,), None)
    other = Job(Kind.ADHOC, "execute", writes=True, work=repr, parameters="SELECT 1")
    assert (other.statement, other.parameters, other.work) == (None, "SELECT 1", repr)


@pytest.mark.parametrize("writes", [True, False])
def test_the_short_way_to_make_a_call_makes_the_same(writes: bool) -> None:
    for short, kind in [
        (call("a", writes=writes), Kind.CALL),
        (batch("a", writes=writes), Kind.BATCH),
    ]:
        assert short.statement is not None
        long = Job(
            kind, "a", writes=writes, statement=short.statement, parameters=short.parameters
        )  # fmt: skip
        assert vars(short) == vars(long)


@pytest.mark.parametrize("kind", Kind)
def test_only_a_read_that_gives_nothing_back_can_be_dropped(kind: Kind) -> None:
    assert not Job(kind, "a", writes=True).views
    assert Job(kind, "a", writes=False).views is (
        kind not in {Kind.LEASE, Kind.RELEASE, Kind.PROBE, Kind.BACKUP}
    )


def test_it_unwraps_to_its_value() -> None:
    job = call("a")
    job.value = 5
    assert job.unwrap() == 5
