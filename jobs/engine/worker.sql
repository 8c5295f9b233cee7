-- name: register
INSERT INTO workers (name, lock_key, host, pid, queues, serves, threads)
VALUES (%(name)s, nextval('worker_lock_key'), %(host)s, %(pid)s, %(queues)s, %(serves)s, %(threads)s)
ON CONFLICT (name) DO UPDATE SET stopped_at = NULL, beat_at = now()
RETURNING lock_key;

-- name: serve
INSERT INTO job_kinds (served, kind, version, max_running, conflicts, steps, claim_begins, bursts)
VALUES (%(served)s, %(kind)s, %(version)s, %(max_running)s, %(conflicts)s, %(steps)s, %(claim_begins)s, %(bursts)s)
ON CONFLICT (served) DO UPDATE SET max_running = excluded.max_running, conflicts = excluded.conflicts,
    steps = excluded.steps, claim_begins = excluded.claim_begins, bursts = excluded.bursts
 WHERE (job_kinds.max_running, job_kinds.conflicts, job_kinds.steps, job_kinds.claim_begins, job_kinds.bursts)
       IS DISTINCT FROM (excluded.max_running, excluded.conflicts, excluded.steps, excluded.claim_begins, excluded.bursts);

-- name: lock
SELECT pg_try_advisory_lock(19524, %(lock_key)s);

-- name: holds_lock
-- The self-test: behind a transaction pooler a second statement may run in another session, without the lock.
SELECT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 19524 AND objid = %(lock_key)s AND granted
       AND pid = pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database()));

-- name: stop
UPDATE workers SET stopped_at = now() WHERE name = %(name)s;

-- name: is_stopped
SELECT stopped_at IS NOT NULL FROM workers WHERE name = %(name)s;

-- name: claimable
SELECT id FROM jobs j
 WHERE j.queue = %(queue)s AND j.ready AND j.status IN ('queued', 'retrying') AND j.run_at <= now()
   AND job_waiting_for(j, %(serves)s) IS NULL
 ORDER BY j.claim_after, j.seq LIMIT %(most)s;
