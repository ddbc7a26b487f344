"""How a command ends that cannot do what it was asked to: one sentence, and an exit code."""

from __future__ import annotations


class Refused(Exception):
    """What was asked for cannot be done; the sentence says why. Exit code 2; nothing was done."""


class Failed(Exception):
    """What was to be looked at is broken; the sentence says how. Exit code 1."""
