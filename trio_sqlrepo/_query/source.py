"""Generated code: compiled once for each text, readable through `linecache`."""

from __future__ import annotations

import functools
import linecache
import zlib
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


@functools.lru_cache(maxsize=4096)
def _compile(source: str, filename: str) -> CodeType:
    # No mtime: `linecache.checkcache` then keeps the entry, so tracebacks and
    # `inspect.getsource` show the code. The name holds a checksum of the text, so that opening
    # the same repositories again adds no entry.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    return _labelled(_compile_text(source), filename)


@functools.lru_cache(maxsize=4096)
def _compile_text(source: str) -> CodeType:
    # Many queries come to the same text, and giving the code another label is ten times as fast.
    return compile(source, "<trio_sqlrepo>", "exec")


def _labelled(code: CodeType, filename: str) -> CodeType:
    inner = (_labelled(c, filename) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.replace(co_filename=filename, co_consts=tuple(inner))


def make_function(name: str, lines: Iterable[str], label: str, namespace: dict[str, Any]) -> Any:
    """The function `name` that `lines` define, with `namespace` as its globals.

    `label` is what tracebacks show as the file, such as "bind Messages.get".
    """
    source = "\n".join(lines) + "\n"
    filename = f"<trio_sqlrepo {label} {zlib.crc32(source.encode()):08x}>"
    # The text is made of our own templates and of Python identifiers; column names enter only
    # through repr() or reduced to [A-Za-z0-9_].
    exec(_compile(source, filename), namespace)  # noqa: S102
    return namespace[name]
