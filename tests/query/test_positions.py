"""Where a parameter stands in the SQL."""

from __future__ import annotations

import pytest

from trio_sqlrepo._query.positions import position_of


@pytest.mark.parametrize(
    ("sql", "parameter", "place"),
    [
        ("SELECT :a", ":a", " at line 1, column 8 of the SQL"),
        ("SELECT :ab, :a", ":a", " at line 1, column 13 of the SQL"),
        ("SELECT 1,\n  :a", ":a", " at line 2, column 3 of the SQL"),
        ("SELECT ':a it''s :a', :a", ":a", " at line 1, column 23 of the SQL"),
        ('SELECT ":a", `:a`, [:a], :a', ":a", " at line 1, column 26 of the SQL"),
        ("SELECT -- :a\n/* :a\n*/ :a", ":a", " at line 3, column 4 of the SQL"),
        ("SELECT ?, ?2, @x, $y", "?2", " at line 1, column 11 of the SQL"),
        ("SELECT ?, ?2, @x, $y", "@x", " at line 1, column 15 of the SQL"),
        ("SELECT 1", ":a", ""),
    ],
)
def test_position(sql: str, parameter: str, place: str) -> None:
    assert position_of(parameter, sql) == place
