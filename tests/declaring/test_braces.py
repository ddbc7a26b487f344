"""Reading braces in SQL: never inside of literals, quoted names and comments."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_sqlrepo._query.braces import Filter, Slot, Template, parse, render

NAMES = ("a", "b", "naïve")
FRAGMENTS = {name: {1: "x"} for name in NAMES}

# What SQLite reads as one token, or skips, whatever it holds; none of it may be looked into.
inside = st.text(st.sampled_from("{}ab: '\"`[]-/*x\n"), max_size=8)


def quoted(quote: str) -> st.SearchStrategy[str]:
    return inside.map(lambda text: f"{quote}{text.replace(quote, quote * 2)}{quote}")


opaque = st.one_of(
    quoted("'"),
    quoted('"'),
    quoted("`"),
    inside.filter(lambda text: "]" not in text).map("[{}]".format),
    inside.filter(lambda text: "\n" not in text).map("--{}\n".format),
    inside.filter(lambda text: "*/" not in text and not text.endswith("*")).map("/* {}*/".format),
)
plain = st.text(st.sampled_from("x :,()=;12 \n"), max_size=6)
slot = st.sampled_from(NAMES).map(Slot)


def filters(parts: st.SearchStrategy[list[object]]) -> st.SearchStrategy[Filter]:
    return st.builds(Filter, st.sampled_from(NAMES), parts.map(tuple))


pieces = st.recursive(
    st.lists(st.one_of(opaque, plain, slot), max_size=5),
    lambda inner: st.lists(st.one_of(opaque, plain, slot, filters(inner)), max_size=5),
    max_leaves=20,
)


def written(parts: object) -> str:
    """SQL whose parts these are."""
    if isinstance(parts, str):
        return parts
    if isinstance(parts, Slot):
        return f"{{{parts.parameter}}}"
    if isinstance(parts, Filter):
        return f"{{{parts.parameter}:{written(parts.parts)}}}"
    assert isinstance(parts, (list, tuple))
    # A blank between them, as two pieces could make a third ("-" and "-").
    return " ".join(map(written, parts))


def expected(parts: object, present: dict[str, bool]) -> str:
    if isinstance(parts, str):
        return parts
    if isinstance(parts, Slot):
        return f"<{parts.parameter}>"
    if isinstance(parts, Filter):
        return expected(parts.parts, present) if present[parts.parameter] else ""
    assert isinstance(parts, (list, tuple))
    return " ".join(expected(part, present) for part in parts)


@given(pieces, st.fixed_dictionaries({name: st.booleans() for name in NAMES}))
def test_what_is_written_is_what_is_read(parts: list[object], present: dict[str, bool]) -> None:
    sql = written(parts)
    template, problems = parse(sql, NAMES, {})
    assert problems == []
    if template is None:
        assert not any(isinstance(part, (Slot, Filter)) for part in parts)
        assert expected(parts, present) == sql
        return
    texts = {name: f"<{name}>" for name in NAMES}
    assert render(template.parts, present, texts) == expected(parts, present)


@given(st.lists(opaque, max_size=6).map(" ".join))
def test_sqlite_agrees_on_what_is_opaque(sql: str) -> None:
    """What holds no brace for us, SQLite reads without meeting one: a witness for the pattern."""
    template, problems = parse(sql, NAMES, {})
    assert (template, problems) == (None, [])
    said = ""
    try:
        apsw.Connection(":memory:").execute(f"SELECT 1 AS x {sql}")
    except apsw.SQLError as error:
        said = str(error)
    assert "unrecognized token" not in said


@given(st.text(st.sampled_from("{}ab: '\"`[]-/*\n"), max_size=20))
def test_any_text_is_read(sql: str) -> None:
    template, problems = parse(sql, NAMES, {})
    if template is None and not problems:
        return
    if not problems:
        assert isinstance(template, Template)
        names = dict.fromkeys(NAMES, "")
        shown = render(template.parts, dict.fromkeys(NAMES, True), names)
        assert len(shown) < len(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT '{a}'", "SELECT '''{a}'", 'SELECT "{a}"', "SELECT `{a}`", "SELECT [{a}]",
        "SELECT 1 -- {a}", "SELECT 1 /* {a} */", "SELECT 1 /* {a}", "SELECT 1 /*/ {a} */",
        "SELECT '{a}", "SELECT 'it''s {a: '", "SELECT 1 {", "SELECT {1}", "SELECT {}",
        "SELECT { a}",
    ],
)  # fmt: skip
def test_other_braces_are_left_to_sqlite(sql: str) -> None:
    assert parse(sql, NAMES, {}) == (None, [])


@pytest.mark.parametrize(
    "sql", ["{a}", "-{a}", "'x'{a}", "--\n{a}", "/**/{a}", "/*/*/{a}", "[x]{a}", "''{a}''"]
)
def test_braces_outside_are_read(sql: str) -> None:
    template, problems = parse(sql, NAMES, {})
    assert problems == []
    assert template is not None
    assert Slot("a") in template.parts


def test_a_filter_ends_at_its_own_brace() -> None:
    template, problems = parse("{a: x '}' {b: /* } */ y} z} w", NAMES, {})
    assert problems == []
    assert template is not None
    assert template.parts == (
        "",
        Filter("a", (" x '}' ", Filter("b", (" /* } */ y",)), " z")),
        " w",
    )


def test_fragments_may_hold_what_is_closed() -> None:
    for text in ("'--'", "/* ' */", "-- '\n", '"[" ', "{a}", ""):
        assert parse("{a}", NAMES, {"a": {1: text}})[1] == []
