"""What a watching task sleeps on until there is something to watch for."""

from __future__ import annotations

from typing import final

from trio_util import AsyncBool


@final
class Alarm:
    """A switch that calls turn on and a watching task turns off. Loop thread only.

    Every call looks at `armed`, so it is a plain attribute.
    """

    __slots__ = ("_bell", "armed")

    def __init__(self) -> None:
        self.armed = False
        self._bell = AsyncBool()  # type: ignore[no-untyped-call]  # trio-util's own gap

    def __repr__(self) -> str:
        return f"<Alarm {'armed' if self.armed else 'at rest'}>"

    def arm(self) -> None:
        """Wake the watching task, if it sleeps."""
        self.armed = self._bell.value = True

    def disarm(self) -> None:
        """There is nothing to watch for."""
        self.armed = self._bell.value = False

    async def wait(self) -> None:
        """Sleep until armed."""
        await self._bell.wait_value(True)  # the value waited for
