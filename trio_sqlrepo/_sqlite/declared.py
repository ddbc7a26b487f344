"""Declared statements: compiled once, kept so, run to their end; the hot path of the library."""

from __future__ import annotations

import threading
from itertools import islice
from typing import TYPE_CHECKING, Any

import apsw

from trio_sqlrepo._base.driver import Fetched, Interrupted
from trio_sqlrepo._base.errors import DeclarationError
from trio_sqlrepo._sqlite.cache import CHUNK, LONGEST, Kept
from trio_sqlrepo._sqlite.gate import SCHEMA_CHANGES
from trio_sqlrepo._sqlite.transaction import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_sqlrepo._base.job import Parameters, Statement
    from trio_sqlrepo._sqlite.gate import Action
    from trio_sqlrepo._sqlite.link import Epoch, Link
    from trio_sqlrepo._sqlite.streams import OpenRows, Streams
    from trio_sqlrepo._sqlite.transaction import Transaction

_CHANGES = frozenset({apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE})


class DeclaredStatements:
    """The declared statements of one connection. Used on the connection's thread only."""

    __slots__ = (
        "_cache", "_connection", "_footprints", "_gate", "_kept", "_link", "_streams", "_thread",
        "_transaction",
    )  # fmt: skip

    _streams: Streams

    def __init__(self, link: Link, transaction: Transaction) -> None:
        self._link = link
        self._connection = link.connection
        self._gate = link.gate
        self._cache = link.cache
        self._transaction = transaction
        self._footprints = transaction.footprints
        self._thread = threading.get_ident()
        self._kept: dict[Statement, Kept] = {}

    def prepare(self, statements: Sequence[Statement]) -> None:
        """Compile every statement and keep it compiled. A reader leaves out those that write.

        Raises `DeclarationError` for all that don't fit the schema.
        """
        problems: list[str] = []
        epoch, calls = self._link.epoch(), self._gate.calls
        for statement in statements:
            if statement.writes and self._link.reads_only:
                continue
            try:
                self._keep(statement, epoch)
            except DeclarationError as error:
                problems += error.problems
        if problems:
            raise DeclarationError(*problems)
        # What the compiler was asked since then was about the others: none of them has run.
        for kept in self._kept.values():
            if kept.seen >= calls:
                kept.seen = self._gate.calls

    def is_precompiled(self, statement: Statement) -> bool:
        """Whether the statement will run without being compiled.

        From another thread too, but then as this connection last saw the schema: one that another
        connection has changed since is noticed by the next statement here.
        """
        kept = self._kept.get(statement)
        if kept is None or not self._cache.holds(kept):
            return False
        try:
            return self._link.is_fresh(kept, ask=threading.get_ident() == self._thread)
        except apsw.Error:
            return False

    @property
    def compilations(self) -> int:
        """A number that grows whenever SQLite compiles, re-preparations included."""
        return self._gate.calls

    def run(self, statement: Statement, parameters: Parameters) -> Any:  # noqa: C901  # a call less
        """Run it to its end; give its built rows (at most two if `single`), or its row count."""
        # The hot path: no call that could be spared, no attribute looked up twice.
        kept = self._kept.get(statement) or self._keep(statement)
        if kept.writes:
            transaction = self._transaction
            if transaction.state is not State.WRITING:
                transaction.refuse_write(statement.name)
            if transaction.written is not None:
                transaction.written.declared[kept] = None
        cache = self._cache
        uses = cache.uses + 1
        if kept.last_use > uses:  # parked: its cursor puts it into the ring and takes it out again
            uses += 1
        cache.uses = kept.last_use = uses
        if uses >= cache.look_at:
            cache.look()
        try:
            rows = kept.execute(kept.sql, parameters)
            if kept.seen != self._gate.calls:
                self._verify(kept)
            build = kept.build
            if build is None:
                return kept.count()
            if not kept.single:
                return [build(row) for row in rows]
            built = []
            for row in rows:
                built.append(build(row))
                if len(built) > 1:
                    kept.reset()
                    break
        except BaseException as error:  # noqa: BLE001  # whatever a builder or a function raises
            failure = self._failed(kept, error)
        else:
            return built
        # Here and not in the handler, so that apsw's error does not become its context.
        raise failure

    def fetch(self, statement: Statement, parameters: Parameters) -> Fetched:
        """Run a read to its end; give its rows as they are (at most two if `single`)."""
        kept = self._kept.get(statement) or self._keep(statement)
        self._cache.use(kept)
        try:
            cursor = kept.execute(kept.sql, parameters)
            if kept.seen != self._gate.calls:
                self._verify(kept)
            rows = list(islice(cursor, 2 if kept.single else None))
            if kept.single and len(rows) > 1:
                kept.reset()
            footprint = self._footprints.of(kept)
            assert kept.build is not None, "what reads has columns"
        except BaseException as error:  # noqa: BLE001  # as above
            failure = self._failed(kept, error)
        else:
            return Fetched(kept.columns, rows, kept.build, footprint)
        raise failure

    def run_many(self, statement: Statement, batch: Sequence[Parameters]) -> Any:
        """Run it once for each element; give all built rows in order, or the sum of row counts."""
        if statement.counts_by_total:
            return self._insert_many(statement, batch)
        rows: list[Any] = []
        count = 0
        for start in range(0, len(batch), CHUNK):
            self._ask()
            chunk = batch[start : start + CHUNK]
            if statement.build is None:
                count += self._run_each(statement, chunk)
            else:
                for parameters in chunk:
                    rows += self.run(statement, parameters)
        return count if statement.build is None else rows

    def _insert_many(self, statement: Statement, batch: Sequence[Parameters]) -> int:
        """Insert with executemany: a quarter of the time, where the total tells the rows."""
        kept = self._kept.get(statement) or self._keep(statement)
        transaction = self._transaction
        if transaction.state is not State.WRITING:
            transaction.refuse_write(statement.name)
        if transaction.written is not None:
            transaction.written.declared[kept] = None
        before = self._connection.total_changes()
        count = 0
        try:
            # A trigger made since then would be counted too. Inside a write transaction nobody
            # else changes the schema.
            if kept.epoch != self._link.epoch():
                self._learn_to_count(kept)
            for start in range(0, len(batch), CHUNK):
                self._ask()
                chunk = batch[start : start + CHUNK]
                if kept.by_total:
                    self._cache.use(kept, len(chunk))
                    kept.cursor.executemany(kept.sql, chunk)
                else:
                    count += self._run_each(statement, chunk)
            if kept.seen != self._gate.calls:
                self._verify(kept)
        except BaseException as error:  # noqa: BLE001  # as above
            failure = self._failed(kept, error)
        else:
            return self._connection.total_changes() - before if kept.by_total else count
        raise failure

    def stream(self, statement: Statement, parameters: Parameters) -> OpenRows:
        """Start a read whose rows are stepped and built bit by bit."""
        kept = self._kept.get(statement) or self._keep(statement)
        return self._streams.open(kept, parameters)

    def _run_each(self, statement: Statement, chunk: Sequence[Parameters]) -> int:
        return sum([self.run(statement, parameters) for parameters in chunk])

    def _ask(self) -> None:
        if self._link.busy.give_up():
            raise Interrupted("The call was given up between two chunks of its batch.")

    # -- keeping them right --------------------------------------------------------------------

    def _keep(self, statement: Statement, epoch: Epoch | None = None) -> Kept:
        """Compile it, keep it compiled, check its columns, see how its rows are counted.

        `epoch` is the present one, or one before it, if the caller knows it.
        """
        before = self._kept.get(statement)
        if before is not None:
            if self.is_precompiled(statement):
                return before
            del self._kept[statement]
            self._cache.drop(before)
        if len(statement.sql.encode()) > LONGEST:
            raise DeclarationError(
                f"{statement.name} is longer than {LONGEST} bytes, the most that can be kept"
                " compiled; shorten it."
            )
        kept = Kept(self._connection, statement.sql, statement)
        try:
            self._check(kept, self._cache.keep(kept), epoch or self._link.epoch())
            if kept.build is None:
                self._learn_to_count(kept)
        except BaseException as error:  # noqa: BLE001  # as above
            failure = self._failed(kept, error)
            self._cache.drop(kept)
        else:
            self._kept[statement] = kept
            return kept
        raise failure

    def _learn_to_count(self, kept: Kept) -> None:
        """See how to count the rows of a statement that returns none."""
        actions: list[Action] = []
        self._gate.recorded = actions
        try:
            self._link.compile_error(kept.sql)  # beside the cache: this surely compiles it
        finally:
            self._gate.recorded = None
        # Other statements leave the count of the one before them standing.
        done = {action for action, table, *_ in actions if not (table or "").startswith("sqlite_")}
        if not done.isdisjoint(_CHANGES) and done.isdisjoint(SCHEMA_CHANGES):
            kept.count = self._connection.changes
        kept.by_total = self._fills_one_table(actions)

    def _fills_one_table(self, actions: list[Action]) -> bool:
        """Whether all its changes are rows of one ordinary table, so that the total counts them.

        Triggers, foreign-key actions and the tables behind a virtual one count as well.
        """
        if any(trigger is not None for *_, trigger in actions):
            return False
        changed = {(action, table) for action, table, *_ in actions if action in _CHANGES}
        tables = {table for _, table in changed}
        if (apsw.SQLITE_DELETE, *tables) in changed or len(tables) != 1:
            return False
        return bool(self._link.ask(self._link.is_table, *map(str, tables)))

    def _verify(self, kept: Kept) -> None:
        """Check the columns of a statement that ran, because SQLite has compiled something.

        Whether it was this one that was compiled is not asked: a function with the raw connection
        may have run the same SQL before.
        """
        names: tuple[str, ...] = ()
        if kept.build is not None:
            try:
                names = tuple(name for name, _ in kept.cursor.get_description())
            except apsw.ExecutionCompleteError:  # it gave no rows
                names = self._cache.describe(kept)
        self._check(kept, names, self._link.epoch())

    def _check(self, kept: Kept, names: tuple[str, ...], epoch: Epoch) -> None:
        """Note the columns that it has, and the schema that it was compiled for."""
        statement = kept.statement
        if statement is not None and statement.rebuild is not None and names != kept.columns:
            kept.build = statement.rebuild(names)
            kept.columns = names
        kept.epoch = epoch
        kept.seen = self._gate.calls

    def _failed(self, kept: Kept, error: BaseException) -> BaseException:
        """Reset what has failed half-way, and make our error of it."""
        kept.reset()
        self._transaction.notice()
        failure = self._link.converted(error, sql=kept.sql, name=kept.name)
        if isinstance(failure, DeclarationError):
            kept.forget()
        return failure
