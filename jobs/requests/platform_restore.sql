-- name: rest
-- What was under way when the backup was made is not gone on with: nobody knows what has become of it since.
UPDATE jobs SET status = 'cancelled', ready = false, parked = false, worker = NULL, leased_until = NULL,
       finished_at = now(), cancel_reason = 'the platform was restored from a backup'
 WHERE status IN ('queued', 'running', 'retrying', 'cancelling');

-- name: forget_workers
DELETE FROM workers;

-- name: settled
SELECT id, owner_id FROM projects WHERE status = ANY (%(settled)s) ORDER BY id;
