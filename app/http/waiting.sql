-- name: fingerprint
SELECT status, updated_at, (SELECT max(e.id) FROM job_events e WHERE e.job_id = j.id) AS event
  FROM jobs j WHERE id = %(id)s;
