-- name: scheduler
-- A scheduler has no row of its own: its pool's sessions tell that it lives.
SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'launchdb-scheduler');

-- name: projects
SELECT status, count(*) AS count FROM projects WHERE status <> 'deleted' GROUP BY status ORDER BY status;

-- name: attention
-- What somebody should look at: dependencies that are away, projects that are not as they should be, queues that stand
-- still, projects whose newest backup is older than a night and two hours (or its newest copy elsewhere, where copies are
-- made), and the newest jobs of this day that were given up.
SELECT * FROM (
    SELECT 1 AS rank, dependency || ' is away' AS what, NULL AS subject, 'jobs wait for it' AS detail, NULL AS see
      FROM breakers WHERE open_until IS NOT NULL
    UNION ALL
    SELECT 2, 'queue is paused', name, 'by ' || paused_by, NULL FROM queues WHERE paused_at IS NOT NULL
    UNION ALL
    SELECT 3, 'project ' || CASE WHEN status = 'failed' THEN 'failed' ELSE 'differs' END, id,
           coalesce(status_reason, array_to_string(drift, '; ')), NULL
      FROM projects
     WHERE status <> 'deleted' AND (status = 'failed' OR status_reason IS NOT NULL OR drift <> '{}')
    UNION ALL
    SELECT 4, what, id, CASE WHEN at IS NULL THEN 'there is none' ELSE 'the newest is of ' || to_char(at, 'YYYY-MM-DD HH24:MI') END,
           NULL
      FROM (SELECT p.id, p.created_at, k.what,
                   (SELECT max(b.created_at) FROM backups b
                     WHERE b.scope = p.id AND b.finished_at IS NOT NULL AND (k.here OR b.offsite_at IS NOT NULL)) AS at
              FROM (SELECT id, created_at FROM projects WHERE status = ANY (%(settled)s)
                    UNION ALL SELECT 'platform', min(created_at) FROM owners) AS p,
                   (VALUES ('no fresh backup', true), ('no fresh copy elsewhere', false)) AS k (what, here)
             WHERE k.here OR EXISTS (SELECT FROM schedules WHERE name = 'offsite' AND enabled)) AS kept
     WHERE coalesce(at, created_at) < now() - interval '26 hours'
    UNION ALL
    (SELECT 5, kind || ' failed', project_id, error ->> 'detail', id
       FROM jobs WHERE status = 'failed' AND finished_at > now() - interval '1 day'
      ORDER BY finished_at DESC LIMIT 5)) AS found (rank, what, subject, detail, see)
 ORDER BY rank, subject, see;

-- name: postgres_since
SELECT pg_postmaster_start_time();

-- name: last
-- The newest success of each schedule's kind, whoever asked for it; as long as its row is kept.
SELECT s.name, (SELECT max(j.finished_at) FROM jobs j WHERE j.kind = s.kind AND j.status = 'succeeded'
                   AND j.finished_at IS NOT NULL) AS succeeded_at
  FROM schedules s WHERE s.enabled ORDER BY s.name;
