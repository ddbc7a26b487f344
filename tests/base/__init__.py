"""Tests of `_base`: errors, settings, records."""
