"""What Prometheus reads: valid exposition, with what the engine tells of itself."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from app.platform.operations.internal import create_internal_app
from jobs.engine import view
from jobs.engine.history import JobStatistics
from tests.fixtures.servers import wait_until
from tests.jobs.trial_kinds import Nothing


def test_the_exposition_is_valid_and_holds_steps_queues_claims_and_take_overs(app, engine, infra):
    ended = engine.enqueue(Nothing("ended"))
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET crashes = 1")  # as the reaper counts a worker that died with it
    engine.runner.drain()
    engine.enqueue(Nothing("waits"))
    with infra.database.autocommit() as tx:
        tx.execute("UPDATE jobs SET run_at = now() - interval '7 seconds' WHERE id <> %s", (ended.id,))
    # The sums take what ended a second ago.
    wait_until(JobStatistics(infra.database).run_once)
    answer = create_internal_app(app).test_client().get("/metrics")
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}

    def value(sample, **labels):
        family = families[sample.removesuffix("_total").removesuffix("_count").removesuffix("_bucket")]
        [found] = [s.value for s in family.samples if s.name == sample and labels.items() <= s.labels.items()]
        return found

    kind = ended.kind
    for histogram in ("launchdb_step_seconds", "launchdb_job_seconds", "launchdb_claim_seconds"):
        assert families[histogram].type == "histogram"
        assert value(f"{histogram}_count", kind=kind) == 1
        assert value(f"{histogram}_bucket", kind=kind, le="+Inf") == 1
    assert value("launchdb_jobs_ended_total", kind=kind, outcome="succeeded") == 1
    assert value("launchdb_job_attempts_total", kind=kind) == 1
    assert value("launchdb_job_takeovers_total", kind=kind) == 1
    assert value("launchdb_jobs", kind=kind, status="queued") == 1
    assert value("launchdb_queue_depth", queue="control") == 1
    assert 7 <= value("launchdb_queue_oldest_seconds", queue="control") < 60
    assert value("launchdb_workers") == 1
    assert value("launchdb_queue_depth", queue="bulk") == 0


def test_a_scrape_reads_no_ended_jobs_however_many_there_are(app, engine, infra):
    engine.enqueue(Nothing("waits"))
    with infra.database.autocommit() as tx:
        tx.execute(
            "INSERT INTO jobs (id, kind, queue, status, args, created_by, finished_at, ready)"
            " SELECT 'job_' || lpad(n::text, 32, '0'), 'trial.nothing', 'control', 'succeeded', '{}', 'system',"
            " now() - interval '1 day', false FROM generate_series(1, 20000) n"
        )
        tx.execute("ANALYZE jobs")
        [plan] = tx.rows("EXPLAIN (ANALYZE, FORMAT json) " + view.SQL.counts.as_string())
        queues = tx.rows("EXPLAIN (ANALYZE, FORMAT json) " + view.SQL.queues.as_string())
    for told in (str(plan), str(queues)):
        assert "'Relation Name': 'jobs'" in told
        assert "Rows Removed by Filter" not in told
        assert (
            "'Node Type': 'Seq Scan', 'Parallel Aware': False, 'Async Capable': False, 'Relation Name': 'jobs'"
            not in told
        )
    text = create_internal_app(app).test_client().get("/metrics").text
    assert 'launchdb_jobs{kind="trial.nothing",status="queued"} 1.0' in text
