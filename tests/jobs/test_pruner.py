"""Retention: what is old enough goes, in bounded batches; what is open, recent or still answered for stays."""

from __future__ import annotations

import pytest

from catalog import job_secrets, one_time, secrets
from infra.secrets import secretfiles
from jobs.engine.pruner import Pruner
from tests.jobs.trial_kinds import Build, End, Nothing, Turn


def age(infra, table: str, column: str, days: int, where: str = "true") -> None:
    with infra.database.autocommit() as tx:
        tx.execute(f"UPDATE {table} SET {column} = now() - interval '{days} days' WHERE {where}")


def count(infra, table: str) -> int:
    with infra.database.autocommit() as tx:
        return tx.value(f"SELECT count(*) FROM {table}")


def test_finished_jobs_go_after_their_days_and_open_ones_never(engine, infra):
    old = engine.enqueue(Nothing("old"))
    engine.runner.drain()
    recent = engine.enqueue(Nothing("recent"))
    engine.runner.drain()
    waiting = engine.enqueue(Nothing("waiting"))
    age(infra, "jobs", "finished_at", 31, f"id = '{old.id}'")
    age(infra, "jobs", "created_at", 400, f"id = '{waiting.id}'")
    assert Pruner(infra.database, infra.settings).run_once() >= 1
    assert engine.job(old.id) is None
    assert engine.job(recent.id) is not None
    assert engine.job(waiting.id).status == "queued"


def test_a_job_whose_things_still_stand_is_kept(engine, infra):
    job = engine.enqueue(Build("a"))
    engine.runner.drain()
    age(infra, "jobs", "finished_at", 400)
    Pruner(infra.database, infra.settings).run_once()
    assert engine.job(job.id) is not None, "A job whose things still stand is kept however old it is"


def test_events_go_before_their_job(engine, infra):
    job = engine.enqueue(Nothing("a"))
    engine.runner.drain()
    age(infra, "job_events", "created_at", 8)
    Pruner(infra.database, infra.settings).run_once()
    assert count(infra, "job_events") == 0
    assert engine.job(job.id) is not None


def test_a_batch_is_bounded_and_repeated_until_nothing_is_left(engine, infra):
    engine.enqueue(Nothing("a"))
    with infra.database.autocommit() as tx:
        tx.execute(
            "INSERT INTO job_events (job_id, type, data, created_at)"
            " SELECT jobs.id, 'log', '{}', now() - interval '9 days' FROM jobs, generate_series(1, 2500)"
        )
    pruner = Pruner(infra.database, infra.settings)
    counts = [pruner.run_once() for _ in range(4)]
    assert counts == [1000, 1000, 500, 0]


def test_idempotency_keys_are_kept_a_day(infra):
    with infra.database.autocommit() as tx:
        for key, hours in (("old", 25), ("young", 23)):
            tx.execute(
                "INSERT INTO idempotency_keys (owner_id, route, key, request_hash, created_at)"
                f" VALUES ('o', 'r', %s, '', now() - interval '{hours} hours')",
                (key,),
            )
    Pruner(infra.database, infra.settings).run_once()
    assert count(infra, "idempotency_keys WHERE key = 'young'") == count(infra, "idempotency_keys") == 1


def test_links_go_a_day_after_their_end(infra):
    with infra.database.transaction() as tx:
        old, young = (one_time.create_invitation(tx, email, by="operator") for email in ("old@x.org", "young@x.org"))
        assert old.value != young.value
        tx.execute("UPDATE one_time_tokens SET expires_at = now() - interval '25 hours' WHERE email = 'old@x.org'")
    Pruner(infra.database, infra.settings).run_once()
    assert count(infra, "one_time_tokens WHERE email = 'young@x.org'") == count(infra, "one_time_tokens") == 1


def test_what_a_job_was_handed_goes_once_no_open_job_names_it(engine, infra):
    project = "proj_0000000000000001"
    secretfiles.ensure(infra.settings.secrets_folder, infra.settings.home / ".env")
    with infra.database.transaction() as tx:
        infra.vault.check_master_key(tx)
        superseded, waits, young = (job_secrets.store(tx, infra.vault, "a passphrase") for _ in range(3))
        secrets.put(tx, infra.vault, secrets.PLATFORM, "another", "of the platform's own")
    stopped = engine.enqueue(Turn(superseded, project))
    engine.enqueue(End("deletion", project))
    engine.enqueue(Nothing(waits))
    assert engine.job(stopped.id).status == "cancelled"
    age(infra, "secrets", "created_at", 1, f"name <> '{young}'")
    Pruner(infra.database, infra.settings).run_once()
    with infra.database.transaction() as tx:
        assert [job_secrets.read(tx, infra.vault, name) for name in (waits, young)] == ["a passphrase"] * 2
        assert secrets.read(tx, infra.vault, secrets.PLATFORM, "another")
        with pytest.raises(secrets.SecretMissing):
            job_secrets.read(tx, infra.vault, superseded)
