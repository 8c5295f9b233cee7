-- name: attention
-- What somebody should look at: dependencies that are away, projects that are not as they should be, queues that stand
-- still, projects whose newest backup is older than a night and two hours (or its newest copy elsewhere, where copies are
-- made), and the newest jobs of this day that were given up. Nothing is left of a failure that was put right: the same was
-- done since, or what brings the project into the state that is wanted, or the project is gone.
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
       FROM jobs AS j
      WHERE status = 'failed' AND finished_at > now() - interval '1 day'
        AND NOT EXISTS (SELECT FROM projects AS p WHERE p.id = j.project_id AND p.status = 'deleted')
        AND NOT EXISTS (SELECT FROM jobs AS later
                         WHERE later.project_id IS NOT DISTINCT FROM j.project_id AND later.status = 'succeeded'
                           AND later.finished_at > j.finished_at
                           AND (later.kind = j.kind
                                OR later.kind = ANY (%(settling)s) AND j.kind = ANY (%(settled_by_them)s)))
      ORDER BY finished_at DESC LIMIT 5)) AS found (rank, what, subject, detail, see)
 ORDER BY rank, subject, see;
