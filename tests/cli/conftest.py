"""Fixtures of the command line's tests."""

from tests.cli.apps import app

__all__ = ["app"]
