"""Mappings of one process get equal shares of its workers, however many they are."""

from __future__ import annotations

from benches.load.shares import shares


def test_two_hundred_mappings_with_a_backlog_are_called_equally_often() -> None:
    # Taking turns gives 15 calls to each by the time that is counted; a mapping whose next page
    # comes late on a busy machine misses a turn or two.
    assert shares(200, batches=20)["share"] >= 0.7
