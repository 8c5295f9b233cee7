-- name: read
SELECT project_id, version, applied_version, settings, updated_at FROM project_settings WHERE project_id = %(project)s;

-- name: write
-- A version that no job has to bring anywhere is in force at once, unless an earlier one is still on its way.
INSERT INTO project_settings AS known (project_id, version, applied_version, settings)
VALUES (%(project)s, 1, CASE WHEN %(outside)s THEN 0 ELSE 1 END, %(settings)s)
ON CONFLICT (project_id) DO UPDATE
   SET version = known.version + 1, settings = excluded.settings, updated_at = now(),
       applied_version = known.applied_version
                         + CASE WHEN known.applied_version = known.version AND NOT %(outside)s THEN 1 ELSE 0 END
RETURNING project_id, version, applied_version, settings, updated_at;

-- name: begin
UPDATE project_settings SET applying_version = version WHERE project_id = %(project)s;

-- name: applied
-- What was read after the beginning is as new or newer.
UPDATE project_settings SET applied_version = greatest(applied_version, applying_version) WHERE project_id = %(project)s
RETURNING applied_version;
