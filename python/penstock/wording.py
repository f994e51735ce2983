"""Writes numbers and spans of time for people."""

from __future__ import annotations


def words(span: float) -> str:
    """Write a span of seconds for people: `1.8 s`, `4 min 05 s`, `2 h 03 min`."""
    if span < 0.0095:
        return f"{span * 1000:.1f} ms"
    if span < 0.9995:
        return f"{span * 1000:.0f} ms"
    if span < 59.95:
        return f"{span:.1f} s"
    whole = round(span)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: `1 shard`, `2,000 records`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}{_ending(noun)}"


def _ending(noun: str) -> str:
    return "es" if noun.endswith("ch") else "s"
