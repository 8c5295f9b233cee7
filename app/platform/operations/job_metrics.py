"""Metrics of the engine, read when somebody asks: workers are other processes, their sums are rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from infra.errors import Unavailable
from jobs.engine import breakers, history, view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from infra.composition import Infra

_HISTOGRAMS = {
    "step": ("launchdb_step_seconds", "seconds that succeeded steps took", ("kind", "step")),
    "job": ("launchdb_job_seconds", "seconds from a job's first claim to its end", ("kind", "outcome")),
    "claim": (
        "launchdb_claim_seconds",
        "seconds from due to claimed, of jobs that ended at their first claim",
        ("kind",),
    ),
}
_COUNTERS = {
    "attempts": ("launchdb_job_attempts", "attempts at jobs that have ended"),
    "takeovers": ("launchdb_job_takeovers", "times that a job which has ended was taken over from a dead worker"),
}


class JobMetrics:
    """Jobs, steps, queues, workers, schedules and breakers."""

    def __init__(self, infra: Infra) -> None:
        self._infra = infra

    def collect(self) -> Iterator[Metric]:
        """Give the metrics; none while Postgres is away."""
        try:
            with self._infra.database.autocommit() as tx:
                counts, queues, workers = view.open_job_counts(tx), view.queues(tx), view.workers(tx)
                sums, schedules, found = history.sums(tx), view.last_successes(tx), breakers.states(tx)
        except Unavailable:
            return
        yield from _sums(sums)
        jobs = GaugeMetricFamily("launchdb_jobs", "open jobs by kind and status", labels=("kind", "status"))
        for row in counts:
            jobs.add_metric((row["kind"], row["status"]), row["count"])
        depth = GaugeMetricFamily("launchdb_queue_depth", "jobs that wait", labels=("queue",))
        oldest = GaugeMetricFamily(
            "launchdb_queue_oldest_seconds", "how long the one that waits longest has been due", labels=("queue",)
        )
        for queue in queues:
            depth.add_metric((queue["name"],), queue["depth"])
            oldest.add_metric((queue["name"],), queue["oldestAgeSeconds"] or 0.0)
        alive = GaugeMetricFamily("launchdb_workers", "workers that have not signed off", value=len(workers))
        last = GaugeMetricFamily(
            "launchdb_schedule_last_success_timestamp_seconds",
            "end of the last job that succeeded",
            labels=("schedule",),
        )
        for row in schedules:
            if row["succeeded_at"] is not None:
                last.add_metric((row["name"],), row["succeeded_at"])
        opened = GaugeMetricFamily(
            "launchdb_breaker_open", "1 while jobs wait for this dependency", labels=("dependency",)
        )
        for state in found:
            opened.add_metric((state.dependency,), float(state.open))
        yield from (jobs, depth, oldest, alive, last, opened)


def _sums(rows: list[dict[str, Any]]) -> Iterator[Metric]:
    """Give what ended jobs tell."""
    ended = CounterMetricFamily("launchdb_jobs_ended", "jobs that have ended", labels=("kind", "outcome"))
    for measure, (name, said, labels) in _HISTOGRAMS.items():
        family = HistogramMetricFamily(name, said, labels=labels)
        for row in (row for row in rows if row["measure"] == measure):
            values = (row["kind"], row["label"])[: len(labels)]
            bounds = [str(float(bound)) for bound in row["bounds"]]
            buckets = [*zip(bounds, map(float, row["buckets"]), strict=True), ("+Inf", float(row["count"]))]
            family.add_metric(values, buckets, row["seconds"])
            if measure == "job":
                ended.add_metric(values, row["count"])
        yield family
    yield ended
    for measure, (name, said) in _COUNTERS.items():
        counter = CounterMetricFamily(name, said, labels=("kind",))
        for row in (row for row in rows if row["measure"] == measure):
            counter.add_metric((row["kind"],), row["count"])
        yield counter
