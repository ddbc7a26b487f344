"""The locals that string annotations need, for classes that are defined inside a function."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING, Any, ForwardRef, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import FrameType, FunctionType


def captured_names(function: FunctionType, frame: FrameType | None) -> Mapping[str, Any]:
    """What the string annotations of `function` name in the function around its class.

    `frame` is that of the class body. Only values are kept: a frame would keep all its locals
    alive. The annotations of classes found so are followed too, as their fields are resolved
    when the database opens, long after the function has returned.
    """
    if "<locals>" not in function.__qualname__:
        return {}
    namespace = _enclosing_function(frame)
    captured: dict[str, Any] = {}
    wanted = list(_names_in(function.__annotations__.values()))
    while wanted:
        name = wanted.pop()
        if name in namespace and name not in captured:
            captured[name] = value = namespace[name]
            if isinstance(value, type):
                for base in value.__mro__:
                    wanted.extend(_names_in(inspect.get_annotations(base).values()))
    return captured


def _enclosing_function(frame: FrameType | None) -> Mapping[str, Any]:
    # A class body runs in a frame of its own, whose caller is the code around the class; so does
    # the scope of a class's type parameters (PEP 695), which looks like a function.
    while frame is not None:
        code = frame.f_code
        if code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<generic"):
            return dict(frame.f_locals)
        frame = frame.f_back
    return {}


def _names_in(annotations: Iterable[Any]) -> Iterator[str]:
    for annotation in annotations:
        if isinstance(annotation, str):
            yield from _names_in_text(annotation)
        elif isinstance(annotation, ForwardRef):  # fields of NamedTuple and TypedDict
            yield from _names_in_text(annotation.__forward_arg__)
        else:
            yield from _names_in(get_args(annotation))  # list["Message"]


def _names_in_text(annotation: str) -> Iterator[str]:
    try:
        tree = ast.parse(annotation, mode="eval")
    except SyntaxError:
        return  # reported when it is resolved
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _names_in_text(node.value)  # "list['Message']"
