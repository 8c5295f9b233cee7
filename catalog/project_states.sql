-- name: move
-- What it was before an older deletion does not count: it may be nothing of that by now. A name that was taken while
-- the project was on its way out stays taken: it goes by its id then.
UPDATE projects p
   SET status = %(to)s,
       status_reason = CASE WHEN %(keeps_reason)s THEN status_reason ELSE %(reason)s END,
       status_before = CASE WHEN %(to)s <> 'deleting' THEN status_before
                            WHEN status = ANY (%(settled)s) THEN status
                            WHEN status = 'deleting' THEN status_before END,
       deleted_at = CASE %(to)s WHEN 'deleted' THEN coalesce(deleted_at, now()) WHEN 'active' THEN NULL ELSE deleted_at END,
       name = CASE WHEN status = 'deleting' AND %(to)s <> ALL (%(leaving)s) AND EXISTS (
                       SELECT FROM projects o WHERE o.owner_id = p.owner_id AND o.name = p.name AND o.id <> p.id
                          AND o.status <> ALL (%(leaving)s))
                   THEN id ELSE name END,
       template = coalesce(%(template)s, template),
       updated_at = now()
 WHERE id = %(project)s AND status = ANY (%(sources)s);

-- name: seen
SELECT status FROM projects WHERE id = %(project)s;

-- name: locked
SELECT status FROM projects WHERE id = %(project)s FOR UPDATE;

-- name: moving
SELECT id, status FROM projects WHERE status = ANY (%(moving)s) ORDER BY id;

-- name: before_deletion
SELECT status_before FROM projects WHERE id = %(project)s;

-- name: forget_before_deletion
UPDATE projects SET status_before = NULL WHERE id = %(project)s AND status = 'deleting';

-- name: complain
UPDATE projects SET status_reason = %(reason)s, updated_at = now()
 WHERE id = %(project)s AND status = ANY (%(settled)s);

-- name: settle_complaint
-- What was named stays named; any other complaint is taken back.
UPDATE projects SET updated_at = now(),
       status_reason = CASE WHEN drift <> '{}' THEN 'not as it should be: ' || array_to_string(drift, '; ') END
 WHERE id = %(project)s AND status = ANY (%(settled)s)
   AND (drift <> '{}' AND status_reason IS NULL OR status_reason LIKE 'not as it should be: %%');

-- name: touch
UPDATE projects SET template = coalesce(%(template)s, template), updated_at = now() WHERE id = %(project)s;

-- name: set_template
UPDATE projects SET template = %(template)s, updated_at = now()
 WHERE id = %(project)s AND template IS DISTINCT FROM %(template)s;
