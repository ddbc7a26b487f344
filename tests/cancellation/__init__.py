"""Cancellation at every checkpoint of every public call, and of many calls at once."""
