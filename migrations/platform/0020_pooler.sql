-- How the pooler learns a project's login: by this function alone, which shows it no role of another sort.
CREATE SCHEMA pgbouncer;
REVOKE ALL ON SCHEMA pgbouncer FROM PUBLIC;

CREATE FUNCTION pgbouncer.get_auth(login text) RETURNS TABLE (username text, password text)
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
