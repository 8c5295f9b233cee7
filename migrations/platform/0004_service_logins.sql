-- A login of its own for each service that works on this database, with what it needs and no more. The logins belong to the
-- whole server, so they may be there; their passwords are files, and set at each start (infra/secrets/service_logins.py).
-- Nothing here names the superuser: whoever needs that one says so in compose.yaml. Why: docs/decisions/0072-….md.

DO $$
DECLARE
    v_name text;
BEGIN
    FOREACH v_name IN ARRAY ARRAY['api', 'worker', 'scheduler', 'auth', 'storage', 'manager', 'backup'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', 'launchdb_' || v_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- of another platform on this server, or made at the same moment
        END;
    END LOOP;
END $$;

-- What changes the queue in one transaction with rows of its own: the API asks for jobs, workers carry them.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO launchdb_api, launchdb_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO launchdb_api, launchdb_worker;
-- Tables to come are theirs too, as they are made; nobody else gets any unless a migration says so.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO launchdb_api, launchdb_worker;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO launchdb_api, launchdb_worker;
-- Which files and functions this database has is the migrations' to say; the chain of the audit is the scheduler's.
REVOKE INSERT, UPDATE, DELETE ON schema_migrations, schema_functions FROM launchdb_api, launchdb_worker;
REVOKE UPDATE, DELETE ON audit, audit_chain FROM launchdb_api, launchdb_worker;

-- Relay, reaper, planner, seal, sums, retention: all of the queue, and of the rest what has grown old.
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs, job_steps, job_events, workers, breakers, schedules, schedule_slots,
    job_history, job_history_mark TO launchdb_scheduler;
GRANT SELECT ON job_kinds, queues, projects, project_settings, resources TO launchdb_scheduler;
GRANT UPDATE (status, status_reason, updated_at) ON projects TO launchdb_scheduler;
GRANT SELECT, INSERT, UPDATE (chain_hash) ON audit TO launchdb_scheduler;
GRANT SELECT, UPDATE ON audit_chain TO launchdb_scheduler;
GRANT DELETE ON resources, idempotency_keys, refresh_tokens, failed_logins, one_time_tokens, mail_outbox, secrets
    TO launchdb_scheduler;
GRANT SELECT (owner_id, route, key, created_at) ON idempotency_keys TO launchdb_scheduler;
GRANT SELECT (expires_at) ON refresh_tokens, one_time_tokens TO launchdb_scheduler;
GRANT SELECT (last_at) ON failed_logins TO launchdb_scheduler;
GRANT SELECT (scope, name, created_at) ON secrets TO launchdb_scheduler;
GRANT SELECT, UPDATE (state, sealed, finished_at) ON mail_outbox TO launchdb_scheduler;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO launchdb_scheduler;

-- Whether there is such a project, and nothing else of it.
GRANT SELECT (id, status) ON projects TO launchdb_auth, launchdb_storage;

-- Which data APIs there are, and asking for one to be served, restarted or let go of.
GRANT SELECT ON projects, project_settings, resources, job_kinds, queues, jobs, job_steps, job_history, breakers, workers
    TO launchdb_manager;
GRANT UPDATE (status, status_reason, updated_at) ON projects TO launchdb_manager;
GRANT INSERT, UPDATE ON jobs TO launchdb_manager;
GRANT INSERT ON job_events, audit TO launchdb_manager;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO launchdb_manager;

-- Who the operator is, as whom the nightly backup is asked for.
GRANT SELECT (id, is_operator, created_at) ON owners TO launchdb_backup;
