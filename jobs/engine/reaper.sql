-- name: suspects
-- Workers whose liveness lock is free while their row says they run. The kernel freed it, or Postgres did.
SELECT name FROM workers w
 WHERE stopped_at IS NULL
   AND NOT EXISTS (
       SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = 19524 AND l.objid = w.lock_key AND l.granted
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()));

-- name: bury
UPDATE workers SET stopped_at = now() WHERE name = %(name)s AND stopped_at IS NULL;

-- name: held_by
SELECT id, fence FROM jobs WHERE worker = %(name)s AND status IN ('running', 'cancelling');

-- name: lapsed
SELECT id, fence FROM jobs WHERE status IN ('running', 'cancelling') AND leased_until < clock_timestamp();

-- name: end_sessions
-- Sessions of this attempt and older ones are ended, and gone, before anybody may take the job.
SELECT end_attempt_sessions(%(id)s, %(fence)s);

-- name: count_crash
UPDATE jobs SET crashes = crashes + 1 WHERE id = %(id)s AND fence = %(fence)s AND status IN ('running', 'cancelling')
RETURNING *;

-- name: pass_on
SELECT (released).*, next_id, next_queue
  FROM release_job(%(id)s, %(fence)s, 'queued', interval '0', true, NULL, NULL, NULL, NULL, NULL);
