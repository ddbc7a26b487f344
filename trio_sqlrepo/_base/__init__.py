"""Floor 0: the words every other floor speaks: errors, settings, jobs, the driver protocol."""
