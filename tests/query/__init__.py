"""Tests of `_query`: what a query is."""
