"""A child process that reads one database file after another: `python -m tests.stateful.witness`.

The test's own process must not open a file that its pool has open.
"""

from __future__ import annotations

import json
import sys

import apsw

SQL = {
    "notes": "SELECT * FROM note ORDER BY id",
    "columns": "SELECT name FROM pragma_table_info('note')",
    "strict": "SELECT body FROM strict_note ORDER BY body",
    "counter": "SELECT n FROM counter",
    "integrity": "PRAGMA integrity_check",
}

if __name__ == "__main__":
    for line in sys.stdin:
        connection = apsw.Connection(line.rstrip("\n"))
        found = {name: connection.execute(sql).fetchall() for name, sql in SQL.items()}
        connection.close()
        print(json.dumps(found), flush=True)  # noqa: T201  # the answer
