"""The load of `figure_isolation` finds isolation that is broken."""

from __future__ import annotations

from tests.faults.figure_isolation import counted, run_round


def test_a_broken_driver_is_found_by_the_load() -> None:
    """Every block that is undone leaves its marks there; so a short round has plenty."""
    judged = run_round(1, 0.8, "NoTransaction")
    assert counted(judged.history)["failed"]
    assert "G1a" in {each.kind for each in judged.verdict.anomalies}
