"""The tests: one file per module here, one per promise in guarantees/."""
