-- name: is_kept
-- Where there was no whole database before, there is nothing to go back to.
SELECT EXISTS (SELECT FROM resources WHERE kind = 'database' AND name = %(name)s AND state = 'present');
