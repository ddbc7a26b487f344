"""Floor 1: what a query is: declared, resolved, bound and mapped. Pure; runs no SQL."""
