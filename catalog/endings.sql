-- name: count
-- The letter is claimed in the same statement: of two watchdogs that see the same hour pass, one is told so.
INSERT INTO watchdog_endings AS w (project_id, cause, ended, reason, written_at)
VALUES (%(project)s, %(cause)s, %(ended)s, %(reason)s, now())
ON CONFLICT (project_id, cause) DO UPDATE
   SET ended = w.ended + excluded.ended, last_at = now(), reason = excluded.reason,
       written_at = CASE WHEN w.written_at > now() - interval '1 hour' THEN w.written_at ELSE now() END
RETURNING w.written_at = now();

-- name: recent
SELECT w.project_id, coalesce(p.name, w.project_id) AS name, w.cause, w.ended, w.first_at, w.last_at, w.reason
  FROM watchdog_endings w LEFT JOIN projects p ON p.id = w.project_id
 WHERE w.last_at > now() - %(minutes)s * interval '1 minute'
 ORDER BY w.last_at DESC, w.project_id, w.cause;

-- name: totals
SELECT cause, sum(ended)::bigint AS ended FROM watchdog_endings GROUP BY cause;

-- name: claim_letter
UPDATE watchdog_endings w SET letter = %(job)s
  FROM projects p JOIN owners o ON o.id = p.owner_id
 WHERE w.project_id = %(project)s AND w.cause = %(cause)s AND w.letter IS DISTINCT FROM %(job)s
   AND p.id = w.project_id AND p.status <> 'deleted'
RETURNING o.email, o.name, p.name AS project, w.reason, w.ended;

-- name: owners
SELECT id, owner_id FROM projects WHERE status <> 'deleted';

-- name: running_jobs
SELECT id, project_id FROM jobs
 WHERE id = ANY (%(jobs)s) AND status IN ('running', 'cancelling') AND project_id IS NOT NULL;

-- name: keep_out
-- Who was let in again a quarter of an hour ago begins anew.
INSERT INTO kept_out_logins AS k (login, project_id, ends_at)
VALUES (%(login)s, %(project)s, now() + %(seconds)s * interval '1 second')
ON CONFLICT (login) DO UPDATE
   SET times = CASE WHEN k.ends_at < now() - interval '15 minutes' THEN 1 ELSE k.times + 1 END,
       ends_at = now() + least(%(most)s, %(seconds)s * CASE WHEN k.ends_at < now() - interval '15 minutes' THEN 1
                                                            ELSE 2 ^ least(k.times, 20) END) * interval '1 second'
RETURNING extract(epoch FROM k.ends_at - now())::float;

-- name: kept_out
SELECT login FROM kept_out_logins WHERE project_id = %(project)s AND ends_at > now();
