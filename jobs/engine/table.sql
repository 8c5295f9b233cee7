-- name: claim
SELECT (taken.job).*, taken.begun
  FROM take_job(%(worker)s, %(queues)s::text[], %(served)s::text[], %(lease)s * interval '1 second') AS taken;

-- name: finish
-- Fenced like release. The columns of the next job are null when there is none.
SELECT ended.rings, (ended.job).*, ended.begun
  FROM finish_job(%(id)s, %(fence)s, %(result)s, %(step)s, %(worker)s, %(queues)s::text[], %(served)s::text[],
                  %(lease)s * interval '1 second') AS ended;

-- name: release
-- Fenced: nothing comes back when another worker holds the job by now.
SELECT (released).*, next_id, next_queue
  FROM release_job(%(id)s, %(fence)s, %(status)s, %(delay)s * interval '1 second', %(refund)s, %(result)s, %(error)s,
                   %(step)s, %(step_status)s, %(message)s);

-- name: steps
SELECT name, position, status, attempt, started_at, finished_at, message
  FROM job_steps WHERE job_id = %(id)s ORDER BY position;

-- name: rename_steps
-- A version before has called them otherwise: each keeps what became of it. Fenced.
UPDATE job_steps AS step SET name = pinned.name, position = pinned.position
  FROM (SELECT FROM jobs WHERE id = %(id)s AND fence = %(fence)s AND status IN ('running', 'cancelling') FOR UPDATE) AS held,
       unnest(%(formers)s::text[], %(names)s::text[], %(positions)s::int[]) AS pinned (former, name, position)
 WHERE step.job_id = %(id)s AND step.name = pinned.former
   AND (pinned.former = pinned.name
        OR NOT EXISTS (SELECT FROM job_steps other WHERE other.job_id = %(id)s AND other.name = pinned.name));

-- name: add_steps
-- A version before did not have them. Fenced.
INSERT INTO job_steps (job_id, name, position)
SELECT %(id)s, pinned.name, pinned.position
  FROM (SELECT FROM jobs WHERE id = %(id)s AND fence = %(fence)s AND status IN ('running', 'cancelling') FOR UPDATE) AS held,
       unnest(%(names)s::text[], %(positions)s::int[]) AS pinned (name, position)
ON CONFLICT DO NOTHING;

-- name: advance
SELECT status, past_return
  FROM advance_job(%(id)s, %(fence)s, %(step)s, %(status)s, %(message)s, %(done)s, %(total)s, %(next)s, %(no_return)s);

-- name: look
SELECT status FROM jobs WHERE id = %(id)s AND fence = %(fence)s AND status IN ('running', 'cancelling');

-- name: renew
-- All leases of a worker in one statement. Who was given up for dead finds its rows missing and must stop.
WITH beat AS (UPDATE workers SET beat_at = clock_timestamp() WHERE name = %(worker)s AND stopped_at IS NULL)
UPDATE jobs SET leased_until = clock_timestamp() + %(lease)s * interval '1 second'
  FROM unnest(%(ids)s::text[], %(fences)s::bigint[]) AS held (id, fence)
 WHERE jobs.id = held.id AND jobs.fence = held.fence AND jobs.status IN ('running', 'cancelling')
RETURNING jobs.id, jobs.fence, jobs.status;

-- name: turn_back
-- The way back begins: from now on steps are undone. Attempts are counted anew, for the undoing.
UPDATE jobs SET undoing = true, attempt = 1, crashes = 0, error = coalesce(%(error)s, error), updated_at = now()
 WHERE id = %(id)s AND fence = %(fence)s AND status IN ('running', 'cancelling')
RETURNING id;

-- name: progress
UPDATE jobs SET progress_done = %(done)s, progress_total = %(total)s, progress_message = %(message)s, updated_at = now()
 WHERE id = %(id)s AND fence = %(fence)s AND status IN ('running', 'cancelling')
RETURNING id;

-- name: keep_result
UPDATE jobs SET result = %(result)s, updated_at = now()
 WHERE id = %(id)s AND fence = %(fence)s AND status IN ('running', 'cancelling')
RETURNING id;

-- name: tell
INSERT INTO job_events (job_id, type, data)
SELECT id, 'log', jsonb_build_object('message', %(message)s::text, 'step', progress_step)
  FROM jobs WHERE id = %(id)s AND fence = %(fence)s AND status IN ('running', 'cancelling')
RETURNING id;

-- name: find
SELECT * FROM jobs WHERE id = %(id)s;

-- name: lock
SELECT lock_lane(lane) FROM jobs WHERE id = %(id)s;

-- name: find_locked
SELECT * FROM jobs WHERE id = %(id)s FOR UPDATE;

-- name: cancel_waiting
-- Nothing of it was begun, so there is nothing to undo.
UPDATE jobs SET status = 'cancelled', ready = false, cancel_requested_at = now(), cancel_reason = %(reason)s,
       finished_at = now(), updated_at = now()
 WHERE id = %(id)s AND status IN ('queued', 'retrying')
RETURNING *;

-- name: cancel_begun
-- It waits for another attempt with steps begun: a worker takes it at once, to undo them.
-- A parked parent was not ready; in a lane, refresh_lane decides.
UPDATE jobs SET status = 'queued', ready = ready OR lane IS NULL, undoing = true, attempt = 0, crashes = 0,
       cancel_requested_at = now(), cancel_reason = %(reason)s, run_at = now(), claim_after = now(), updated_at = now()
 WHERE id = %(id)s AND status IN ('queued', 'retrying')
RETURNING *;

-- name: cancel_running
UPDATE jobs SET status = 'cancelling', cancel_requested_at = now(), cancel_reason = %(reason)s, updated_at = now()
 WHERE id = %(id)s AND status = 'running' AND NOT past_return
RETURNING *;

-- name: refresh_lane
SELECT refresh_lane(%(lane)s);

-- name: tell_job
SELECT tell_job(jobs) FROM jobs WHERE id = %(id)s;

-- name: revive
UPDATE jobs SET status = 'queued', ready = lane IS NULL, undoing = false, attempt = 0, crashes = 0, error = NULL,
       cancel_requested_at = NULL, cancel_reason = NULL, past_return = false, finished_at = NULL,
       run_at = now(), claim_after = now() - priority * interval '1 minute', updated_at = now()
 WHERE id = %(id)s AND status IN ('failed', 'cancelled')
RETURNING *;

-- name: revive_steps
UPDATE job_steps SET status = 'pending', finished_at = NULL, message = NULL
 WHERE job_id = %(id)s AND status IN ('running', 'failed', 'undone');

-- name: begun
SELECT EXISTS (SELECT FROM job_steps WHERE job_id = %(id)s AND status NOT IN ('pending', 'undone'));

-- name: park
SELECT park_job(%(id)s, %(fence)s);

-- name: release_parent
SELECT * FROM release_parent(%(parent)s);

-- name: unpark
UPDATE jobs SET parked = false WHERE id = %(id)s AND parked;

-- name: open_children
SELECT id FROM jobs WHERE parent_id = %(id)s AND status NOT IN ('succeeded', 'failed', 'cancelled') ORDER BY seq;

-- name: unsuccessful_children
SELECT id FROM jobs WHERE parent_id = %(id)s AND status IN ('failed', 'cancelled') ORDER BY seq;

-- name: children
SELECT id, status, args, error, result FROM jobs WHERE parent_id = %(id)s ORDER BY seq;

-- name: waiting_for
SELECT job_waiting_for(jobs) FROM jobs WHERE id = %(id)s;
