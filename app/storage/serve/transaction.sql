-- name: begin
SELECT set_config('statement_timeout', %(statement_ms)s, true), set_config('lock_timeout', %(lock_ms)s, true),
       set_config('search_path', 'public, extensions', true), set_config('datestyle', 'ISO, MDY', true),
       set_config('timezone', 'UTC', true), set_config('idle_in_transaction_session_timeout', '60s', true),
       set_config('storage.operation', %(operation)s, true), set_config('request.method', %(method)s, true),
       set_config('request.path', %(path)s, true), set_config('request.headers', %(headers)s, true),
       set_config('storage.allow_delete_query', 'true', true);

-- name: become
SELECT set_config('request.jwt.claims', %(claims)s, true), set_config('role', %(role)s, true);

-- name: become_storage
SELECT set_config('role', 'none', true);

-- name: number
SELECT pg_current_xact_id()::text;
