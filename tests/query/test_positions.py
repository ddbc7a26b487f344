"""Where a parameter stands in the SQL."""

from __future__ import annotations

import pytest

from trio_sqlrepo._query.positions import position_in_list, position_of


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


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("SELECT 1 WHERE 1 IN (:a)", " at line 1, column 22 of the SQL"),
        ("SELECT 1 WHERE 1 NOT in\n( :a )", " at line 2, column 3 of the SQL"),
        ("SELECT 1 WHERE 1 IN(:b, :a, 3)", " at line 1, column 25 of the SQL"),
        ("SELECT :a WHERE 1 IN (:a)", " at line 1, column 23 of the SQL"),
        ("SELECT 1 WHERE 1 IN (SELECT value FROM json_each(:a))", ""),
        ("SELECT 1 WHERE 1 IN (SELECT id FROM t WHERE tags = :a)", ""),
        ("SELECT 1 WHERE 1 IN (with u AS t SELECT :a)", ""),
        ("SELECT 1 WHERE within(:a) AND 1 IN (2)", ""),
        ("SELECT ' IN (:a)', :a", ""),
        ("SELECT 1 WHERE 1 IN (:ab) AND :a", ""),
        ("SELECT 1 WHERE 1 IN (:a", ""),
    ],
)
def test_position_in_a_list(sql: str, place: str) -> None:
    assert position_in_list(":a", sql) == place
