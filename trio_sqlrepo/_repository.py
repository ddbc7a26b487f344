"""`Repository`: a class whose methods are queries, bound to a session."""

from __future__ import annotations

import copy
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Self

from trio_sqlrepo._base.errors import SessionError
from trio_sqlrepo._data.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_sqlrepo._query.declare import Declaration
    from trio_sqlrepo._query.plan import Plan


class _Unbound:
    """Stands where a session would be in a repository whose `__init__` was not called."""

    def __get__(self, instance: object, owner: type) -> Self:
        if instance is None:
            return self  # whoever looks at the class: autodoc, create_autospec, getmembers
        message = (
            f"{owner.__qualname__} is not bound to a session: its __init__ must call"
            " super().__init__(session)."
        )
        raise SessionError(message)


class Repository:
    """The base of repositories: ordinary classes, whose queries are declared with `@query`.

    Subclass, mix in, override; add an `__init__` with more arguments if it calls
    `super().__init__(session)`. Making one costs nothing: bind one where you need it.

    Args:
        session: the `Database`, `Transaction`, `Snapshot` or `self.session` it works on.

    Raises:
        NotRegistered: the class was not given to `open_database(repositories=...)`.
    """

    # Non-data descriptors: instance attributes set in `__init__` hide them.
    _session: Session = _Unbound()  # type: ignore[assignment]  # see the comment
    _plans: Mapping[Declaration, Plan] = _Unbound()  # type: ignore[assignment]  # likewise
    _call: Any = _Unbound()

    def __init__(self, session: Session) -> None:
        self._bind(session)

    def _bind(self, session: Session) -> None:
        if not isinstance(session, Session):
            raise TypeError(_no_session(type(self).__qualname__, session))
        plans = session._plans_for(type(self))
        try:
            self._plans = plans
            self._session = session
            self._call = session._call
        except (AttributeError, TypeError):
            # It is frozen (a dataclass with slots raises TypeError, by a bug of Python 3.11): past
            # its `__setattr__`. For all others that would cost three times as much.
            object.__setattr__(self, "_plans", plans)
            object.__setattr__(self, "_session", session)
            object.__setattr__(self, "_call", session._call)

    @property
    def session(self) -> Session:
        """What this repository is bound to."""
        return self._session

    def using(self, session: Session) -> Self:
        """Give a shallow copy that is bound to another session.

        Other attributes are shared with this one.

        Raises:
            NotRegistered: the session's database does not know the class.
        """
        bound = copy.copy(self)
        bound._bind(session)
        return bound

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} on {self.__dict__.get('_session', 'nothing')}>"


def _no_session(name: str, given: object) -> str:
    if isinstance(given, AbstractAsyncContextManager):
        return (
            f"{name} was given a block that is not entered; write `async with open_database(...) as"
            " db:` (or `db.transaction() as tx`) and give it what stands behind `as`."
        )
    return (
        f"{name} is bound to a session: a Database, Transaction or Snapshot; it was given"
        f" {type(given).__name__}."
    )
