"""Figures of the native service for Prometheus: looked up when they are asked for, beside the node's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fedcredit.observe import metrics

__all__ = ["VerifyFigures"]

_COUNTERS = {
    "calls": "Questions and batches that were taken",
    "batches": "Batches among them",
    "commits": "Times that entries were made durable together",
    "entries": "Entries of the log of questions since the start",
    "connections": "Connections that were taken",
    "failed_handshakes": "Callers that were not let in",
}
_GAUGES = {
    "open_connections": "Connections now",
    "in_flight": "Questions under way now",
    "room": "Questions that may be under way now",
}
_LABELLED = {
    "outcomes": ("outcome", "Single questions, by what came of them"),
    "batched": ("outcome", "Checks of batches, by what came of them"),
    "reasons": ("reason", "Single questions, by why"),
    "turned_away": ("why", "Calls that were no question or came when there were too many"),
}


class VerifyFigures(Collector):
    """Asks `look` for the service's counts whenever Prometheus asks. Use `start` and `stop`."""

    def __init__(self, look: Callable[[], Mapping[str, Any]]) -> None:
        self._look = look

    def start(self) -> None:
        """Be asked from now on."""
        metrics.REGISTRY.register(self)

    def stop(self) -> None:
        """Be asked no more."""
        metrics.REGISTRY.unregister(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: what there is to say is known when it is asked for."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The figures. No requester, subject, item or question is among them."""
        found = self._look()
        for name, what in _COUNTERS.items():
            yield CounterMetricFamily(f"fedcredit_verify_{name}", what, value=found[name])
        for name, what in _GAUGES.items():
            yield GaugeMetricFamily(f"fedcredit_verify_{name}", what, value=found[name])
        yield GaugeMetricFamily("fedcredit_verify_log_entries", "Entries of the log of questions", found["log"]["size"])
        for name, (label, what) in _LABELLED.items():
            family = CounterMetricFamily(f"fedcredit_verify_{name}", what, labels=[label])
            for value, count in found[name]:
                family.add_metric([value], count)
            yield family
        yield _seconds(found)


def _seconds(found: Mapping[str, Any]) -> Metric:
    edges, counts, total = found["latency_edges_us"], found["latency"], 0
    buckets = []
    for edge, count in zip([*(f"{edge / 1e6:g}" for edge in edges), "+Inf"], counts, strict=True):
        total += count
        buckets.append((edge, total))
    family = HistogramMetricFamily("fedcredit_verify_seconds", "From a question to its durable answer")
    family.add_metric([], buckets, found["latency_sum_us"] / 1e6)
    return family
