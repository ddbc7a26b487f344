"""What a statement and a job say of themselves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import pytest

from tests.fake_driver import batch, call, statement
from trio_sqlrepo._base.job import Job, Kind, Stopped


def test_a_statement_says_whether_it_writes() -> None:
    assert repr(statement("Notes.add")) == "<Statement Notes.add writes>"
    assert repr(statement("Notes.all", writes=False)) == "<Statement Notes.all reads>"


def test_a_job_says_who_has_it() -> None:
    job = call("Notes.add")
    assert repr(job) == "<Job Notes.add call waiting>"
    job.claim.pop()
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
    assert Job(kind, "a", writes=False).views is (kind not in {Kind.LEASE, Kind.RELEASE})


# -- the outcome its task is given -----------------------------------------------------------------


def answered(value: object = None, error: BaseException | None = None) -> Job:
    job = call("a")
    job.value, job.error = value, error
    return job


def echo() -> Generator[str, str, None]:
    try:
        yield f"got {(yield 'ready')}"
    except ValueError as error:
        yield f"met {error}"


async def echo_async() -> AsyncGenerator[str, str]:
    yield f"got {(yield 'ready')}"


def test_it_unwraps_to_its_value_or_error() -> None:
    assert answered(5).unwrap() == 5
    with pytest.raises(ValueError, match="no"):
        answered(error=ValueError("no")).unwrap()


def test_it_lets_go_of_the_error_it_has_raised() -> None:
    job = answered(error=ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        job.unwrap()
    assert job.error is None


def raise_cancel() -> None:
    raise KeyboardInterrupt  # stands for trio's Cancelled


@pytest.mark.parametrize("error", [None, ValueError("no"), Stopped("a")])
@pytest.mark.parametrize("writes", [True, False])
def test_cancelled_it_tells_what_has_become_of_it(
    error: BaseException | None, writes: bool
) -> None:
    job = call("a", writes=writes)
    job.value, job.error, job.raise_cancel = 5, error, raise_cancel
    if not writes or isinstance(error, Stopped):
        with pytest.raises(KeyboardInterrupt):
            job.unwrap()
    elif error is None:
        assert job.unwrap() == 5
    else:
        with pytest.raises(ValueError, match="no"):
            job.unwrap()


def test_it_is_an_outcome_to_whoever_sends_it() -> None:
    generator = echo()
    assert next(generator) == "ready"
    assert answered("this").send(generator) == "got this"
    generator = echo()
    assert next(generator) == "ready"
    assert answered(error=ValueError("this")).send(generator) == "met this"


async def test_it_is_an_outcome_to_whoever_sends_it_asynchronously() -> None:
    generator = echo_async()
    assert await anext(generator) == "ready"
    assert await answered("this").asend(generator) == "got this"
    await generator.aclose()


def test_jobs_are_told_apart_by_identity() -> None:
    one, other = answered(5), answered(5)
    assert one != other
    assert len({one, other, one}) == 2
