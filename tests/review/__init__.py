"""Tests of the review of declared queries."""
