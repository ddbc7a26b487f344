"""Tests of `_data`: what users do with a pool."""
