"""From `Misfit` to what callers see: `MappingError`, which tells where and never the value.

They are raised outside of the handlers: an error raised in one would carry, as its context,
Python's own (`invalid isoformat string: '…'`), which quotes the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_sqlrepo._base.errors import MappingError
from trio_sqlrepo._query.refusal import Misfit, NotASequence, python_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_sqlrepo._query.codec import Codec


def refuse_parameter(query: str, path: str, wanted: str, misfit: Misfit) -> Exception:
    """The error for a value that can't be bound. Text where a sequence belongs is a TypeError."""
    kind = TypeError if isinstance(misfit, NotASequence) else MappingError
    error = kind(
        f"{query}: parameter `{path}{misfit.path}` must be {misfit.wanted or wanted}; it is"
        f" {misfit.found}."
    )
    # What the user's own code raised; None hides nothing but a `Misfit`.
    error.__cause__ = misfit.cause
    return error


def binder(query: str, path: str, codec: Codec) -> Callable[[Any], Any]:
    """The checked conversion of one parameter."""
    bind, wanted = codec.bind, codec.title

    def fit(value: Any) -> Any:
        try:
            return bind(value)
        except Misfit as error:
            misfit = error
        raise refuse_parameter(query, path, _wanted(wanted, misfit), misfit)

    return fit


def batch_binder(query: str, batch: str, rest: str, codec: Codec) -> Callable[[Any, int], Any]:
    """The same for a field of a batch's element, which the generated code numbers."""
    bind, wanted = codec.bind, codec.title

    def fit(value: Any, index: int) -> Any:
        try:
            return bind(value)
        except Misfit as error:
            misfit = error
        path = f"{batch}[{index}]{rest}"
        raise refuse_parameter(query, path, _wanted(wanted, misfit), misfit)

    return fit


def _wanted(title: str, misfit: Misfit) -> str:
    # Inside a JSON value the declared type is that of the whole: say so.
    return f"what `{title}` asks for there" if misfit.path else title


def reader(query: str, column: str, target: str, codec: Codec) -> Callable[[Any], Any]:
    """The checked conversion of one column. `target` is what it fills: "field `Message.body`"."""
    read = codec.read

    def fit(value: Any) -> Any:
        try:
            return read(value)
        except Misfit as error:
            misfit = error
        place = f" in its JSON at `{misfit.path}`" if misfit.path else ""
        wanted = f"{target} is {misfit.wanted or codec.title}"
        mend = ""
        if value is None:
            mend = f"; declare it `{codec.title} | None`, or let the column hold no NULL"
        refusal = MappingError(
            f"{query}: column `{column}` holds {misfit.found}{place}, but {wanted}{mend}."
        )
        refusal.__cause__ = misfit.cause
        raise refusal

    return fit


def maker(query: str, title: str) -> Callable[[Exception], MappingError]:
    """The error for a row that the constructor of `title` refuses. Its own error is the cause."""

    def unmade(error: Exception) -> MappingError:
        return MappingError(
            f"{query}: a row makes no {title}: its constructor raised {type(error).__name__}."
        )

    return unmade


def element_check(query: str, parameter: str, kind: type) -> Callable[..., None]:
    """Refuses what is no `kind`; called when the type is not `kind` itself."""

    def check(value: Any, index: int | None = None) -> None:
        if not isinstance(value, kind):
            path = parameter if index is None else f"{parameter}[{index}]"
            raise refuse_parameter(query, path, kind.__name__, Misfit(python_type(value)))

    return check


def tuple_check(query: str, parameter: str, length: int) -> Callable[[Any], None]:
    """Refuses what is no tuple of `length` elements."""
    wanted = f"a tuple of {length}"

    def check(value: Any) -> None:
        if not isinstance(value, tuple):
            raise refuse_parameter(query, parameter, wanted, Misfit(python_type(value)))
        if len(value) != length:
            misfit = Misfit(f"a tuple of {len(value)}")
            raise refuse_parameter(query, parameter, wanted, misfit)

    return check


def lister(query: str, parameter: str, kind: type) -> Callable[[Any], Any]:
    """What a batch iterates over: anything iterable but text and bytes."""
    wanted = f"an iterable of {kind.__name__}"

    def elements(value: Any) -> Any:
        if isinstance(value, (str, bytes, bytearray, memoryview)):
            raise refuse_parameter(query, parameter, wanted, NotASequence(python_type(value)))
        try:
            return iter(value)
        except TypeError:
            pass
        raise refuse_parameter(query, parameter, wanted, Misfit(python_type(value)))

    return elements
