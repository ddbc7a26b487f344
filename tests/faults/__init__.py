"""What holds under faults, measured: `python -m tests.faults [NAME ...] [--full] [--seed N]`.

Each promise of `docs/guarantees.md` is a module here, `figure_<name>.py`, with

- `PROMISE`, one line that says what is claimed;
- `run(seed, *, full)`, which puts it to the test and gives a `Figure`, or raises an
  `AssertionError` that says what was broken. It blocks; `full` takes minutes, otherwise seconds.

`tests/faults/test_figures.py` runs the small setting of each.
"""
