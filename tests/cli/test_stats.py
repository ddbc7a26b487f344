"""`stats`: the pages of a database file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.cli.apps import App
from tests.cli.test_check import make_file, squeezed
from trio_sqlrepo.cli.stats import _share, _size

FULL = Path("/dev/full")
ROWS = """
    WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 500)
    INSERT INTO message (room, body, stars) SELECT 'lobby', hex(zeroblob(100)), n FROM n
"""


@pytest.fixture
def file(app: App) -> Path:
    path = app.folder / "chat.db"
    make_file(path, ROWS, "CREATE TABLE gone AS SELECT * FROM message", "DROP TABLE gone")
    return path


def test_every_table_and_index_has_its_pages(app: App, file: Path) -> None:
    before = sorted(app.folder.iterdir())
    code, out, err = app.run("stats", "chat.db")
    assert (code, err) == (0, "")
    lines = [squeezed(line) for line in out.splitlines()]
    assert lines[0].startswith("chat.db: ")
    assert " pages of 4 KiB, " in lines[0]
    assert lines[1] == "Name Kind Of Pages Size Of all Filled In order"
    kinds = {line.split()[0]: line.split()[1:3] for line in lines[3:] if line}
    assert kinds["message"] == ["table", "message"]
    assert kinds["message_by_room"] == ["index", "message"]
    assert lines[-1].startswith("(free) ")
    assert int(lines[-1].split()[1]) > 0
    assert sorted(app.folder.iterdir()) == before


def test_in_a_narrow_terminal_names_have_the_room(
    app: App, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = app.run("stats", "chat.db")[1].splitlines()
    assert squeezed(lines[1]) == "Name Kind Pages Size Of all Filled In order"
    assert any(line.startswith("_trio_sqlrepo_migration ") for line in lines)
    assert max(map(len, lines)) <= 80


def test_the_json_has_the_form_that_is_documented(app: App, file: Path) -> None:
    document: Any = json.loads(app.run("stats", "chat.db", "--json")[1])
    assert set(document) == {"version", "page_size", "pages", "free_pages", "objects"}
    assert (document["version"], document["page_size"]) == (1, 4096)
    assert file.stat().st_size == document["pages"] * 4096
    # Every page is somebody's, or nobody's.
    assert (
        sum(o["pages"] for o in document["objects"]) + document["free_pages"] == document["pages"]
    )
    pages = [each["pages"] for each in document["objects"]]
    assert pages == sorted(pages, reverse=True)
    message = next(each for each in document["objects"] if each["name"] == "message")
    assert set(message) == {
        "name", "kind", "table", "pages", "sequential_pages", "stored", "cells",
    }  # fmt: skip
    assert message["stored"] > 500 * 200


def test_the_picture_is_drawn(app: App, file: Path) -> None:
    code, out, _ = app.run("stats", "chat.db", "--svg", "chat.svg")
    assert code == 0
    assert out.endswith("The picture is in chat.svg; a browser shows it.")
    root = ET.parse(app.folder / "chat.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "message_by_room" in (app.folder / "chat.svg").read_text("utf-8")
    assert json.loads(app.run("stats", "chat.db", "--svg", "chat.svg", "--json")[1])["pages"]


def test_the_database_is_never_drawn_over(app: App, file: Path) -> None:
    before = file.read_bytes()
    (app.folder / "link.svg").symlink_to(file)
    for name in ("chat.db", "link.svg"):
        told = app.refusal("stats", "chat.db", "--svg", name)
        assert told == f"--svg {name} is the database itself; give another file."
    assert file.read_bytes() == before


def test_where_the_picture_cannot_be_written_is_a_sentence(app: App, file: Path) -> None:
    told = app.refusal("stats", "chat.db", "--svg", "wat/chat.svg")
    assert told == "--svg wat/chat.svg: there is no directory wat; make it, or name another."
    (app.folder / "lost.svg").symlink_to("wat/chat.svg")
    told = app.refusal("stats", "chat.db", "--svg", "lost.svg")
    assert told == (
        "lost.svg cannot be written: No such file or directory; give --svg another file."
    )


@pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")
def test_that_the_disk_takes_no_picture_is_no_mistake_of_the_call(app: App, file: Path) -> None:
    told = app.failure("stats", "chat.db", "--svg", str(FULL))
    assert told == (
        "/dev/full cannot be written: No space left on device; give --svg another file."
    )


def test_what_is_no_database_is_a_sentence(app: App) -> None:
    assert "'FILE'" in app.refusal("stats", "wat.db")
    assert "'FILE'" in app.refusal("stats", ".")
    app.write("text.db", "no database " * 100)
    assert "is no SQLite database, or is encrypted." in app.failure("stats", "text.db")


def test_an_empty_file_has_no_pages_and_no_picture(app: App) -> None:
    app.write("empty.db", "")
    code, out, _ = app.run("stats", "empty.db")
    assert code == 0
    assert out.startswith("empty.db: 0 pages of 4 KiB, 0 B in all.")
    assert "is empty: there is nothing to draw." in app.failure(
        "stats", "empty.db", "--svg", "x.svg"
    )
    assert not (app.folder / "x.svg").exists()


def test_sizes_and_shares_are_readable() -> None:
    assert [_size(n) for n in (0, 1023, 1024, 1536, 5 * 1024**2, 1024**3, 3 * 1024**4)] == [
        "0 B", "1023 B", "1 KiB", "1.5 KiB", "5 MiB", "1 GiB", "3.0 TiB",
    ]  # fmt: skip
    assert (_share(1, 4), _share(0, 0)) == ("25%", "–")
