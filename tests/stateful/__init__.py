"""Property tests: machines that drive the public API against a model of the database."""
