"""`trio-sqlrepo demo`: a chat service under full load on a real database file.

plan      the options, checked, and the file, looked at before anything is opened
chat      what a user of this library writes: schema, records, repository
load      the tasks that use it: users, moderators, retention
meter     latencies and errors, in bounded memory
sample    what the last second was like
view      the live view of a terminal, and plain lines without one
witness   a child process that looks at the file afterwards
report    the table at the end
run       all of it together
"""

from __future__ import annotations

from trio_sqlrepo.cli.demo.plan import Plan as Plan
from trio_sqlrepo.cli.demo.run import run_demo as run_demo
from trio_sqlrepo.cli.refusal import Refused as Refused
