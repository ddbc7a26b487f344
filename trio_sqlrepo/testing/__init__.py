"""The test kit: what applications test their repositories with, and this library itself.

Needs the extra `testing`. One module for each purpose:

- `schedules`: several tasks at once, in an order that Hypothesis draws and that repeats.
- `faults`: errors of SQLite's and dying threads, at a chosen call of a connection.
"""
