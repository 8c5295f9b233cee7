-- name: status
SELECT status FROM projects WHERE id = %(project)s FOR UPDATE;

-- name: in_the_way
-- The last job that was accepted in this lane decides. A reconcile is in nobody's way: it goes by the state it finds.
SELECT * FROM jobs
 WHERE lane = %(lane)s AND status IN ('queued', 'retrying', 'running', 'cancelling') AND kind <> 'project.reconcile'
 ORDER BY seq DESC LIMIT 1;
