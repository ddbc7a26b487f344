"""What is known of the WAL file."""

from __future__ import annotations

from typing import final

import attrs


@final
@attrs.frozen
class WalState:
    """The WAL as it was last seen.

    Attributes:
        size_bytes: how long the file is.
        limit_bytes: `SQLiteConfig.wal_size_limit`.
        blocked_by: who keeps it from being cut back, such as a reader of this pool; None: nobody.
        blocked_since: since when, in seconds of trio's clock.
    """

    size_bytes: int
    limit_bytes: int
    blocked_by: str | None
    blocked_since: float | None
