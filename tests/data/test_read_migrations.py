"""Migrations: what may be given as such, and in what order it is applied."""

from __future__ import annotations

import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from trio_sqlrepo._base.errors import MigrationError
from trio_sqlrepo._data.migration import Migration, read_migrations

A = Migration("a", "CREATE TABLE a (id INTEGER PRIMARY KEY)")


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    directory = tmp_path / "migrations"
    directory.mkdir()
    return directory


def write(directory: Path, **texts: str) -> None:
    for name, text in texts.items():
        (directory / f"{name[1:]}.sql").write_bytes(text.encode())


def test_none_is_no_migration() -> None:
    assert read_migrations(None) == ()


def test_a_directory_is_read_by_number(scripts: Path) -> None:
    write(scripts, _0010_ten="10", _0002_two="2", _0001_one="1")
    expected = (Migration("0001_one", "1"), Migration("0002_two", "2"), Migration("0010_ten", "10"))
    assert read_migrations(scripts) == expected
    # A trio.Path has all of Traversable's methods, as coroutines.
    assert read_migrations(trio.Path(scripts)) == expected


def test_a_traversable_is_read(tmp_path: Path) -> None:
    archive = tmp_path / "application.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("migrations/0001_one.sql", "SELECT 1;\r\n")
    source = zipfile.Path(archive, "migrations/")
    with closing(source.root):
        assert read_migrations(source) == (Migration("0001_one", "SELECT 1;\n"),)


def test_text_is_utf_8_with_any_newlines_and_without_its_mark(scripts: Path) -> None:
    write(scripts, _0001_one="\ufeff-- é\r\nSELECT 1;\rSELECT 2;\n")
    assert read_migrations(scripts)[0].sql == "-- é\nSELECT 1;\nSELECT 2;\n"


def test_other_files_are_left_alone(scripts: Path) -> None:
    write(scripts, _0001_one="1")
    (scripts / "README.md").touch()
    (scripts / "__init__.py").touch()
    (scripts / ".#0001_one.sql").symlink_to("ann@host.1")  # as Emacs locks a file
    assert [migration.name for migration in read_migrations(scripts)] == ["0001_one"]


@pytest.mark.parametrize("name", ["1_x", "0001", "0001_", "00001_x", "0001_a b", "x", "0002_x.SQL"])
def test_a_misnamed_script_is_refused(scripts: Path, name: str) -> None:
    name = name if name.endswith(".SQL") else f"{name}.sql"
    (scripts / name).touch()
    with pytest.raises(MigrationError, match=r"not named like 0001_create_message.sql") as caught:
        read_migrations(scripts)
    assert repr(name) in str(caught.value)


def test_a_number_given_twice_is_refused(scripts: Path) -> None:
    write(scripts, _0001_one="", _0002_two="", _0002_deux="")
    with pytest.raises(MigrationError, match=r"'0002_deux.sql' and '0002_two.sql' .* same number"):
        read_migrations(scripts)


def test_a_directory_without_scripts_is_refused(scripts: Path) -> None:
    with pytest.raises(MigrationError, match=r"holds no NNNN_name.sql or NNNN_name.py file"):
        read_migrations(scripts)


def test_what_cannot_be_read_is_refused(scripts: Path) -> None:
    with pytest.raises(MigrationError, match=r"gone cannot be read: No such file") as caught:
        read_migrations(scripts / "gone")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    (scripts / "0001_one.sql").mkdir()
    with pytest.raises(MigrationError, match=r"0001_one.sql cannot be read: Is a dir") as caught:
        read_migrations(scripts)
    assert isinstance(caught.value.__cause__, IsADirectoryError)


def test_a_script_of_another_encoding_is_refused(scripts: Path) -> None:
    (scripts / "0001_one.sql").write_bytes("SELECT 'é'".encode("latin-1"))
    with pytest.raises(MigrationError, match=r"is not UTF-8 \(byte 8\)"):
        read_migrations(scripts)


def test_a_sequence_is_taken_as_it_stands() -> None:
    assert read_migrations(["x", A, "y"]) == (Migration("0001", "x"), A, Migration("0003", "y"))
    assert read_migrations([]) == ()


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(MigrationError, match="Two migrations are named '0002'"):
        read_migrations([Migration("0002", "x"), "y"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("migrations", r"migrations='migrations' is a bare str.*pathlib\.Path"),
        ("x" * 50, r"migrations='x{39}… is a bare str"),
        (b"migrations", "is a bare bytes"),
        (5, "must be a directory .* it is a int"),
        ([A, 5], r"migrations\[1\] must be a Migration, an SQL script .* it is a int"),
    ],
)
def test_another_source_is_refused(source: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        read_migrations(source)


def test_a_migration_has_a_name_and_a_text() -> None:
    with pytest.raises(TypeError, match=r"Migration.name must be text; it is 1"):
        Migration(cast("str", 1), "")
    with pytest.raises(TypeError, match=r"Migration.sql must be text; it is 2"):
        Migration("x", cast("str", 2))
    with pytest.raises(ValueError, match=r"Migration.name must not be blank"):
        Migration(" ", "")
    assert repr(A) == "Migration(name='a', namespace='')"
