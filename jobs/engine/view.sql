-- name: list
-- Newest first; the id is time-ordered, so it is also the cursor.
SELECT jobs.*, job_waiting_for(jobs) AS waiting_for FROM jobs
 WHERE (%(owner)s::text IS NULL OR owner_id = %(owner)s)
   AND (%(project)s::text IS NULL OR project_id = %(project)s)
   AND (%(status)s::text IS NULL OR status = %(status)s)
   AND (%(kind)s::text IS NULL OR kind = %(kind)s)
   AND (%(parent)s::text IS NULL OR parent_id = %(parent)s)
   AND (%(before)s::text IS NULL OR id < %(before)s)
 ORDER BY id DESC LIMIT %(limit)s;

-- name: show
SELECT jobs.*, job_waiting_for(jobs) AS waiting_for FROM jobs WHERE id = %(id)s;

-- name: steps
SELECT job_id, name, status, attempt, started_at, finished_at, message,
       (extract(epoch FROM coalesce(finished_at, clock_timestamp()) - started_at) * 1000)::bigint AS duration_ms
  FROM job_steps WHERE job_id = ANY (%(ids)s) ORDER BY job_id, position;

-- name: children
SELECT parent_id, count(*) AS total, count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
       count(*) FILTER (WHERE status IN ('failed', 'cancelled')) AS failed,
       count(*) FILTER (WHERE status NOT IN ('succeeded', 'failed', 'cancelled')) AS open
  FROM jobs WHERE parent_id = ANY (%(ids)s) GROUP BY parent_id;

-- name: events
SELECT id, type, data, created_at FROM job_events WHERE job_id = %(id)s AND id > %(after)s ORDER BY id LIMIT %(limit)s;

-- name: open_of_project
SELECT id FROM jobs WHERE project_id = %(project)s AND status IN ('queued', 'retrying', 'running', 'cancelling')
 ORDER BY (status IN ('running', 'cancelling')) DESC, seq LIMIT 1;

-- name: queues
SELECT q.name, q.paused_at, q.paused_by,
       count(j.id) FILTER (WHERE j.status IN ('queued', 'retrying')) AS depth,
       count(j.id) FILTER (WHERE j.status IN ('running', 'cancelling')) AS running,
       extract(epoch FROM now() - min(j.run_at) FILTER (WHERE j.status IN ('queued', 'retrying') AND j.run_at <= now()))
           AS oldest_age_seconds
  FROM queues q
  LEFT JOIN jobs j ON j.queue = q.name AND j.status IN ('queued', 'retrying', 'running', 'cancelling')
 GROUP BY q.name ORDER BY q.name;

-- name: pause_queue
UPDATE queues SET paused_at = coalesce(paused_at, now()), paused_by = %(by)s WHERE name = %(name)s RETURNING name;

-- name: resume_queue
UPDATE queues SET paused_at = NULL, paused_by = NULL WHERE name = %(name)s RETURNING name;

-- name: ring_queue
SELECT id FROM jobs WHERE queue = %(name)s AND ready AND status IN ('queued', 'retrying') AND run_at <= now()
 ORDER BY claim_after LIMIT 16;

-- name: workers
SELECT w.name, w.host, w.pid, w.queues, w.threads, w.started_at, w.beat_at,
       (SELECT j.id FROM jobs j WHERE j.worker = w.name AND j.status IN ('running', 'cancelling')
         ORDER BY j.started_at LIMIT 1) AS current_job
  FROM workers w WHERE w.stopped_at IS NULL ORDER BY w.started_at, w.name;

-- name: counts
-- Open jobs only, by an index that holds no others; what has ended is in job_history.
SELECT kind, status, count(*) AS count FROM jobs
 WHERE status IN ('queued', 'retrying', 'running', 'cancelling') GROUP BY kind, status ORDER BY kind, status;

-- name: schedules
SELECT s.name, (SELECT extract(epoch FROM max(j.finished_at))::float8 FROM (
           SELECT job_id FROM schedule_slots WHERE schedule = s.name ORDER BY slot DESC LIMIT 100) AS slots
             JOIN jobs j ON j.id = slots.job_id WHERE j.status = 'succeeded') AS succeeded_at
  FROM schedules s ORDER BY s.name;
