"""`trio-sqlrepo check`: every declared query against a schema, without running the application.

command   the options and the exit code
rows      what the table shows of a statement, in words
table     the table, in a terminal of any width
document  the same as JSON
"""
