-- name: workers
-- How many workers of each queue have been heard of lately; the beat is seconds long.
SELECT q.name, count(w.name) FROM queues q
  LEFT JOIN workers w ON q.name = ANY (w.queues) AND w.stopped_at IS NULL AND w.beat_at > now() - interval '1 minute'
 GROUP BY q.name ORDER BY q.name;

-- name: ailing
-- Projects that are not as they should be, and whether a reconcile is what mends them.
SELECT id, owner_id, name, status, status = ANY (%(settled)s) AS settled,
       coalesce(status_reason, nullif(array_to_string(drift, '; '), ''), 'a job failed') AS reason
  FROM projects
 WHERE status <> 'deleted' AND (status = 'failed' OR status_reason IS NOT NULL OR drift <> '{}')
 ORDER BY created_at, id;

-- name: served
SELECT id FROM projects WHERE status = 'active';

-- name: mistaken
SELECT id, name, mistaken_logins AS found FROM projects
 WHERE mistaken_logins <> '{}' AND status <> 'deleted' ORDER BY created_at, id;
