"""Migrations: scripts of many statements, and the check of foreign keys after them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, final

import apsw

from trio_sqlrepo._base.errors import SqlError
from trio_sqlrepo._sqlite import codes
from trio_sqlrepo._sqlite.gate import Mode

if TYPE_CHECKING:
    from trio_sqlrepo._sqlite.link import Link


# White space and comments before a statement.
_BLANK = re.compile(r"(?:[\s;]|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)


@final
class _Progress:
    """How far a script has come; set by its cursor's trace."""

    __slots__ = ("number", "rest", "start", "text")

    def __init__(self, script: str) -> None:
        self.number = 0  # of the statement that runs
        self.start = 0  # where it begins in the script
        self.rest = 0  # where the next one begins
        self.text = script

    def __call__(self, cursor: apsw.Cursor, statement: str, _bindings: object) -> bool:
        """Note that a statement is about to run."""
        self.start = self.rest
        self.rest += len(statement)
        self.number += cursor.has_vdbe
        return True

    def place(self, *, compiling: bool, offset: int) -> str:
        """Say which statement an error is about, and the line in the script."""
        start = self.rest if compiling else self.start
        number = self.number + compiling
        if offset >= 0:
            at = start + len(self.text[start:].encode()[:offset].decode(errors="ignore"))
        else:
            at = start + len(_BLANK.match(self.text[start:])[0])  # type: ignore[index]  # matches ""
        return f"Statement {number}, line {self.text.count(chr(10), 0, at) + 1}: "


@final
class Scripts:
    """Runs scripts on one connection, inside its open transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    def run(self, sql: str) -> None:
        """Run every statement; raises at the first that fails, naming its number and line."""
        # SQLite and apsw see that too, but by the error that a user's function may raise.
        if "\0" in sql or not _is_text(sql):
            raise SqlError("The script contains a null character or a lone surrogate.")
        link = self._link
        progress = _Progress(sql)
        cursor = link.connection.cursor()
        cursor.exec_trace = progress
        failure: BaseException | None = None
        try:
            with link.as_own(Mode.SCRIPT):
                # Beside the cache, where it would push declared statements out.
                for _ in cursor.execute(sql, can_cache=False):
                    pass
        except apsw.Error as error:
            failure = self._failed(error, progress)
        finally:
            cursor.close(force=True)
        if failure is not None:
            raise failure

    def _failed(self, error: apsw.Error, progress: _Progress) -> BaseException:
        # The trace is called once a statement is compiled. If what follows the last traced one
        # does not compile, that is what failed.
        rest = progress.text[progress.rest :]
        if isinstance(error, apsw.BindingsError):
            place = progress.place(compiling=True, offset=-1)
            return SqlError(codes.sentence(place, "a script can't have parameters"))
        with self._link.as_own(Mode.SCRIPT):
            wrong = self._link.compile_error(rest) if rest else None
            compiling = wrong is not None and wrong.message == str(error)
            offset = wrong.offset if wrong is not None and compiling else -1
            place = progress.place(compiling=compiling, offset=offset)
            sql = rest if compiling else progress.text[progress.start : progress.rest]
            return self._link.converted(error, sql=sql, subject=place)

    def foreign_key_violations(self) -> list[str]:
        """Say which references lead nowhere, one sentence for each foreign key."""
        try:
            with self._link.as_own():
                return self._foreign_key_violations()
        except apsw.Error as error:
            failure = self._link.converted(error)
        raise failure

    def _foreign_key_violations(self) -> list[str]:
        execute = self._link.connection.execute
        counts: dict[tuple[str, str, int], int] = {}
        for table, _, parent, number in execute("PRAGMA foreign_key_check", can_cache=False):
            key = (table, parent, number)
            counts[key] = counts.get(key, 0) + 1
        sentences = []
        for (table, parent, number), count in counts.items():
            keys = execute(
                'SELECT "from" FROM pragma_foreign_key_list(?) WHERE id = ? ORDER BY seq',
                (table, number),
                can_cache=False,
            ).fetchall()
            columns = ", ".join(str(column) for (column,) in keys)
            rows = "1 row refers" if count == 1 else f"{count} rows refer"
            sentences.append(f"In {table}, {rows} by {columns} to no row of {parent}.")
        return sentences


def _is_text(sql: str) -> bool:
    try:
        sql.encode()
    except UnicodeEncodeError:
        return False
    return True
