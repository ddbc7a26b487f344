"""Import paths: what they lead to, and a sentence where they lead nowhere."""

from __future__ import annotations

import pytest

from tests.cli.apps import App


@pytest.mark.parametrize("target", ["chat", "chat:Messages", "chat:LIST", "chat:give"])
def test_a_class_a_list_a_function_or_a_module_name_repositories(app: App, target: str) -> None:
    code, out, _ = app.run("check", target)
    assert code == 0
    assert "Messages.get" in out
    assert "4 queries fit the schema, in 5 statements" in out


def test_a_function_may_give_one_class_and_a_name_may_be_dotted(app: App) -> None:
    app.write(
        "shop/__init__.py",
        """
        from chat import MIGRATIONS, Messages
        class Holder:
            def give():
                return Messages
        """,
    )
    assert app.run("check", "shop:Holder.give")[0] == 0


def test_a_package_has_what_it_imports_from_within_but_nothing_generic(app: App) -> None:
    app.write(
        "shop/__init__.py",
        """
        from chat import MIGRATIONS, Messages
        from trio_sqlrepo import CrudRepository
        from shop.parts import Base, Parts
        SAME = Parts
        """,
    )
    app.write(
        "shop/parts.py",
        """
        from typing import Generic, TypeVar
        from trio_sqlrepo import Repository, query
        T = TypeVar("T")
        class Base(Repository, Generic[T]):
            @query("SELECT id FROM message WHERE id = :id")
            async def one(self, id: T) -> int: ...
        class Parts(Base[int]): ...
        """,
    )
    app.write("shop/more.py", "from shop.parts import Base, Parts\nfrom chat import MIGRATIONS")
    code, out, _ = app.run("check", "shop")
    assert code == 0
    assert "1 query fits the schema" in out
    assert "Parts.one" in out
    assert "shop.more defines no repository class" in app.refusal("check", "shop.more")


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("", "'' is no import path; write it as package.module:NAME."),
        ("chat:", "'chat:' is no import path"),
        (":Messages", "':Messages' is no import path"),
        (".chat", "'.chat' is no import path"),
        ("wat", "There is no module 'wat', neither in this directory nor installed;"),
        ("wat.more:X", "There is no module 'wat', neither in"),
        ("chat.more", "There is no module 'chat.more', neither in"),
        ("chat:Message.wat", "'chat:Message.wat' leads nowhere: the class Message has no 'wat';"),
        ("chat:wat.x", "'chat:wat.x' leads nowhere: chat has no 'wat';"),
        ("chat:LIST.x", "leads nowhere: an object of type list has no 'x'"),
        ("chat:Message", "'chat:Message' gives the class Message, which is no repository class;"),
        ("chat:MIGRATIONS", "gives an object of type str, which is no repository class;"),
        ("chat:NOTHING", "'chat:NOTHING' is empty; there is nothing to check."),
        (
            "chat:Messages.get",
            (
                "'chat:Messages.get' names a @query of Messages; check its class, chat:Messages."
                " For one query there is `explain`."
            ),
        ),
        ("chat:Messages.tidy", "'chat:Messages.tidy' names a @transaction of Messages; check its"),
        ("chat:Messages.__name__", "gives an object of type str, which is no repository class;"),
    ],
)
def test_what_leads_nowhere_is_a_sentence(app: App, target: str, sentence: str) -> None:
    assert sentence in app.refusal("check", target, "--migrations", "chat:MIGRATIONS")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            "import wat",
            "app cannot be used, it raises ModuleNotFoundError: No module named 'wat' (",
        ),
        ("1 / 0", "app cannot be used, it raises ZeroDivisionError: division by zero ("),
        ("raise KeyError", "app cannot be used, it raises KeyError ("),
        ("import sys; sys.exit(3)", "app cannot be used, it raises SystemExit: 3 ("),
        ("def (", "app cannot be used, it raises SyntaxError: "),
    ],
)
def test_a_module_that_raises_is_named_with_its_line(app: App, source: str, sentence: str) -> None:
    app.write("app.py", f"\n{source}\n")
    told = app.failure("check", "app")
    assert told.startswith(sentence)
    assert told.endswith("app.py:2).")


def test_a_function_that_raises_is_named_as_well(app: App) -> None:
    app.write("app.py", "from chat import MIGRATIONS\ndef give():\n    raise OSError('gone')")
    told = app.failure("check", "app:give")
    assert told.startswith("app:give() cannot be used, it raises OSError: gone (")
    assert told.endswith("app.py:3).")


def test_a_declaration_that_raises_at_its_import_is_told_as_it_is(app: App) -> None:
    app.write("app.py", "from trio_sqlrepo import query\n@query(5)\ndef x(): ...")
    assert app.failure("check", "app").startswith("@query takes the SQL")


@pytest.mark.parametrize(
    ("migrations", "sentence"),
    [
        ("wat", "--migrations wat: there is no such directory; give one, or package.module:NAME."),
        ("empty", "The directory empty holds no NNNN_name.sql or NNNN_name.py file; give the one"),
        ("chat:wat", "'chat:wat' leads nowhere"),
        ("chat:SCRIPT", "'chat:SCRIPT' is an object of type str; migrations are a directory"),
        ("chat:NONE", "'chat:NONE' is an object of type NoneType; migrations are"),
        ("chat:Messages", "'chat:Messages' is the class Messages: migrations must be a directory"),
        ("chat:give", "'chat:give' is give: migrations must be a directory"),
        ("chat:LIST", "'chat:LIST' is an object of type list: migrations[0] must be a Migration"),
    ],
)
def test_migrations_that_are_none_are_refused(app: App, migrations: str, sentence: str) -> None:
    app.write("empty/notes.txt", "")
    app.write("more.py", "from chat import *\nSCRIPT = ''\nNONE = None")
    migrations = migrations.replace("chat:S", "more:S").replace("chat:N", "more:N")
    sentence = sentence.replace("chat:S", "more:S").replace("chat:N", "more:N")
    assert sentence in app.refusal("check", "chat", "--migrations", migrations)


def test_without_a_schema_the_options_for_one_are_named(app: App) -> None:
    app.write("more.py", "from chat import LIST")
    assert app.refusal("check", "more:LIST") == (
        "more has no MIGRATIONS; say what the schema is: --migrations DIRECTORY, --migrations"
        " package.module:NAME, or --database FILE."
    )


def test_a_directory_of_migrations_is_one(app: App) -> None:
    app.write("sql/0001_all.sql", "CREATE TABLE message (id INTEGER PRIMARY KEY, stars INTEGER);")
    app.write(
        "more.py",
        """
        from trio_sqlrepo import Repository, query
        class Stars(Repository):
            @query("SELECT stars FROM message WHERE id = :id")
            async def of(self, id: int) -> int | None: ...
        """,
    )
    assert app.run("check", "more", "--migrations", "sql")[0] == 0
    app.write("sql/0002_wrong.sql", "SELECT wat;")
    told = app.failure("check", "more", "--migrations", "sql")
    assert told.startswith("Migration 0002_wrong failed: ")


def test_what_is_no_sqlite_config_and_no_converter_is_refused(app: App) -> None:
    assert app.refusal("check", "chat", "--sqlite", "chat:LIST") == (
        "--sqlite chat:LIST: it is an object of type list, not a SQLiteConfig."
    )
    assert "not a BaseConverter" in app.refusal("check", "chat", "--converter", "chat:Message")
