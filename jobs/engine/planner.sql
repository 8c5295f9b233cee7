-- name: enabled
-- The last slot that was planned, or the moment from which the schedule counts.
SELECT s.name, s.kind, s.args, s.cron, s.timezone, s.catch_up, s.jitter_seconds, s.overlap, now() AS now,
       greatest(s.counts_from, (SELECT max(slot) FROM schedule_slots t WHERE t.schedule = s.name)) AS last_slot
  FROM schedules s WHERE s.enabled ORDER BY s.name;

-- name: take_slot
-- Whoever writes the row fires the slot; everybody else finds it taken.
INSERT INTO schedule_slots (schedule, slot) VALUES (%(schedule)s, %(slot)s) ON CONFLICT DO NOTHING;

-- name: note_job
UPDATE schedule_slots SET job_id = %(job)s WHERE schedule = %(schedule)s AND slot = %(slot)s;

-- name: open_jobs
-- What earlier slots of this schedule have started and not yet finished; by an index that holds no others.
SELECT id, status FROM jobs
 WHERE created_by = %(by)s AND created_by LIKE 'schedule:%%'
   AND status IN ('queued', 'retrying', 'running', 'cancelling');
