-- name: declare
-- Only what an operator has not changed follows the default.
INSERT INTO schedules AS s (name, kind, args, cron, timezone, catch_up, jitter_seconds, overlap, enabled)
VALUES (%(name)s, %(kind)s, '{}', %(cron)s, %(timezone)s, %(catch_up)s, %(jitter)s, %(overlap)s, %(enabled)s)
ON CONFLICT (name) DO UPDATE
   SET kind = excluded.kind, cron = excluded.cron, timezone = excluded.timezone, catch_up = excluded.catch_up,
       jitter_seconds = excluded.jitter_seconds, overlap = excluded.overlap, enabled = excluded.enabled,
       counts_from = now(), updated_at = now()
 WHERE s.changed_at IS NULL
   AND (s.kind, s.cron, s.timezone, s.catch_up, s.jitter_seconds, s.overlap, s.enabled)
       IS DISTINCT FROM (excluded.kind, excluded.cron, excluded.timezone, excluded.catch_up, excluded.jitter_seconds,
                         excluded.overlap, excluded.enabled);

-- name: list
-- The newest job of each, whether a slot or a person began it.
SELECT s.name, s.kind, s.cron, s.timezone, s.enabled, s.catch_up, s.jitter_seconds, s.overlap, now() AS now,
       t.slot AS last_slot, j.id AS job_id, j.status AS job_status, j.finished_at AS job_finished_at
  FROM schedules s
  LEFT JOIN LATERAL (SELECT slot, job_id FROM schedule_slots WHERE schedule = s.name ORDER BY slot DESC LIMIT 1) t ON true
  LEFT JOIN LATERAL (SELECT id, status, finished_at FROM jobs WHERE id IN (t.job_id, s.asked_job_id)
                      ORDER BY seq DESC LIMIT 1) j ON true
 WHERE %(name)s::text IS NULL OR s.name = %(name)s
 ORDER BY s.name;

-- name: find
SELECT name, kind, args, cron, timezone, enabled FROM schedules WHERE name = %(name)s FOR UPDATE;

-- name: change
-- A changed schedule counts from now: what the new times would have fired before is not caught up.
UPDATE schedules SET cron = %(cron)s, timezone = %(timezone)s, enabled = %(enabled)s, counts_from = now(),
       changed_at = now(), updated_at = now()
 WHERE name = %(name)s;

-- name: asked
UPDATE schedules SET asked_job_id = %(job)s WHERE name = %(name)s;
