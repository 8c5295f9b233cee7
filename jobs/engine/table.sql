-- name: enqueue
SELECT * FROM enqueue_job(
    %(id)s, %(kind)s, %(version)s::smallint, %(queue)s, %(lane)s, %(project)s, %(owner)s, %(args)s,
    %(priority)s::smallint, %(preempts)s, %(supersedes)s, %(coalesces)s, %(attempts)s::smallint,
    %(run_at)s, %(parent)s, %(max_children)s::integer, %(by)s, %(request)s);

-- name: superseded
-- What had begun and waited: it is taken at once, to be undone.
SELECT queue, id FROM jobs
 WHERE project_id = %(project)s AND status = 'queued' AND ready AND cancel_reason = 'superseded by ' || %(id)s;

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

-- name: advance
SELECT status, past_return
  FROM advance_job(%(id)s, %(fence)s, %(step)s, %(status)s, %(message)s, %(done)s, %(total)s, %(next)s, %(no_return)s);

-- name: pin
-- A step that is called otherwise by now is gone on with as it stands; one that nobody pinned is still to be done.
WITH held AS (
    SELECT id FROM jobs WHERE id = %(id)s AND fence = %(fence)s AND status IN ('running', 'cancelling') FOR UPDATE
), known AS (
    SELECT held.id, pinned.step, pinned.position,
           (SELECT s.name FROM job_steps s WHERE s.job_id = held.id AND s.name IN (pinned.step, pinned.before)
             ORDER BY s.name = pinned.step DESC LIMIT 1) AS found
      FROM held, unnest(%(steps)s::text[], %(before)s::text[]) WITH ORDINALITY AS pinned (step, before, position)
), renamed AS (
    UPDATE job_steps s SET name = k.step, position = k.position FROM known k WHERE s.job_id = k.id AND s.name = k.found
), added AS (
    INSERT INTO job_steps (job_id, name, position) SELECT id, step, position FROM known WHERE found IS NULL
)
SELECT id FROM held;

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
