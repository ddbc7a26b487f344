"""`Plan`: a declared query, ready: its statement, its binder, its row builder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from trio_sqlrepo._base.errors import DeclarationError, MultipleResults, NoResult
from trio_sqlrepo._base.inspection import Column, Inspection
from trio_sqlrepo._base.job import RowBuilder, Statement
from trio_sqlrepo._query.annotations import unwrap
from trio_sqlrepo._query.binders import make_binder
from trio_sqlrepo._query.builders import discard, make_builder
from trio_sqlrepo._query.positions import at, position_of
from trio_sqlrepo._query.refusal import Refusal, Refusals, sentences, title
from trio_sqlrepo._query.rows import layout
from trio_sqlrepo._query.spec import Shape, Spec
from trio_sqlrepo._query.values import Codecs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import cattrs

# apsw's statement cache takes no longer ones, and everything declared is precompiled.
MOST_BYTES: Final = 16_383

# What SQLite answers from the connection, not from the database.
_CONNECTION_BOUND: Final = frozenset({"last_insert_rowid", "changes", "total_changes"})
_WRITES: Final = frozenset({"insert", "update", "delete"})


@final
class Plan:
    """What a repository method needs to call its query. Immutable."""

    __slots__ = ("batch", "bind", "choose", "statement")

    def __init__(
        self,
        statement: Statement,
        bind: Callable[..., Any],
        *,
        batch: bool,
        choose: Callable[..., Plan] | None = None,
    ) -> None:
        self.statement = statement
        # The stub's arguments in order, self aside -> Parameters, or a list of them for a batch.
        # Raises MappingError and TypeError.
        self.bind = bind
        self.batch = batch
        # Of a query with alternatives: the stub's arguments, as for `bind` -> the plan to run.
        # Raises MappingError.
        self.choose = choose

    def __repr__(self) -> str:
        return f"<Plan {self.statement.name}{' batch' if self.batch else ''}>"


def make_plan(
    spec: Spec, inspection: Inspection, *, number: int, converter: cattrs.BaseConverter | None
) -> Plan:
    """Match a declared query with what SQLite says of its SQL.

    `number` is the statement's place in the database's list.

    Raises:
        DeclarationError: with all that is wrong.
    """
    if problems := _sql_problems(spec, inspection):
        raise DeclarationError(*sentences(spec.where, problems))
    binder = None
    try:
        names = [parameter[1:] for parameter in inspection.parameters]
        binder = make_binder(spec, names, Codecs(converter, spec.context, reading=False))
    except Refusals as refusals:
        problems += refusals.problems
    rows = _Rows(spec, Codecs(converter, spec.context, reading=True))
    build: RowBuilder | None = None
    try:
        _check_shape(spec, inspection, batch=binder is not None and binder.batch)
        if inspection.columns:
            build = rows.make(inspection.columns)
    except Refusal as refusal:
        problems.append(str(refusal))
    except Refusals as refusals:
        problems += refusals.problems
    if binder is None or problems:
        raise DeclarationError(*sentences(spec.where, problems))
    statement = _statement(spec, inspection, number, build, rows)
    return Plan(statement, binder.bind, batch=binder.batch)


def _statement(
    spec: Spec, inspection: Inspection, number: int, build: RowBuilder | None, rows: _Rows
) -> Statement:
    connection_bound = not _CONNECTION_BOUND.isdisjoint(inspection.functions)
    written = [action for action in inspection.actions if action[0] in _WRITES]
    return Statement(
        number=number,
        name=spec.name,
        sql=spec.sql,
        parameter_count=len(inspection.parameters),
        # What asks after the last write belongs where the writes are.
        writes=connection_bound or not inspection.read_only,
        columns=tuple(column.name for column in inspection.columns),
        single=spec.shape in {Shape.ONE, Shape.OPTIONAL},
        build=build,
        rebuild=None if build is None else rows.rebuild,
        finish=_finish(spec),
        counts_by_total=(
            not inspection.columns
            and not inspection.fires_triggers
            and [action for action, _ in written] == ["insert"]
        ),
        connection_bound=connection_bound,
    )


# -- the SQL ---------------------------------------------------------------------------------------


def _sql_problems(spec: Spec, inspection: Inspection) -> list[str]:
    if inspection.error is not None:
        place = at(*inspection.error_position) if inspection.error_position else ""
        return [f"SQLite can't compile its SQL: {inspection.error}{place}{_mend(inspection.error)}"]
    problems = [_as_clause(problem) for problem in inspection.forbidden]
    if inspection.more_statements:
        problems.append(
            "its SQL holds more than one statement; declare a query for each, and call them in a"
            " @transaction body"
        )
    if (size := len(spec.sql.encode())) > MOST_BYTES:
        problems.append(
            f"its SQL has {size} bytes, more than the {MOST_BYTES} that can be kept compiled;"
            " shorten it, for instance by a view"
        )
    for parameter in inspection.parameters:
        if not parameter.startswith(":"):
            place = position_of(parameter, spec.sql)
            problems.append(
                f"its SQL names a parameter `{parameter}`{place}; write it as `:name`, the only"
                " form that signatures are matched with"
            )
    return problems


def _as_clause(sentence: str) -> str:
    return sentence.removesuffix(".")


def _mend(error: str) -> str:
    if error.startswith("no such table"):
        return "; correct the name, or add the migration that makes the table"
    if error.startswith("no such column"):
        return "; correct the name (a text is written in single quotes, a parameter with a colon)"
    return "; correct the SQL"


# -- the result ------------------------------------------------------------------------------------


def _check_shape(spec: Spec, inspection: Inspection, *, batch: bool) -> None:
    shape = spec.shape
    if not inspection.columns:
        if shape in {Shape.NONE, Shape.COUNT}:
            return
        if unwrap(spec.row)[0] is int:
            raise Refusal(
                "its SQL returns no columns, so there is no `int` to give: for the new id add"
                " `RETURNING id`, for the number of rows changed declare `RowCount`"
            )
        raise Refusal(
            f"its SQL returns no columns, so there is no `{title(spec.row)}` to give: add"
            " `RETURNING …`, or declare `None` or `RowCount`"
        )
    if shape is Shape.COUNT:
        raise Refusal(
            f"`RowCount` is for statements that return no columns, and this one returns"
            f" {len(inspection.columns)}: declare what they hold (as in `list[int]`), or leave out"
            " `RETURNING`"
        )
    if shape is Shape.STREAM:
        _check_stream(spec, inspection, batch=batch)
    if batch and shape in {Shape.ONE, Shape.OPTIONAL}:
        row = title(spec.row)
        raise Refusal(
            f"a batch gives the rows of all its elements: declare `list[{row}]` or `None`"
        )


def _check_stream(spec: Spec, inspection: Inspection, *, batch: bool) -> None:
    instead = f"declare `list[{title(spec.row)}]`, as an `async def`"
    if not inspection.read_only:
        raise Refusal(
            "it writes, and a stream only reads: what a write returns is there before its COMMIT,"
            f" all of it; {instead}"
        )
    if not _CONNECTION_BOUND.isdisjoint(inspection.functions):
        raise Refusal(
            "it asks about the connection's last change, and a stream may have a connection of its"
            f" own; {instead}"
        )
    if batch:
        raise Refusal(f"a stream is of one query, not of a batch; {instead}")


class _Rows:
    """Makes row builders for one query, and keeps them by the columns they are for.

    Several worker threads may ask at once; at worst two make the same builder.
    """

    def __init__(self, spec: Spec, codecs: Codecs) -> None:
        self._spec = spec
        self._codecs = codecs
        self._made: dict[tuple[str, ...], RowBuilder] = {}

    def make(self, columns: Sequence[Column]) -> RowBuilder:
        """For the columns at opening. Raises Refusal or Refusals."""
        if self._spec.shape is Shape.NONE:
            return discard
        or_none = self._spec.shape is Shape.OPTIONAL
        found = layout(self._spec.row, columns, self._codecs, or_none=or_none)
        build = make_builder(self._spec.name, found)
        self._made[found.columns] = build
        return build

    def rebuild(self, names: tuple[str, ...]) -> RowBuilder:
        """For the columns after a change of the schema. Raises DeclarationError."""
        if (build := self._made.get(names)) is not None:
            return build
        try:
            return self.make([Column(name, None, None, None) for name in names])
        except Refusal as refusal:
            problems: Sequence[str] = [str(refusal)]
        except Refusals as refusals:
            problems = refusals.problems
        where = f"{self._spec.where}: the schema has changed"
        raise DeclarationError(*sentences(where, problems))


def _finish(spec: Spec) -> Callable[[Any], Any] | None:
    if spec.shape is Shape.NONE:
        return discard
    if spec.shape not in {Shape.ONE, Shape.OPTIONAL}:
        return None
    name, optional = spec.name, spec.shape is Shape.OPTIONAL

    def finish(rows: list[Any]) -> Any:
        if len(rows) == 1:
            return rows[0]
        if rows:
            raise MultipleResults(
                f"{name} gave more than one row where {'at most' if optional else 'exactly'} one is"
                " declared; narrow the SQL, or declare a list."
            )
        if optional:
            return None
        raise NoResult(
            f"{name} gave no row where exactly one is declared; declare `… | None` if there may be"
            " none."
        )

    return finish
