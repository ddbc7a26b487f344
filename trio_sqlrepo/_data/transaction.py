"""`Transaction` and `Snapshot`: sessions that hold one connection for a block."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, final

import trio

from trio_sqlrepo._base.errors import DatabaseError, PoolError, SessionError
from trio_sqlrepo._base.job import Job, Kind, Row
from trio_sqlrepo._data.body import check_not_bound_to_connection, guarded, read_only
from trio_sqlrepo._data.calls import (
    LoopSession,
    checked_bindings,
    execute_guarded,
    execute_viewing,
)
from trio_sqlrepo._data.stream import LentFeed
from trio_sqlrepo._pool.block import block
from trio_sqlrepo._pool.lease import Lease, LeaseState
from trio_sqlrepo._query.declare import DeclarationKind
from trio_sqlrepo._query.streams import RowStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from trio_sqlrepo._data.contract import Contract
    from trio_sqlrepo._data.session import Bindings
    from trio_sqlrepo._pool.pool import Pool
    from trio_sqlrepo._query.declare import Declaration
    from trio_sqlrepo._query.plan import Plan
    from trio_sqlrepo._worker.hands import Hands
    from trio_sqlrepo._worker.thread import Worker


class LentSession(LoopSession):
    """What `Transaction` and `Snapshot` share. Loop thread only."""

    __slots__ = ("_lease",)

    _lease: Lease

    @classmethod
    def _make(cls, pool: Pool, contract: Contract, lease: Lease) -> Any:
        session = cls.__new__(cls)
        session._pool = pool
        session._contract = contract
        session._lease = lease
        return session

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._lease.state.value}>"

    def _send(self, job: Job) -> Awaitable[Any]:
        return self._lease.run(job)

    def _stream(self, plan: Plan, parameters: Any) -> RowStream[Any]:
        return RowStream._make(LentFeed(self._pool, self._lease, plan.statement, parameters))


@final
class Transaction(LentSession):
    """An interactive transaction, from `Database.transaction`.

    It holds the writer: every other write waits until it ends. Several tasks may use it; their
    calls run in the order they come. A failing call undoes itself and leaves the transaction open;
    if SQLite ended the transaction, every later use raises `TransactionAborted`.
    """

    __slots__ = ()

    async def execute(self, sql: str, parameters: Bindings = ()) -> list[Row]:
        checked_bindings(sql, parameters)
        work = partial(execute_guarded, sql, parameters)
        return await self._send(Job(Kind.ADHOC, "execute", writes=True, work=work))  # type: ignore[no-any-return]

    async def rollback(self) -> None:
        """Undo everything and end the transaction, without an exception. Not cancellable.

        Raises:
            SessionEnded: it has ended already.
        """
        label = "Transaction.rollback"
        if self._lease.state is not LeaseState.OPEN:
            raise self._lease.ended(label)
        if not trio.lowlevel.in_trio_task():
            # In a body. Seen before the lease is told that it ends: nobody would end it then.
            raise self._explain_outside(label)
        await self._lease.release(_roll_back)

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A block inside the transaction: what it did is undone if it raises.

        Savepoints nest: one that is entered last is left first, whichever task entered it. One
        that is left earlier takes the whole transaction with it, as nothing less can be undone.

        Raises:
            SessionError: the savepoint was left while a younger one was open; all is undone.
            TransactionAborted: the transaction has been undone meanwhile.
        """
        return self._savepoint()

    @block("tx.savepoint")
    async def _savepoint(self) -> AsyncGenerator[None]:
        depth: int = await self._control("savepoint", _open_savepoint)
        try:
            yield
        except BaseException:
            if self._lease.state is LeaseState.OPEN:
                # Otherwise, or if it is gone meanwhile, the savepoint went with the transaction.
                with trio.CancelScope(shield=True), suppress(SessionError, PoolError):
                    await self._control("rollback to savepoint", partial(_undo, depth))
            raise
        if self._lease.state is LeaseState.OPEN:
            with trio.CancelScope(shield=True):
                await self._control("release savepoint", partial(_release, depth))

    async def _control(self, label: str, work: Callable[[Hands], Any]) -> Any:
        return await self._send(Job(Kind.ADHOC, label, writes=True, work=work))

    async def _call(self, plan: Plan, parameters: Any) -> Any:
        statement = plan.statement
        if not statement.writes and not plan.batch:
            job = Job(
                Kind.CALL, statement.name, writes=False, statement=statement, parameters=parameters
            )
        else:
            work = partial(_write, plan, parameters)
            job = Job(Kind.ADHOC, statement.name, writes=True, work=work)
        return await self._send(job)

    def _body_work(self, declaration: Declaration, work: Callable[[Hands], Any]) -> Any:
        if declaration.kind is not DeclarationKind.TRANSACTION:
            return work
        return partial(_guarded_body, work)


@final
class Snapshot(LentSession):
    """One committed state of the database, from `Database.snapshot`. It holds one reader."""

    __slots__ = ()

    async def execute(self, sql: str, parameters: Bindings = ()) -> list[Row]:
        checked_bindings(sql, parameters)
        work = partial(execute_viewing, sql, parameters)
        return await self._send(Job(Kind.ADHOC, "execute", writes=False, work=work))  # type: ignore[no-any-return]

    async def _call(self, plan: Plan, parameters: Any) -> Any:
        statement = plan.statement
        if statement.writes:
            check_not_bound_to_connection(plan)
            raise read_only(statement.name, "a Snapshot")
        kind = Kind.BATCH if plan.batch else Kind.CALL
        job = Job(kind, statement.name, writes=False, statement=statement, parameters=parameters)
        return await self._send(job)

    async def _run_body(
        self,
        declaration: Declaration,
        repository: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if declaration.kind is DeclarationKind.TRANSACTION:
            raise read_only(declaration.qualname, "a Snapshot")
        return await LentSession._run_body(self, declaration, repository, args, kwargs)


@block("db.transaction")
async def transaction_block(pool: Pool, contract: Contract) -> AsyncGenerator[Transaction]:
    """Hold the writer for a block: COMMIT at its end, ROLLBACK if it raises."""
    lease = await Lease.acquire(pool, "Transaction", writes=True)
    try:
        yield Transaction._make(pool, contract, lease)
    except BaseException:
        await _abandon(lease)
        raise
    if lease.state is LeaseState.OPEN:
        await lease.release(_commit)


@block("db.snapshot")
async def snapshot_block(pool: Pool, contract: Contract) -> AsyncGenerator[Snapshot]:
    """Hold one reader for a block."""
    lease = await Lease.acquire(pool, "Snapshot", writes=False)
    try:
        yield Snapshot._make(pool, contract, lease)
    finally:
        await _abandon(lease)


async def _abandon(lease: Lease) -> None:
    """Undo and give the connection back; whatever stands in the way, it is gone already."""
    if lease.state is LeaseState.OPEN:
        # Otherwise the pool was closed or is out of service, or the connection was lost, and the
        # transaction with it.
        with suppress(SessionError, PoolError, DatabaseError):
            await lease.release(_roll_back)


# What a lent worker is told, on its thread.


def _commit(worker: Worker) -> None:
    worker.commit()


def _roll_back(worker: Worker) -> None:
    worker.hands.driver.rollback()


# Which savepoint is the youngest only the thread knows: tasks hear of theirs in any order.


def _open_savepoint(hands: Hands) -> int:
    hands.driver.savepoint()
    return hands.driver.savepoint_depth


def _release(depth: int, hands: Hands) -> None:
    if hands.driver.savepoint_depth == depth:
        hands.driver.release()
        return
    hands.driver.rollback()
    message = (
        "A savepoint was left while a younger one, of another task, was still open; the whole"
        " transaction is undone. Savepoints of one transaction must nest: open them in one task,"
        " or one after the other."
    )
    raise SessionError(message)


def _undo(depth: int, hands: Hands) -> None:
    if hands.driver.savepoint_depth == depth:
        hands.driver.undo()
    else:
        hands.driver.rollback()


def _guarded_body(work: Callable[[Hands], Any], hands: Hands) -> Any:
    return guarded(hands.driver, work, hands)


def _write(plan: Plan, parameters: Any, hands: Hands) -> Any:
    run = hands.call_many if plan.batch else hands.call
    return guarded(hands.driver, run, plan.statement, parameters)
