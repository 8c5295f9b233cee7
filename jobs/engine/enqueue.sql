-- name: enqueue
SELECT * FROM enqueue_job(
    %(id)s, %(kind)s, %(version)s::smallint, %(queue)s, %(lane)s, %(project)s, %(owner)s, %(args)s,
    %(priority)s::smallint, %(preempts)s, %(supersedes)s, %(coalesces)s, %(attempts)s::smallint,
    %(run_at)s, %(parent)s, %(max_children)s::integer, %(by)s, %(request)s);

-- name: superseded
-- What had begun and waited: it is taken at once, to be undone.
SELECT queue, id FROM jobs
 WHERE project_id = %(project)s AND status = 'queued' AND ready AND cancel_reason = 'superseded by ' || %(id)s;
