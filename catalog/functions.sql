-- number: 2
-- Functions of the platform's database that are not the engine's: the audit's, and what the pooler, Auth and services that are
-- no superuser ask. The rules are those of the engine's: each once, as it is in force, and whoever changes one raises the number above.

-- Functions of triggers come before the tables that name them. They look at no table until they run.

CREATE OR REPLACE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.chain_hash IS NULL AND (to_jsonb(NEW) - 'chain_hash') = (to_jsonb(OLD) - 'chain_hash') THEN
            RETURN NEW;  -- the sealer's one write
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;

-- after the tables

-- The audit's chain. A link is eight bytes, the id of the row before it, and the SHA-256 of that row's link with this
-- row's content: so a row that is missing can be named, not only noticed.

-- What of a row is sealed: everything, in a form that depends on no setting of the session.
CREATE OR REPLACE FUNCTION audit_link(p_row audit, p_last bigint, p_link bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT int8send(p_last) || sha256(p_link || convert_to(jsonb_build_array(
        p_last, (p_row).id, (extract(epoch FROM (p_row).at) * 1000000)::bigint, (p_row).actor, (p_row).action,
        (p_row).outcome, (p_row).address, (p_row).request_id, (p_row).owner_id, (p_row).project_id, (p_row).job_id,
        (p_row).detail)::text, 'UTF8'))
$$;

-- Chain the rows up to an id, in the order of their ids. Two sealers take turns by the row that ends the chain.
CREATE OR REPLACE FUNCTION seal_audit(p_upto bigint, p_most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_chain audit_chain;
    v_row   audit;
    v_count integer := 0;
BEGIN
    SELECT * INTO v_chain FROM audit_chain FOR UPDATE;
    FOR v_row IN SELECT * FROM audit WHERE id > v_chain.last_id AND id <= p_upto ORDER BY id LIMIT p_most LOOP
        v_chain.link := audit_link(v_row, v_chain.last_id, v_chain.link);
        v_chain.last_id := v_row.id;
        UPDATE audit SET chain_hash = v_chain.link WHERE id = v_row.id;
        v_count := v_count + 1;
    END LOOP;
    IF v_count > 0 THEN
        UPDATE audit_chain SET last_id = v_chain.last_id, link = v_chain.link, sealed_at = now();
    END IF;
    RETURN v_count;
END $$;

-- How the pooler learns a project's login: by this function alone, which shows it no role of another sort.
CREATE OR REPLACE FUNCTION pgbouncer.get_auth(login text) RETURNS TABLE (username text, password text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT a.rolname::text, a.rolpassword
      FROM pg_catalog.pg_authid a
     WHERE a.rolname = login
       AND a.rolname ~ '^proj_[0-9a-f]{16}_(owner|authenticator|auth|storage)$'
       AND a.rolcanlogin AND NOT a.rolsuper AND NOT a.rolreplication
       AND NOT a.rolcreaterole AND NOT a.rolcreatedb AND NOT a.rolbypassrls
       AND (a.rolvaliduntil IS NULL OR a.rolvaliduntil > pg_catalog.now());
$$;
REVOKE ALL ON FUNCTION pgbouncer.get_auth(text) FROM PUBLIC;

-- How Auth posts a letter of a project's, with the job that sends it: its login has no other way to a job, nor to the
-- outbox. What it has sealed is opened by the worker alone.
CREATE OR REPLACE FUNCTION post_letter(
    p_id text, p_project text, p_sealed bytea, p_seconds integer, p_void boolean, p_job text, p_version smallint,
    p_queue text, p_attempts smallint) RETURNS jobs
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM secrets WHERE scope = p_project AND name = 'mail_key') THEN
        RAISE no_data_found USING MESSAGE = 'the project has no key that a letter could be opened by';
    ELSIF octet_length(p_sealed) > 1048576 OR p_seconds NOT BETWEEN 1 AND 604800 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'this is no letter';
    END IF;
    INSERT INTO mail_outbox (id, scope, void, sealed, sealed_by, expires_at)
    VALUES (p_id, p_project, p_void, p_sealed, 'mail_key', now() + p_seconds * interval '1 second');
    RETURN enqueue_job(p_job, 'project.mail', p_version, p_queue, p_project || '/mail', p_project, NULL,
                       jsonb_build_object('outbox_id', p_id, 'project_id', p_project), 0::smallint, true, false, false,
                       p_attempts, NULL, NULL, NULL, 'auth', NULL);
END $$;
REVOKE ALL ON FUNCTION post_letter(text, text, bytea, integer, boolean, text, smallint, text, smallint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION post_letter(text, text, bytea, integer, boolean, text, smallint, text, smallint)
    TO launchdb_auth, launchdb_api;

-- Whether the library of an extension that this server lists can be loaded, or there is none of its name. Only a superuser
-- may try; who asks loads what any owner may have in a project, and nothing else. What the library says besides (that it
-- wants to be loaded at the server's start) is nothing that it lacks.
CREATE OR REPLACE FUNCTION library_loads(p_extension text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF p_extension ~ '^[A-Za-z0-9_-]+$'
       AND EXISTS (SELECT FROM pg_catalog.pg_available_extensions e WHERE e.name = p_extension) THEN
        EXECUTE pg_catalog.format('LOAD %L', '$libdir/' || p_extension);
    END IF;
    RETURN true;
EXCEPTION
    -- Of a file that is there and wants another that is not the server says so in words alone, the loader's own.
    WHEN undefined_file THEN RETURN pg_catalog.strpos(SQLERRM, 'shared object') = 0;
    WHEN insufficient_resources THEN RAISE;
    WHEN OTHERS THEN RETURN true;
END $$;
REVOKE ALL ON FUNCTION library_loads(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION library_loads(text) TO launchdb_api, launchdb_worker;
