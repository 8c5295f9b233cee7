-- name: operator
-- The first one is whom the installation was set up for.
SELECT id FROM owners WHERE is_operator ORDER BY created_at, id LIMIT 1;
