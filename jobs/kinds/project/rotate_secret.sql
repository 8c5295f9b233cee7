-- name: now
-- Rounded down: a key that was issued in the future is refused.
SELECT floor(extract(epoch FROM now()))::bigint;

-- name: owner
SELECT owner_id FROM projects WHERE id = %(project)s;
