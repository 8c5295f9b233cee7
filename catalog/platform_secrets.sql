-- name: of_job
SELECT job_id, secret, old_id, new_id, in_force_at, good_until, retired_at FROM platform_rotations WHERE job_id = %(job)s;

-- name: begin
INSERT INTO platform_rotations (job_id, secret, old_id, new_id) VALUES (%(job)s, %(secret)s, %(old)s, %(new)s)
ON CONFLICT (job_id) DO NOTHING;

-- name: take_back
DELETE FROM platform_rotations WHERE job_id = %(job)s AND in_force_at IS NULL;

-- name: in_force
UPDATE platform_rotations SET in_force_at = coalesce(in_force_at, now()) WHERE job_id = %(job)s;

-- name: good_until
UPDATE platform_rotations SET good_until = now() + %(seconds)s * interval '1 second' WHERE job_id = %(job)s
RETURNING good_until;

-- name: retired
UPDATE platform_rotations SET retired_at = coalesce(retired_at, now()) WHERE job_id = %(job)s;

-- name: newest
-- The last rotation of each secret.
SELECT DISTINCT ON (secret) job_id, secret, old_id, new_id, in_force_at, good_until, retired_at
  FROM platform_rotations WHERE in_force_at IS NOT NULL ORDER BY secret, in_force_at DESC;

-- name: acknowledge
INSERT INTO secret_copies AS c (secret, value_id, acknowledged_by) VALUES (%(secret)s, %(value)s, %(by)s)
ON CONFLICT (secret) DO UPDATE SET value_id = excluded.value_id, acknowledged_by = excluded.acknowledged_by,
       acknowledged_at = now();

-- name: copies
SELECT secret, value_id, acknowledged_by, acknowledged_at FROM secret_copies;
