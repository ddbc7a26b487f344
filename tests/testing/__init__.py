"""Tests of trio_sqlrepo.testing."""
