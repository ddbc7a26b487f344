"""Generated code: compiled once, readable."""

from __future__ import annotations

import linecache
import traceback

import pytest

from trio_sqlrepo._query.source import make_function


def test_functions_with_the_same_text_share_code_but_not_globals() -> None:
    lines = ["def f():", "    return value"]
    first = make_function("f", lines, "test", {"value": 1})
    before = len(linecache.cache)
    second = make_function("f", lines, "test", {"value": 2})
    assert (first(), second()) == (1, 2)
    assert first.__code__ is second.__code__
    assert len(linecache.cache) == before


def test_tracebacks_show_the_code() -> None:
    fail = make_function("fail", ["def fail():", "    return 1 / 0  # here"], "test", {})
    with pytest.raises(ZeroDivisionError) as caught:
        fail()
    assert "return 1 / 0  # here" in "".join(traceback.format_exception(caught.value))
    assert fail.__code__.co_filename.startswith("<trio_sqlrepo test ")
