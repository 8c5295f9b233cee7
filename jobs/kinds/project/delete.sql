-- name: was_active
SELECT template IS NOT NULL FROM projects WHERE id = %(project)s;

-- name: forget_settings
DELETE FROM project_settings WHERE project_id = %(project)s;

-- name: forget_databases
DELETE FROM kept_databases WHERE project_id = %(project)s;

-- name: forget_ledger
DELETE FROM resources WHERE project_id = %(project)s AND state = 'gone';

-- name: unclosed
-- What a project was whose deletion has closed nothing, or has opened it again. It stays as it is until that is said.
SELECT status_before FROM projects p
 WHERE id = %(project)s AND status = 'deleting' AND NOT EXISTS (
           SELECT FROM job_steps s JOIN jobs j ON j.id = s.job_id
            WHERE j.project_id = p.id AND j.kind = 'project.delete' AND j.status <> 'succeeded'
              AND s.name = 'close_data_api' AND s.status NOT IN ('pending', 'undone'))
   FOR NO KEY UPDATE;

-- name: is_superseded
SELECT cancel_reason LIKE 'superseded by %%' FROM jobs WHERE id = %(job)s;

-- name: imported
SELECT DISTINCT args ->> 'file' AS file FROM jobs
 WHERE project_id = %(project)s AND kind = 'project.import' AND args ->> 'file' IS NOT NULL;

-- name: forget_passphrases
-- An export or import that the deletion superseded has left its own.
DELETE FROM secrets WHERE scope = %(platform)s AND name IN (
    SELECT args ->> 'passphrase' FROM jobs WHERE project_id = %(project)s AND args ? 'passphrase');
