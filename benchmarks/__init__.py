"""How fast trio_sqlrepo is, beside what else an asynchronous program can use for SQLite.

    python -m pip install -e '.[bench]'
    python -m benchmarks                   # all of it, some minutes
    python -m benchmarks --quick           # whether it runs; the figures mean little
    python -m benchmarks --only open_load --rounds 5 --json figures.json

Each workload is a file under `workloads/`, named after its question, with the goal it is held to.
Each contender is a file under `contenders/`: this library; apsw's own trio mode (`apsw.aio`);
aiosqlite; `trio.to_thread` around every call; and a bare synchronous apsw loop, which is the limit:
what SQLite costs if nobody waits for anybody. Where a peer's documentation shows a shortcut
beside its usual way, both take part, and goals compare with the usual one.

**How it is measured.** Every measurement is a process of its own, on a fresh copy of one file
(10 000 messages). Contenders take turns, A B C A B C, for several rounds; ratios are taken within
a round, and the table shows their median with the smallest and largest. So what disturbs the
machine for a minute disturbs all alike. Warm-up comes first, the garbage collector stays on.
Latency is measured on one core (waking a thread on another one costs more than the call, and
differs from hour to hour), load on all. CPU time per call is shown as well: on a busy machine it
is the steadier figure.

**Equal settings.** WAL, `synchronous=FULL`, autocommit, SQLite's defaults otherwise; read back in
each process and printed. Contenders that use Python's `sqlite3` use its SQLite, which may be older
than apsw's; the table of versions tells. Ours returns attrs objects with a `datetime`, peers the
bare tuples of SQLite.

**Durable means fsync.** On a file system in memory an fsync costs nothing and the write workloads
mean nothing. The head of the report names the file system and what an fsync takes there; choose
another place with `--dir`.

**Open load** is open indeed: requests arrive on a schedule, whether or not earlier ones are
answered, and a latency counts from the scheduled arrival, waiting included. Up to 10 000 are in
flight; what arrives beyond that is *dropped*. *Refused* is what a contender turned away itself,
*lock errors* what failed because the database was locked.
"""
