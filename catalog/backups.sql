-- name: begin
-- The name tells the second; two backups of one project in the same second get neighbouring ones.
INSERT INTO backups (id, scope, project_name, owner_id, stem, format, key_id, final, job_id)
SELECT %(id)s, %(scope)s, p.name, p.owner_id,
       %(scope)s || '_' || to_char((now() + n * interval '1 second') AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS'),
       %(format)s, %(key)s, %(final)s, %(job)s
  FROM generate_series(0, 59) AS n LEFT JOIN projects p ON p.id = %(scope)s
 WHERE NOT EXISTS (SELECT FROM backups b WHERE b.stem = %(scope)s || '_'
                   || to_char((now() + n * interval '1 second') AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS'))
 ORDER BY n LIMIT 1
ON CONFLICT DO NOTHING;

-- name: of_job
SELECT id, scope, project_name, owner_id, stem, format, key_id, final, job_id, created_at, finished_at, bytes,
       database_bytes, sha256, duration_ms, verified_at, verify_ms, verify_error, expires_at, offsite_at,
       objects, object_bytes, added_bytes
  FROM backups WHERE job_id = %(job)s;

-- name: find
SELECT id, scope, project_name, owner_id, stem, format, key_id, final, job_id, created_at, finished_at, bytes,
       database_bytes, sha256, duration_ms, verified_at, verify_ms, verify_error, expires_at, offsite_at,
       objects, object_bytes, added_bytes
  FROM backups WHERE id = %(id)s AND finished_at IS NOT NULL;

-- name: page
SELECT id, scope, project_name, owner_id, stem, format, key_id, final, job_id, created_at, finished_at, bytes,
       database_bytes, sha256, duration_ms, verified_at, verify_ms, verify_error, expires_at, offsite_at,
       objects, object_bytes, added_bytes
  FROM backups
 WHERE finished_at IS NOT NULL AND scope = %(scope)s AND (%(before)s::text IS NULL OR id < %(before)s)
 ORDER BY id DESC LIMIT %(limit)s;

-- name: newest
SELECT id, scope, project_name, owner_id, stem, format, key_id, final, job_id, created_at, finished_at, bytes,
       database_bytes, sha256, duration_ms, verified_at, verify_ms, verify_error, expires_at, offsite_at,
       objects, object_bytes, added_bytes
  FROM backups WHERE finished_at IS NOT NULL AND scope = %(scope)s ORDER BY id DESC LIMIT 1;

-- name: finish
UPDATE backups SET finished_at = now(), bytes = %(bytes)s, database_bytes = %(database_bytes)s, sha256 = %(sha256)s,
       objects = %(objects)s, object_bytes = %(object_bytes)s, added_bytes = %(added_bytes)s,
       duration_ms = (1000 * extract(epoch FROM clock_timestamp() - created_at))::integer,
       expires_at = CASE WHEN final THEN now() + %(days)s * interval '1 day' END
 WHERE id = %(id)s AND finished_at IS NULL;

-- name: let_go
UPDATE backups SET final = false, expires_at = NULL, job_id = NULL WHERE job_id = %(job)s AND finished_at IS NOT NULL;

-- name: forget
DELETE FROM backups WHERE id = %(id)s;

-- name: verified
UPDATE backups SET verified_at = now(), verify_ms = %(ms)s, verify_error = NULL WHERE id = %(id)s;

-- name: not_verified
UPDATE backups SET verify_error = %(reason)s WHERE id = %(id)s;

-- name: report
-- Of each project what it could be brought back to, and how long that would take.
SELECT p.id AS project_id, p.name, p.status,
       newest.created_at AS backup_at, newest.bytes, newest.objects, newest.object_bytes,
       verified.created_at AS verified_backup_at, verified.verified_at, verified.verify_ms, newest.verify_error,
       (SELECT max(b.created_at) FROM backups b WHERE b.scope = p.id AND b.offsite_at IS NOT NULL) AS offsite_backup_at,
       extract(epoch FROM now() - newest.created_at) AS rpo_seconds,
       (SELECT count(*) FROM backups b WHERE b.scope = p.id AND b.finished_at IS NOT NULL) AS backups
  FROM (SELECT id, name, status FROM projects WHERE status = ANY (%(with_data)s)
        UNION ALL SELECT 'platform', 'platform', 'active') AS p
  LEFT JOIN LATERAL (SELECT * FROM backups b WHERE b.scope = p.id AND b.finished_at IS NOT NULL
                      ORDER BY b.created_at DESC LIMIT 1) AS newest ON true
  LEFT JOIN LATERAL (SELECT * FROM backups b WHERE b.scope = p.id AND b.verified_at IS NOT NULL
                      ORDER BY b.created_at DESC LIMIT 1) AS verified ON true
 ORDER BY p.name, p.id;

-- name: doomed
-- What retention takes away: older than so many days, or of a project that can no longer be brought back. Of each other
-- project the newest verified ones stay whatever the clock says, and nothing goes before a newer one was verified.
WITH ranked AS (
    SELECT b.*, p.deleted_at, row_number() OVER (PARTITION BY scope ORDER BY (verified_at IS NOT NULL) DESC, b.created_at DESC) AS place,
           max(b.created_at) FILTER (WHERE verified_at IS NOT NULL) OVER (PARTITION BY scope) AS newest_verified
      FROM backups b LEFT JOIN projects p ON p.id = b.scope AND p.status = 'deleted' WHERE finished_at IS NOT NULL)
SELECT id, scope, stem FROM ranked
 WHERE final AND expires_at < now()
    OR deleted_at < now() - %(final_days)s * interval '1 day'
    OR NOT final AND created_at < now() - %(days)s * interval '1 day' AND created_at < newest_verified
       AND NOT (verified_at IS NOT NULL AND place <= %(count)s)
 ORDER BY created_at;

-- name: unverified
-- The newest backup of each project, where it was not verified yet.
SELECT DISTINCT ON (scope) scope, id, verified_at FROM backups b
 WHERE finished_at IS NOT NULL AND NOT final
   AND EXISTS (SELECT FROM projects p WHERE p.id = b.scope AND p.status = ANY (%(states)s))
 ORDER BY scope, created_at DESC;

-- name: keep_database
INSERT INTO kept_databases (project_id, backup_id, job_id, kept_until)
VALUES (%(project)s, %(backup)s, %(job)s, now() + %(hours)s * interval '1 hour')
ON CONFLICT (project_id) DO UPDATE
   SET backup_id = excluded.backup_id, job_id = excluded.job_id, kept_until = excluded.kept_until
RETURNING kept_until;

-- name: kept_database
SELECT job_id, backup_id, kept_until FROM kept_databases WHERE project_id = %(project)s;

-- name: forget_database
DELETE FROM kept_databases WHERE project_id = %(project)s;

-- name: outlived
SELECT project_id, job_id FROM kept_databases WHERE kept_until < now();

-- name: is_under_way
SELECT EXISTS (SELECT FROM backups b JOIN jobs j ON j.id = b.job_id
                WHERE b.stem = %(stem)s AND j.status IN ('queued', 'running', 'retrying', 'cancelling'));

-- name: of_scope
SELECT id, scope, project_name, owner_id, stem, format, key_id, final, job_id, created_at, finished_at, bytes,
       database_bytes, sha256, duration_ms, verified_at, verify_ms, verify_error, expires_at, offsite_at,
       objects, object_bytes, added_bytes
  FROM backups WHERE scope = %(scope)s ORDER BY id;

-- name: forget_abandoned
-- What no job is about to finish any more.
DELETE FROM backups b
 WHERE finished_at IS NULL
   AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = b.job_id AND j.status IN ('queued', 'running', 'retrying', 'cancelling'))
   AND created_at < now() - interval '1 hour';

-- name: restorable
-- Deleted projects of an owner that can be brought back, each by its newest backup.
SELECT DISTINCT ON (b.scope) b.id, b.scope, b.project_name, b.owner_id, b.stem, b.format, b.key_id, b.final, b.job_id,
       b.created_at, b.finished_at, b.bytes, b.database_bytes, b.sha256, b.duration_ms, b.verified_at, b.verify_ms,
       b.verify_error, b.expires_at, b.offsite_at, b.objects, b.object_bytes, b.added_bytes
  FROM backups b JOIN projects p ON p.id = b.scope
 WHERE p.owner_id = %(owner)s AND p.status = 'deleted' AND b.finished_at IS NOT NULL
 ORDER BY b.scope, b.created_at DESC;

-- name: adopt
INSERT INTO backups (id, scope, project_name, owner_id, stem, format, key_id, created_at, finished_at, bytes,
                     database_bytes, sha256, duration_ms, objects, object_bytes, added_bytes)
SELECT %(id)s, %(scope)s, p.name, p.owner_id, %(stem)s, %(format)s, %(key)s, %(at)s::timestamptz, %(at)s::timestamptz,
       %(bytes)s, %(database_bytes)s, %(sha256)s, 0, %(objects)s, %(object_bytes)s, %(added_bytes)s
  FROM (SELECT 1) AS once LEFT JOIN projects p ON p.id = %(scope)s
ON CONFLICT DO NOTHING;

-- name: forget_unfinished
DELETE FROM backups WHERE id = %(id)s AND finished_at IS NULL;

-- name: worst
-- Whoever is worst off, of the platform and every project that is there.
WITH wanted AS (SELECT id FROM projects WHERE status = ANY (%(settled)s) UNION ALL SELECT 'platform'),
newest AS (SELECT w.id, max(b.created_at) AS made, max(b.created_at) FILTER (WHERE b.verified_at IS NOT NULL) AS proven,
                  max(b.created_at) FILTER (WHERE b.offsite_at IS NOT NULL) AS copied
             FROM wanted w LEFT JOIN backups b ON b.scope = w.id AND b.finished_at IS NOT NULL GROUP BY w.id)
SELECT count(*) FILTER (WHERE made IS NULL) AS projects_without_backup,
       extract(epoch FROM now() - min(made)) AS backup_seconds,
       extract(epoch FROM now() - min(proven)) AS verified_seconds,
       extract(epoch FROM now() - min(copied)) AS offsite_seconds,
       (SELECT count(*) FROM backups WHERE verify_error IS NOT NULL) AS faulty,
       (SELECT sum(object_bytes) FROM (SELECT DISTINCT ON (scope) object_bytes FROM backups WHERE finished_at IS NOT NULL
                                        ORDER BY scope, created_at DESC) AS last) AS file_bytes
  FROM newest;

-- name: offsite_stems
SELECT stem FROM backups WHERE offsite_at IS NOT NULL;

-- name: set_offsite
UPDATE backups SET offsite_at = now() WHERE stem = ANY (%(stems)s) AND offsite_at IS NULL AND finished_at IS NOT NULL;

-- name: doomed_offsite
-- Of the sets that lie on the other machine those that are old enough: of a project that is there, when a newer one that
-- was proven lies there too, and never the newest ones; of one that is deleted for so long. What the catalogue knows
-- nothing of stays: it may be all that is left of another installation, or of this one.
WITH there AS (
    SELECT stem, left(stem, -16) AS scope, to_timestamp(right(stem, 15) || '+00', 'YYYYMMDD_HH24MISSTZH') AS at
      FROM unnest(%(stems)s::text[]) AS stem),
ranked AS (
    SELECT t.*, row_number() OVER (PARTITION BY t.scope ORDER BY t.at DESC) AS place,
           max(t.at) FILTER (WHERE b.verified_at IS NOT NULL) OVER (PARTITION BY t.scope) AS newest_verified
      FROM there t LEFT JOIN backups b ON b.stem = t.stem AND b.finished_at IS NOT NULL)
SELECT r.stem FROM ranked r LEFT JOIN projects p ON p.id = r.scope
 WHERE r.at < now() - %(days)s * interval '1 day'
   AND (p.status = 'deleted' AND p.deleted_at < now() - %(days)s * interval '1 day'
        OR p.status IS DISTINCT FROM 'deleted' AND (p.id IS NOT NULL OR r.scope = 'platform')
           AND r.at < r.newest_verified AND r.place > %(count)s)
 ORDER BY r.at, r.stem;
