"""Tests of the floor `_worker`: one file per module."""
