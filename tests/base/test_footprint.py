"""Footprints, and `Changes` made of them."""

from __future__ import annotations

import pytest

from trio_sqlrepo import Changes
from trio_sqlrepo._base.footprint import EVERYTHING, NOTHING, Footprint


def columns(**tables: str | None) -> Footprint:
    return Footprint({
        name: None if names is None else frozenset(names.split()) for name, names in tables.items()
    })  # fmt: skip


@pytest.mark.parametrize(
    ("read", "written", "met"),
    [
        (columns(t="a"), columns(t="a b"), True),
        (columns(t="a"), columns(t="b"), False),
        (columns(t=""), columns(t="b"), False),  # it only counts
        (columns(t=""), columns(t=None), True),
        (columns(t=None), columns(t="b"), True),
        (columns(t="a"), columns(u=None), False),
        (columns(t="a", u="c"), columns(t="b", u="c"), True),
        (EVERYTHING, columns(u="a"), True),
        (EVERYTHING, NOTHING, False),
        (NOTHING, EVERYTHING, True),
        (NOTHING, columns(t=None), False),
        (columns(t="a"), NOTHING, False),
    ],
)
def test_what_is_met(read: Footprint, written: Footprint, met: bool) -> None:
    assert read.is_met_by(written) is met


def test_they_are_put_together() -> None:
    assert columns(t="a", u=None) | columns(t="b", u="c", v="d") == columns(t="a b", u=None, v="d")
    assert columns(t="a") | columns(t=None) == columns(t=None)
    assert columns(t="a") | EVERYTHING == Footprint(columns(t="a").tables, everything=True)
    one = columns(t="a")
    assert one | NOTHING is one
    assert one | one is one
    assert not NOTHING
    assert one
    assert EVERYTHING


def test_what_changes_touch() -> None:
    changes = Changes(tables={"Note": frozenset(("Body",)), "box": None})
    assert changes.touches("note")
    assert changes.touches("NOTE", "body")
    assert changes.touches("note", "id", "BODY")
    assert not changes.touches("note", "id")
    assert changes.touches("box", "anything")
    assert not changes.touches("other")
    assert Changes(everything=True).touches("other", "id")
    assert not Changes().touches("other")


def test_changes_cannot_be_changed() -> None:
    tables = {"note": None}
    changes = Changes(tables=tables)
    tables["box"] = None
    assert not changes.touches("box")
    with pytest.raises(TypeError):
        changes.tables["box"] = None  # type: ignore[index]  # the point
