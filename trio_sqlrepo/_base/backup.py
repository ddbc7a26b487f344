"""What a backup tells while it is made."""

from __future__ import annotations

from typing import Literal

import attrs

BackupStage = Literal["copying", "verifying"]


@attrs.frozen(kw_only=True)
class BackupProgress:
    """How far a backup has come.

    Attributes:
        stage: `"copying"`; then, once, `"verifying"`: the copy is read and checked as a whole.
        pages_done: how many pages of the database have been copied.
        pages_total: how many it has.
    """

    stage: BackupStage
    pages_done: int
    pages_total: int

    @property
    def fraction(self) -> float:
        """The share that has been copied, from 0 to 1."""
        return self.pages_done / self.pages_total if self.pages_total else 1.0
