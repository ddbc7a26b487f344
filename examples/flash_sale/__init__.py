"""A flash sale that cannot oversell. Try it: `python -m examples.flash_sale`."""
