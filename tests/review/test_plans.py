"""What is read out of a plan, against the plans that SQLite makes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trio_sqlrepo._base.inspection import PlanStep
from trio_sqlrepo._review import Concern, open_schema
from trio_sqlrepo._review.plans import indexes_used, plan_findings
from trio_sqlrepo._sqlite import SqliteDriver
from trio_sqlrepo._sqlite.plans import query_plan

SCHEMA = """
    CREATE TABLE message (id INTEGER PRIMARY KEY, room TEXT NOT NULL, body TEXT, stars INTEGER);
    CREATE INDEX by_room ON message (room);
    CREATE TABLE child (id INTEGER PRIMARY KEY, m INTEGER REFERENCES message ON DELETE CASCADE);
    CREATE TABLE member (room TEXT, name TEXT, PRIMARY KEY (room, name)) WITHOUT ROWID;
    CREATE VIEW rooms AS SELECT room, count(*) AS n FROM message GROUP BY room;
    CREATE VIRTUAL TABLE found USING fts5 (body);
    CREATE INDEX "by room" ON child (m) WHERE m > 3;
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[SqliteDriver]:
    with open_schema(migrations=[SCHEMA]) as driver:
        yield driver


def found(driver: SqliteDriver, sql: str) -> set[tuple[str, str]]:
    findings = plan_findings("it", query_plan(driver, sql))
    assert all(finding.where == "it" for finding in findings)
    return {(finding.concern.value, finding.subject) for finding in findings}


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT * FROM message", {"message"}),
        ("SELECT * FROM message WHERE stars > :s", {"message"}),
        ("SELECT * FROM message AS m WHERE stars > :s", {"m"}),
        ("SELECT count(*) FROM child", {"child"}),
        ("SELECT * FROM member", {"member"}),
        ("SELECT m.id FROM child AS c LEFT JOIN message AS m ON m.id = c.id", {"c"}),
        ("DELETE FROM message WHERE id = :id", {"child"}),  # the foreign key's
        ("INSERT INTO member SELECT room, body FROM message", {"message"}),
        ("UPDATE message SET body = '' WHERE stars = 0", {"message"}),
        ("WITH some AS (SELECT * FROM message LIMIT 3) SELECT * FROM some", {"message"}),
        (
            "WITH some AS MATERIALIZED (SELECT * FROM message WHERE room = '') SELECT * FROM some",
            set(),
        ),
        # An index for one call.
        ("SELECT 1 FROM message AS a, message AS b WHERE a.body = b.body", {"a", "b"}),
        ("SELECT 1 FROM message LEFT JOIN child AS c ON c.m = message.id", {"c"}),
        # Nothing, or nothing that an index would help.
        ("SELECT * FROM message WHERE id = :id", set()),
        ("SELECT * FROM message WHERE room = :r", set()),
        ("SELECT * FROM message WHERE room IN ('a', 'b') OR id = 3", set()),
        ("SELECT room FROM message ORDER BY room", set()),
        ("SELECT max(id) FROM message", set()),
        ("SELECT 1", set()),
        ("SELECT * FROM (VALUES (1), (2))", set()),
        ("SELECT value FROM json_each(:x)", set()),
        ("SELECT * FROM found WHERE found MATCH :q", set()),
        ("SELECT * FROM rooms WHERE n > 3", set()),
        ("INSERT INTO message (room) VALUES ('a')", set()),
        ("SELECT row_number() OVER (PARTITION BY room) FROM message", set()),
        (
            (
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 9)"
                " SELECT * FROM n"
            ),
            set(),
        ),
    ],
)
def test_a_scan_is_a_table_read_from_end_to_end(
    driver: SqliteDriver, sql: str, tables: set[str]
) -> None:
    assert {s for concern, s in found(driver, sql) if concern == "scan"} == tables


@pytest.mark.parametrize(
    ("sql", "purposes"),
    [
        ("SELECT id FROM message WHERE room = 'a' ORDER BY stars", {"ORDER BY"}),
        ("SELECT DISTINCT stars FROM message", {"DISTINCT"}),
        ("SELECT stars, count(*) FROM message GROUP BY stars", {"GROUP BY"}),
        ("SELECT count(DISTINCT stars) FROM message", {"count(DISTINCT)"}),
        ("SELECT stars FROM message UNION SELECT m FROM child", {"ORDER BY"}),
        ("SELECT room FROM message WHERE room > 'a' ORDER BY room", set()),
        ("SELECT id FROM message ORDER BY id DESC", set()),
        ("SELECT 1 UNION ALL SELECT 2", set()),
    ],
)
def test_a_sort_is_a_temporary_b_tree(driver: SqliteDriver, sql: str, purposes: set[str]) -> None:
    assert {s for concern, s in found(driver, sql) if concern == "sort"} == purposes


def test_a_comparison_of_all_rows_is_a_sort_in_the_words_of_older_versions() -> None:
    (finding,) = plan_findings("it", (PlanStep("UNION USING TEMP B-TREE"),))
    assert finding.text == "rows are put into a temporary B-tree for UNION."


def test_each_thing_is_found_once(driver: SqliteDriver) -> None:
    sql = "SELECT 1 FROM message WHERE stars = 1 UNION ALL SELECT 1 FROM message WHERE stars = 2"
    (finding,) = plan_findings("it", query_plan(driver, sql))
    assert finding.concern is Concern.SCAN
    assert finding.text == "message is read from end to end; no index leads to the rows."


def test_an_index_for_one_call_is_told_as_such(driver: SqliteDriver) -> None:
    sql = "SELECT 1 FROM message AS a, message AS b WHERE a.body = b.body"
    texts = [finding.text for finding in plan_findings("it", query_plan(driver, sql))]
    assert texts == [
        "a is read from end to end; no index leads to the rows.",
        "b is read from end to end, to make an index for this one call.",
    ]


def test_an_index_for_one_call_on_a_subquery_is_no_table(driver: SqliteDriver) -> None:
    made = PlanStep("SEARCH (subquery-1) USING AUTOMATIC COVERING INDEX (a=?)")
    assert plan_findings("it", (made, PlanStep("SCAN (join-2)"))) == ()


@pytest.mark.parametrize(
    ("sql", "used"),
    [
        ("SELECT * FROM message WHERE room = :r", {"by_room"}),
        ("SELECT room FROM message ORDER BY room", {"by_room"}),
        ("SELECT * FROM child WHERE m > 3", {"by room"}),
        (
            "SELECT * FROM message WHERE id IN (SELECT id FROM message WHERE room = 'a')",
            {"by_room"},
        ),
        ("SELECT * FROM message WHERE stars = 1", set()),
        ("INSERT INTO message (room) VALUES ('a')", set()),  # kept up, not gone by
    ],
)
def test_the_indexes_a_plan_goes_by(driver: SqliteDriver, sql: str, used: set[str]) -> None:
    names = {"by_room", "by room", "by", "room"}
    assert indexes_used(query_plan(driver, sql), names) == used
