"""Gives the metrics of an engine in Prometheus' text, from one snapshot a scrape.

Rules: every number of a scrape is of the same moment; counters are the engine's own and are never
counted a second time here; the names of AWS's seven counters are AWS's in snake case; a gauge whose
value is not known has no sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from penstock._bridge import version

# Bounds in seconds and how many invocations took at most that, and the seconds of all.
Durations = Callable[[], tuple[list[tuple[float, int]], float]]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

# Counter of the snapshot, name of the metric, what it means.
_COUNTERS: Final = (
    ("polled", "polled_events", "Records and messages read from the source."),
    ("filtered", "filtered_out_events", "Records that the filter criteria dismissed."),
    ("invoked", "invoked_events", "Records sent to the handler, each attempt again."),
    ("failed", "failed_invoke_events", "Records in failed invocations."),
    ("dropped", "dropped_events", "Records given up without a document of failure."),
    (
        "delivered",
        "on_failure_destination_delivered_events",
        "Records whose document of failure the destination has.",
    ),
    ("retries", "retries", "Batches tried again unchanged."),
    ("bisections", "bisections", "Batches split in two."),
    ("gaps", "gaps", "Gaps that the source's retention has left."),
)


class Metrics:
    """The metrics of one engine."""

    def __init__(self, snapshot: Callable[[], dict[str, Any]], durations: Durations) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Snapshots(snapshot, durations))

    def text(self) -> bytes:
        """Take a snapshot and write it down."""
        return generate_latest(self._registry)


class _Snapshots(Collector):
    """Makes families of metrics from a snapshot."""

    def __init__(self, snapshot: Callable[[], dict[str, Any]], durations: Durations) -> None:
        self._snapshot = snapshot
        self._durations = durations

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: that would need a snapshot at registration."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Give every family, of one moment."""
        picture = self._snapshot()
        mappings = [each for each in picture["mappings"] if "counters" in each]
        yield _labelled("build_info", "The version that runs.", ["version"], [([version()], 1)])
        facts = [([m["mapping"], m["handler"], m["source_arn"]], 1) for m in mappings]
        labels = ["mapping", "function", "source"]
        yield _labelled("mapping_info", "What a mapping is made of.", labels, facts)
        yield from _counters(mappings)
        yield from _batches(mappings)
        yield from _shards(mappings, picture["now"])
        yield self._invocation_durations()
        waited = CounterMetricFamily(
            "penstock_gil_wait_seconds", "Time that workers waited for the interpreter."
        )
        waited.add_metric([], picture["attach_wait_seconds"])
        yield waited

    def _invocation_durations(self) -> Metric:
        buckets, seconds = self._durations()
        rows = [(_bound(bound), float(count)) for bound, count in buckets]
        return HistogramMetricFamily(
            "penstock_invocation_duration_seconds",
            "How long handlers took, of all mappings.",
            buckets=rows,
            sum_value=seconds,
        )


def _counters(mappings: list[dict[str, Any]]) -> Iterator[Metric]:
    for key, name, meaning in _COUNTERS:
        family = CounterMetricFamily(f"penstock_{name}", meaning, labels=["mapping"])
        for each in mappings:
            family.add_metric([each["mapping"]], each["counters"][key])
        yield family
    deleted = CounterMetricFamily(
        "penstock_deleted_events", "Messages deleted after success.", labels=["mapping"]
    )
    outcomes = CounterMetricFamily(
        "penstock_invocations", "Invocations that ended.", labels=["mapping", "outcome"]
    )
    for each in mappings:
        counters, mapping = each["counters"], each["mapping"]
        if each.get("queue") is not None:
            deleted.add_metric([mapping], counters["succeeded"])
        failed = counters["failed_invocations"]
        ended = counters["invocations"] - _in_flight(each)
        outcomes.add_metric([mapping, "failed"], failed)
        outcomes.add_metric([mapping, "succeeded"], max(ended - failed, 0))
    yield deleted
    yield outcomes


def _batches(mappings: list[dict[str, Any]]) -> Iterator[Metric]:
    records = SummaryMetricFamily(
        "penstock_batch_records", "Records of an invocation.", labels=["mapping"]
    )
    for each in mappings:
        counters = each["counters"]
        records.add_metric([each["mapping"]], counters["invocations"], counters["invoked"])
    yield records
    running = [([each["mapping"]], _in_flight(each)) for each in mappings]
    yield _labelled("inflight_batches", "Invocations that run.", ["mapping"], running)
    held = [([each["mapping"]], each["buffered_bytes"]) for each in mappings]
    yield _labelled("buffered_bytes", "Bytes read and not let go.", ["mapping"], held)


def _shards(mappings: list[dict[str, Any]], now_ms: int) -> Iterator[Metric]:
    behind, oldest, saved = [], [], []
    for each in mappings:
        for shard in each["shards"]:
            place = [each["mapping"], shard["shard"]]
            if shard["behind_ms"] is not None:
                behind.append((place, shard["behind_ms"] / 1000))
            oldest.append((place, _age(shard["oldest_unsettled"], now_ms)))
            saved.append((place, _age(shard["unsaved_since"], now_ms)))
    labels = ["mapping", "shard"]
    yield _labelled("iterator_age_seconds", "How far reading is behind the tip.", labels, behind)
    yield _labelled(
        "oldest_unsettled_age_seconds", "Age of the oldest unsettled record.", labels, oldest
    )
    yield _labelled(
        "checkpoint_age_seconds", "How long settled records wait to be saved.", labels, saved
    )


def _labelled(
    name: str, meaning: str, labels: list[str], samples: Iterable[tuple[list[str], float]]
) -> Metric:
    family = GaugeMetricFamily(f"penstock_{name}", meaning, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _bound(seconds: float) -> str:
    return "+Inf" if math.isinf(seconds) else f"{seconds:.4g}"


def _in_flight(mapping: dict[str, Any]) -> int:
    if mapping.get("queue") is not None:
        return int(mapping["queue"]["in_flight"])
    lanes = (lane for shard in mapping["shards"] for lane in shard["lanes"])
    return sum(1 for lane in lanes if lane["invocation"] is not None)


def _age(since_ms: int | None, now_ms: int) -> float:
    return 0.0 if since_ms is None else max(now_ms - since_ms, 0) / 1000
