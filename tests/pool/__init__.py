"""Tests of the floor `_pool`: one file per module."""
