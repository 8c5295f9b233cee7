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
-- A deletion that was called off before its first step leaves a project that still serves, or one that was paused:
-- whose data API somebody else has closed, or that sleeps. Its name may have been taken meanwhile: then it goes by its id.
UPDATE projects p SET updated_at = now(), status_reason = %(reason)s,
       status = CASE WHEN p.template IS NOT NULL AND EXISTS (
                    SELECT FROM resources r
                     WHERE r.project_id = p.id AND r.kind = 'instance' AND r.state = 'present')
                THEN 'active'
                WHEN p.template IS NOT NULL AND EXISTS (
                    SELECT FROM resources r JOIN jobs j ON j.id = r.job_id
                     WHERE r.project_id = p.id AND r.kind = 'instance' AND j.kind = 'project.sleep')
                THEN 'sleeping'
                WHEN p.template IS NOT NULL AND EXISTS (
                    SELECT FROM resources r
                     WHERE r.project_id = p.id AND r.kind = 'database' AND r.state = 'present')
                 AND NOT EXISTS (
                    SELECT FROM resources r JOIN jobs j ON j.id = r.job_id
                     WHERE r.project_id = p.id AND r.kind = 'instance' AND j.kind = 'project.delete')
                THEN 'paused' ELSE 'failed' END,
       name = CASE WHEN EXISTS (
                    SELECT FROM projects o WHERE o.owner_id = p.owner_id AND o.name = p.name AND o.id <> p.id
                       AND o.status NOT IN ('deleting', 'deleted'))
                THEN p.id ELSE p.name END
 WHERE p.id = %(project)s AND p.status = 'deleting';

-- name: mark_deleting
UPDATE projects SET status = 'deleting', status_reason = NULL, updated_at = now()
 WHERE id = %(project)s AND status <> 'deleted';

-- name: status_before
-- What the project was before its deletion was asked for, by what the ledger says of it; nothing when it never served.
SELECT CASE WHEN p.template IS NULL THEN NULL
            WHEN NOT EXISTS (SELECT FROM resources r WHERE r.project_id = p.id AND r.kind = 'database'
                                AND r.state = 'present') THEN NULL
            WHEN EXISTS (SELECT FROM resources r WHERE r.project_id = p.id AND r.kind = 'instance'
                            AND r.state = 'present') THEN 'active'
            WHEN EXISTS (SELECT FROM resources r JOIN jobs j ON j.id = r.job_id
                          WHERE r.project_id = p.id AND r.kind = 'instance' AND j.kind = 'project.sleep') THEN 'sleeping'
            ELSE 'paused' END
  FROM projects p WHERE p.id = %(project)s;

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
