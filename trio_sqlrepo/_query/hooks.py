"""User types: what the cattrs converter was told to do with them.

A hook counts if the user registered it. cattrs also makes hooks by itself, for attrs classes and
collections for instance; these map to and from nested dicts, not column values, and are not used.
Without a converter there are no hooks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_sqlrepo._query.codec import Codec
from trio_sqlrepo._query.refusal import Misfit, Refusal, python_type, stored_type, title
from trio_sqlrepo._query.table import ANY, SCALARS, bind_any

if TYPE_CHECKING:
    from collections.abc import Callable

    import cattrs

# A subclass of these is stored as they are, without a hook.
_BASES = (str, int, float, bytes)


def hook_codec(hint: Any, converter: cattrs.BaseConverter | None, *, reading: bool) -> Codec | None:
    """How the converter maps `hint` to and from a column value; None: the user told it nothing."""
    hook = (structure_hook if reading else unstructure_hook)(hint, converter)
    if hook is None:
        return None
    name = title(hint)

    def bind(value: Any) -> Any:
        return bind_any(unstructured(value))

    def dump(value: Any) -> Any:
        form = bind_any(unstructured(value))
        if isinstance(form, bytes):
            raise Misfit("one that the converter turns into bytes, which JSON can't hold")
        return form

    def unstructured(value: Any) -> Any:
        if isinstance(hint, type) and not isinstance(value, hint):
            raise Misfit(python_type(value))
        try:
            form = hook(value)
        except Exception as error:
            raise Misfit(f"one for which {_raised('unstructure', error)}", cause=error) from error
        if not isinstance(form, (bool, int, float, str, bytes, type(None))):
            raise Misfit(
                f"one that the converter's unstructure hook turns into an object"
                f" {python_type(form)}",
                "stored as None, bool, int, float, str or bytes",
            )
        return form

    def read(value: Any) -> Any:
        if value is None:
            raise Misfit(stored_type(value))
        try:
            return hook(value, hint)
        except Exception as error:
            raise Misfit(
                f"{stored_type(value)} for which {_raised('structure', error)}", cause=error
            ) from error

    return Codec(title=name, storage=ANY.storage, bind=bind, read=read, dump=dump, load=read)


def _raised(hook: str, error: Exception) -> str:
    # The error's own text may quote the value; it is kept as the cause.
    return f"the converter's {hook} hook raised {type(error).__name__}"


def subclass_codec(hint: Any) -> Codec | None:
    """A class derived from str, int, float or bytes: strictly stored as that one."""
    if not isinstance(hint, type):
        return None
    for base in _BASES:
        if issubclass(hint, base):
            codec = SCALARS[base]
            made, dump = _made(hint, codec.read), codec.dump
            return Codec(
                title=hint.__name__,
                storage=codec.storage,
                bind=_checked(hint, codec.bind),
                read=made,
                dump=dump and _checked(hint, dump),
                load=codec.load and _made(hint, codec.load),
            )
    return None


def _checked(kind: type, bind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if not isinstance(value, kind):
            raise Misfit(python_type(value))
        return bind(value)

    return checked


def _made(kind: Any, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def made(value: Any) -> Any:
        base = read(value)
        try:
            return kind(base)
        except Exception as error:
            raise Misfit(
                f"{stored_type(value)} for which its constructor raised {type(error).__name__}",
                cause=error,
            ) from error

    return made


def missing_hook(hint: Any, *, reading: bool) -> Refusal:
    """What to say of a type that nothing maps."""
    direction = "structure" if reading else "unstructure"
    return Refusal(
        f"`{title(hint)}` has no column form; register a hook for it"
        f" (converter.register_{direction}_hook) and give that converter to open_database"
    )


def structure_hook(hint: Any, converter: cattrs.BaseConverter | None) -> Callable[..., Any] | None:
    """The hook the user registered for reading `hint`."""
    return None if converter is None else _users(converter.get_structure_hook, hint)


def unstructure_hook(
    hint: Any, converter: cattrs.BaseConverter | None
) -> Callable[..., Any] | None:
    """The hook the user registered for binding `hint`."""
    return None if converter is None else _users(converter.get_unstructure_hook, hint)


def _users(get_hook: Callable[[Any], Callable[..., Any]], hint: Any) -> Callable[..., Any] | None:
    try:
        hook = get_hook(hint)
    except Exception:  # noqa: BLE001  # cattrs has no hook, or failed to make one of its own
        return None
    return hook if _is_users(hook) else None


def _is_users(hook: Any) -> bool:
    code = getattr(hook, "__code__", None)
    if code is not None and code.co_filename.startswith("<cattrs generated"):
        return False
    module = getattr(hook, "__module__", None) or ""
    # The strategy that lets classes bring methods of their own is the user's word, too.
    return not module.startswith("cattrs.") or module == "cattrs.strategies._class_methods"
