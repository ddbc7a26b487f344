"""Warnings: frozen records, each with its sentence, plain for JSON."""

from __future__ import annotations

import json

import attrs
import pytest

import trio_sqlrepo
from trio_sqlrepo._base.warnings import (
    DegradedSize,
    FewIdleReaders,
    HighErrorRate,
    LongStream,
    PoolWarning,
    ReplacedConnections,
    SlowOperation,
    WalOverLimit,
)

SENTENCES = {
    FewIdleReaders(idle=0, readers=4, share=0.2, seconds=65.0): (
        "For 65 s less than 0.2 of the 4 readers were idle (now 0), so reads wait. Raise"
        " PoolConfig.max_readers, or hold snapshots and run db.read() for less long."
    ),
    HighErrorRate(errors=3, operations=120, seconds=60.0, query="Messages.post"): (
        "3 of 120 operations of the last 60 s failed (2.50%), Messages.post most often. Look at"
        " what their callers were told."
    ),
    HighErrorRate(errors=3, operations=120, seconds=60.0, query=None): (
        "3 of 120 operations of the last 60 s failed (2.50%). Look at what their callers were told."
    ),
    SlowOperation(operation="Messages.export", seconds=45.25, running=True, limit=30.0): (
        "Messages.export was called 45.2 s ago and still runs, longer than others wait for a"
        " connection (PoolConfig.connection_timeout is 30 s). Look at its query plan, or let it do"
        " less at a time."
    ),
    SlowOperation(operation="execute", seconds=45.25, running=False, limit=30.0): (
        "execute took 45.2 s, longer than others wait for a connection"
        " (PoolConfig.connection_timeout is 30 s). Look at its query plan, or let it do less at a"
        " time."
    ),
    LongStream(query="Messages.export", task="report", seconds=61.0, limit=60.0): (
        "Task 'report' has had a stream of Messages.export open for 61 s"
        " (PoolConfig.warning_stream_age is 60 s); it holds a connection, and its view keeps the"
        " WAL from being cut back. Work on its rows faster, or read them in several calls, each"
        " from where the last one stopped."
    ),
    WalOverLimit(size_bytes=20, limit_bytes=10, blocked_by="reader 2", seconds=7.0): (
        "The WAL has 20 bytes, above SQLiteConfig.wal_size_limit (10), and can't be cut back: held"
        " for 7 s by reader 2. End what reads there."
    ),
    WalOverLimit(size_bytes=20, limit_bytes=10, blocked_by="another process", seconds=None): (
        "The WAL has 20 bytes, above SQLiteConfig.wal_size_limit (10), and can't be cut back: held"
        " by another process. End what reads there."
    ),
    ReplacedConnections(count=1, connection="reader 2", reason="The disk is on fire."): (
        "1 connection was replaced lately, the last reader 2: The disk is on fire."
    ),
    ReplacedConnections(count=2, connection="writer 1", reason="The disk is on fire."): (
        "2 connections were replaced lately, the last writer 1: The disk is on fire."
    ),
    DegradedSize(connections="reader", size=1, most=4, reason="No descriptor is left."): (
        "Only 1 of up to 4 reader connections serve; opening another one is tried again by itself:"
        " No descriptor is left."
    ),
}


@pytest.mark.parametrize(("warning", "sentence"), SENTENCES.items())
def test_a_warning_is_a_sentence_and_plain_data(warning: PoolWarning, sentence: str) -> None:
    assert warning.message == sentence
    plain = json.loads(json.dumps(warning.as_dict()))
    assert plain == {"kind": warning.kind, "message": sentence, **attrs.asdict(warning)}
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        warning.kind = "another"  # type: ignore[misc]  # what is refused


def test_each_kind_has_its_name() -> None:
    kinds: set[type[PoolWarning]] = {type(each) for each in SENTENCES}
    assert len(kinds) == len({kind.kind for kind in kinds}) == 7
    for kind in kinds | {PoolWarning}:
        assert getattr(trio_sqlrepo, kind.__name__) is kind


def test_the_root_says_nothing() -> None:
    assert PoolWarning().subject == ""
    with pytest.raises(NotImplementedError):
        _ = PoolWarning().message


def test_what_a_warning_is_about() -> None:
    assert {(each.kind, each.subject) for each in SENTENCES} == {
        ("few_idle_readers", ""),
        ("high_error_rate", ""),
        ("slow_operation", "Messages.export"),
        ("slow_operation", "execute"),
        ("long_stream", "Messages.export of report"),
        ("wal_over_limit", "reader 2"),
        ("wal_over_limit", "another process"),
        ("replaced_connections", ""),
        ("degraded_size", "reader"),
    }
