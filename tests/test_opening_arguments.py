"""What a newcomer gets wrong when opening a database, and what is said."""

from pathlib import Path
from typing import Any

import pytest

import trio_sqlrepo
from tests.notes import Notes
from trio_sqlrepo import open_database


@pytest.mark.parametrize("name", ["pool", "sqlite"])
def test_a_mapping_is_no_config(name: str, db_path: Path) -> None:
    settings: dict[str, Any] = {name: {}}
    with pytest.raises(TypeError, match=rf"{name}=\.\.\.\) takes a \w+, not dict; from a mapping"):
        open_database(db_path, **settings)
    assert not db_path.exists()


def test_one_repository_is_no_list(db_path: Path) -> None:
    repositories: Any = Notes
    with pytest.raises(TypeError, match=r"takes a list: repositories=\[Notes\]"):
        open_database(db_path, repositories=repositories)


@pytest.mark.parametrize("call", ["read", "write"])
async def test_a_coroutine_function_is_no_plain_function(call: str) -> None:
    async def function(_connection: object) -> None: ...

    async with open_database(":memory:") as db:
        with pytest.raises(TypeError, match=r"plain function .* coroutine function .*function"):
            await getattr(db, call)(function)


def test_classes_show_their_public_names() -> None:
    shown = {
        name: value.__module__
        for name, value in vars(trio_sqlrepo).items()
        if isinstance(value, type)
    }
    assert set(shown.values()) == {"trio_sqlrepo"}
