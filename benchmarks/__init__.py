"""How fast trio_sqlrepo is, beside what else an asynchronous program can use for SQLite.

    python -m pip install -e '.[bench]'
    python -m benchmarks                   # all of it, an hour and a half
    python -m benchmarks --list            # what there is, and how long each takes
    python -m benchmarks --quick           # whether it runs; the figures mean little
    python -m benchmarks --only highest_rate --rounds 5 --json figures.json
    python -m benchmarks --compare benchmarks/results/OLD.json
    python -m benchmarks.publish benchmarks/results/NEW.json

Each workload is a file under `workloads/`, named after its question; `goals.py` has the goals it is
held to. Each contender is a file under `contenders/`, which says which way of using it was taken.
The bare synchronous apsw loop is the limit: what SQLite costs if nobody waits for anybody. Where a
peer's documentation shows another way beside its usual one, both take part, and goals compare with
the usual one. A contender that can't do a workload, or for which it asks nothing, is named with
the reason.

**How it is measured.** Every measurement is a process of its own, on a fresh copy of one file
(10 000 messages, where the workload says nothing else). Contenders take turns, A B C, B C A, for
several rounds; ratios are taken within a round, and the table shows their median with the smallest
and largest. So what disturbs the machine for a minute disturbs all alike. Warm-up comes first, the
garbage collector stays on. Latency is measured on one core (waking a thread on another one costs
more than the call, and differs from hour to hour), load on all. CPU time per call is shown as well:
on a busy machine it is the steadier figure.

**Equal settings.** WAL, `synchronous=FULL`, SQLite's defaults otherwise; read back in each process
and printed. Contenders that use Python's `sqlite3` use its SQLite, which may be older than apsw's;
the table of versions tells. Of single rows ours makes attrs objects with a `datetime`, and peers
give the bare tuples of SQLite; of pages and more all give objects.

**Nothing is lost unseen.** Errors are counted by kind: *refused* is what a contender turned away
itself, *lock errors* what failed because the database was locked. When the process has ended, its
parent counts the rows: an acknowledged write that is not there is *lost*.

**Durable means fsync.** On a file system in memory an fsync costs nothing and the write workloads
mean nothing. The head of the report names the file system and what an fsync takes there; choose
another place with `--dir`.

**Open load** is open indeed: requests arrive on a schedule, whether or not earlier ones are
answered, and a latency counts from the scheduled arrival, waiting included. Up to 10 000 are in
flight; what arrives beyond that is *dropped*.
"""
