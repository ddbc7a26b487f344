"""The proof that a file which was in doubt is well: it is sound in itself, and takes a write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw

from trio_sqlrepo._base.errors import DatabaseCorrupt, DatabaseLocked, DatabaseReadOnly, DiskFull

if TYPE_CHECKING:
    from trio_sqlrepo._sqlite.link import Link
    from trio_sqlrepo._sqlite.transaction import Transaction

# So many findings are looked through, because the first ones may be about rows.
_MOST: Final = 100
# What quick_check says of rows that break a rule of the schema. The file holds them well.
_ABOUT_ROWS: Final = ("CHECK constraint failed in", "NULL value in")
_STRICT: Final = " value in "  # "TEXT value in t.a", where a STRICT table says otherwise


def check_pages(link: Link) -> None:
    """Read every page and see that the trees they form are whole (`PRAGMA quick_check`).

    Raises:
        DatabaseCorrupt: they are not.
        DatabaseError: what reading met.
    """
    try:
        with link.as_own():
            found = damage(link.connection, "quick_check")
    except apsw.Error as error:
        failure = link.converted(error)
    else:
        if found is None:
            return
        failure = DatabaseCorrupt(
            f"The database file is damaged; PRAGMA quick_check says: {found}.",
            code=apsw.SQLITE_CORRUPT,
            extended_code=apsw.SQLITE_CORRUPT,
        )
    raise failure


def damage(connection: apsw.Connection, pragma: str) -> str | None:
    """What `quick_check` or `integrity_check` finds wrong with the file itself, not with rows.

    Raises apsw's errors.
    """
    found = connection.execute(f"PRAGMA {pragma}({_MOST})").fetchall()
    for (text,) in found:
        if text != "ok" and not _is_about_rows(str(text)):
            return " ".join(str(text).split())
    return None


def prove_write(link: Link, transaction: Transaction) -> None:
    """Commit a write that changes nothing, so that the disk is asked to take it.

    That no write is possible now (another process's lock, a full disk, no permission) is no reason
    not to serve reads, and each write says so itself.

    Raises:
        DatabaseError: what writing met.
    """
    try:
        transaction.begin_write()
        try:
            with link.as_own():
                ((version,),) = link.connection.execute("PRAGMA user_version").fetchall()
                link.connection.execute(f"PRAGMA user_version = {version}").fetchall()
        except apsw.Error as error:
            failure = link.converted(error)
        else:
            transaction.commit()
            return
        raise failure
    except (DatabaseLocked, DatabaseReadOnly, DiskFull):
        pass
    finally:
        transaction.rollback()


def _is_about_rows(text: str) -> bool:
    return text.startswith(_ABOUT_ROWS) or _STRICT in text
