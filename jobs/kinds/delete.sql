-- name: was_active
SELECT template IS NOT NULL FROM projects WHERE id = %(project)s;

-- name: forget_settings
DELETE FROM project_settings WHERE project_id = %(project)s;

-- name: mark_deleted
-- The row stays, for the history; the name has been free since the deletion was accepted.
UPDATE projects SET status = 'deleted', status_reason = NULL, deleted_at = coalesce(deleted_at, now()),
       updated_at = now()
 WHERE id = %(project)s AND status <> 'deleted';

-- name: forget_databases
DELETE FROM kept_databases WHERE project_id = %(project)s;

-- name: forget_ledger
DELETE FROM resources WHERE project_id = %(project)s AND state = 'gone';

-- name: mark_unfinished
-- A deletion that has closed nothing, or opened it again, leaves what the project was; any other one does not finish.
-- Its name may have been taken meanwhile: then it goes by its id.
UPDATE projects p SET updated_at = now(), status_reason = %(reason)s,
       status = CASE WHEN p.status_before IS NOT NULL AND NOT EXISTS (
                    SELECT FROM job_steps s JOIN jobs j ON j.id = s.job_id
                     WHERE j.project_id = p.id AND j.kind = 'project.delete' AND j.status <> 'succeeded'
                       AND s.name = 'close_data_api' AND s.status NOT IN ('pending', 'undone'))
                THEN p.status_before ELSE 'failed' END,
       name = CASE WHEN EXISTS (
                    SELECT FROM projects o WHERE o.owner_id = p.owner_id AND o.name = p.name AND o.id <> p.id
                       AND o.status NOT IN ('deleting', 'deleted'))
                THEN p.id ELSE p.name END
 WHERE p.id = %(project)s AND p.status = 'deleting';

-- name: mark_deleting
-- What it was before an older deletion does not count: it may be nothing of that by now.
UPDATE projects SET status = 'deleting', status_reason = NULL, updated_at = now(),
       status_before = CASE WHEN status IN ('active', 'paused', 'sleeping') THEN status
                            WHEN status = 'deleting' THEN status_before END
 WHERE id = %(project)s AND status <> 'deleted';

-- name: forget_before
UPDATE projects SET status_before = NULL WHERE id = %(project)s AND status = 'deleting';

-- name: status_before
SELECT status_before FROM projects WHERE id = %(project)s;

-- name: is_superseded
SELECT cancel_reason LIKE 'superseded by %%' FROM jobs WHERE id = %(job)s;

-- name: serve_on
UPDATE projects p SET status = %(status)s, status_reason = 'its deletion did not finish', updated_at = now(),
       name = CASE WHEN EXISTS (
                    SELECT FROM projects o WHERE o.owner_id = p.owner_id AND o.name = p.name AND o.id <> p.id
                       AND o.status NOT IN ('deleting', 'deleted'))
                THEN p.id ELSE p.name END
 WHERE p.id = %(project)s AND p.status = 'deleting';

-- name: imported
SELECT DISTINCT args ->> 'file' AS file FROM jobs
 WHERE project_id = %(project)s AND kind = 'project.import' AND args ->> 'file' IS NOT NULL;

-- name: forget_passphrases
-- An export or import that the deletion superseded has left its own.
DELETE FROM secrets WHERE scope = %(platform)s AND name IN (
    SELECT args ->> 'passphrase' FROM jobs WHERE project_id = %(project)s AND args ? 'passphrase');
