-- name: now
-- Rounded down: a key must not be issued in the future.
SELECT floor(extract(epoch FROM now()))::bigint;
