-- name: begin
SAVEPOINT launchdb_hook

-- name: bound
-- What has to be ended notices by itself that nobody waits for it any more.
SELECT set_config('launchdb.statement_timeout', current_setting('statement_timeout'), true),
       set_config('statement_timeout', %(milliseconds)s, true), set_config('client_connection_check_interval', '500', true)

-- name: call
-- No more than may come is sent; its size says when it was more.
WITH answer AS MATERIALIZED (SELECT ({function}(%(payload)s))::text AS value)
SELECT octet_length(value), CASE WHEN octet_length(value) <= {most} THEN value END FROM answer

-- name: unbound
SELECT set_config('statement_timeout', current_setting('launchdb.statement_timeout'), true)

-- name: release
RELEASE SAVEPOINT launchdb_hook

-- name: back
ROLLBACK TO SAVEPOINT launchdb_hook
