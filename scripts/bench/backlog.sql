-- name: clear
TRUNCATE jobs, job_steps, job_events;

-- name: serve
INSERT INTO job_kinds (served, kind, version, steps, claim_begins)
VALUES (%(served)s, %(kind)s, 1, '{tick}', true) ON CONFLICT DO NOTHING;

-- name: multiply
INSERT INTO jobs (id, kind, version, queue, args)
SELECT 'job_' || md5(number::text), kind, version, queue, args
  FROM jobs, generate_series(1, %(more)s) AS number WHERE id = %(id)s;

-- name: settle
-- As autovacuum does it soon after.
VACUUM (ANALYZE) jobs, job_steps, job_events;
