"""A hundred messages posted at once, some moved. Try it: `python -m examples.quickstart`."""
