from __future__ import annotations

from trio_sqlrepo._worker.record import Record, Tally


def record(calls: int, errors: int, rows: int, total: float, longest: float) -> Record:
    made = Record()
    made.calls, made.errors, made.rows = calls, errors, rows
    made.total_seconds, made.max_seconds = total, longest
    return made


def fields(of: Record) -> tuple[float, ...]:
    return of.calls, of.errors, of.rows, of.total_seconds, of.max_seconds


def test_records_add_up_and_keep_the_longest() -> None:
    one = record(1, 1, 5, 2.0, 2.0)
    one.add(record(2, 0, 7, 4.0, 3.0))
    assert fields(one) == (3, 1, 12, 6.0, 3.0)
    one.add(record(1, 0, 0, 1.0, 1.0))
    assert fields(one) == (4, 1, 12, 7.0, 3.0)


def test_tallies_add_up_statement_by_statement() -> None:
    gone, worker = Tally(), Tally()
    gone.make_room(1)
    gone.statements[0] = record(1, 0, 1, 1.0, 1.0)
    worker.make_room(2)
    worker.statements[:] = [record(2, 1, 3, 4.0, 3.0), record(5, 0, 0, 1.0, 1.0)]
    gone.claimed, gone.commits, gone.writes, gone.busy_seconds = 1, 2, 3, 4.0
    worker.claimed, worker.commits, worker.writes, worker.busy_seconds = 10, 20, 30, 40.0
    gone.add(worker)
    assert (gone.claimed, gone.commits, gone.writes, gone.busy_seconds) == (11, 22, 33, 44.0)
    assert [fields(each) for each in gone.statements] == [(3, 1, 4, 5.0, 3.0), (5, 0, 0, 1.0, 1.0)]


def test_room_is_made_once() -> None:
    tally = Tally()
    tally.make_room(2)
    first = tally.statements[0]
    tally.make_room(2)
    tally.make_room(1)
    assert len(tally.statements) == 2
    assert tally.statements[0] is first
