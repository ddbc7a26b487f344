"""Several processes on one database file."""
