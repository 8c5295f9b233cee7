-- name: claimable
-- What a worker somewhere could take now; the same predicate as the claim's.
SELECT j.id FROM jobs j
 WHERE j.queue = %(queue)s AND j.ready AND j.status IN ('queued', 'retrying') AND j.run_at <= now()
   AND job_waiting_for(j) IS NULL
 ORDER BY j.claim_after, j.seq LIMIT %(most)s;

-- name: queues
SELECT name FROM queues WHERE paused_at IS NULL ORDER BY name;
