-- name: in_the_way
-- The last job that was accepted in this lane decides. Those that go by the state they find are in nobody's way.
SELECT * FROM jobs
 WHERE lane = %(lane)s AND status IN ('queued', 'retrying', 'running', 'cancelling') AND kind NOT IN ('project.reconcile', 'project.configure')
 ORDER BY seq DESC LIMIT 1;

-- name: waking
SELECT * FROM jobs
 WHERE lane = %(project)s || '/control' AND kind = 'project.wake' AND status IN ('queued', 'retrying', 'running')
 ORDER BY seq DESC LIMIT 1;

-- name: woke_in_vain
SELECT EXISTS (SELECT FROM jobs WHERE lane = %(project)s || '/control' AND kind = 'project.wake' AND status = 'failed'
                  AND finished_at > now() - %(seconds)s * interval '1 second');

-- name: is_exported
SELECT EXISTS (SELECT FROM jobs WHERE id = %(job)s AND kind = 'project.export' AND project_id = %(project)s
                  AND status = 'succeeded');

-- name: seen_to
-- Whether a job is at work on the project, or a look at it has just ended.
SELECT EXISTS (SELECT FROM jobs WHERE lane = %(project)s || '/control' AND status IN ('queued', 'retrying', 'running', 'cancelling'))
    OR EXISTS (SELECT FROM jobs WHERE project_id = %(project)s AND kind = 'project.reconcile'
                  AND finished_at > now() - %(seconds)s * interval '1 second');
