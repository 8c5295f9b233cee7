-- name: roles
CREATE ROLE {anon} NOLOGIN;
CREATE ROLE {authenticated} NOLOGIN;
CREATE ROLE {service} NOLOGIN BYPASSRLS;
CREATE ROLE {owner} LOGIN PASSWORD {owner_password};
CREATE ROLE {authenticator} LOGIN NOINHERIT PASSWORD {authenticator_password};
CREATE ROLE {auth} LOGIN PASSWORD {auth_password};
CREATE ROLE {storage} LOGIN NOINHERIT PASSWORD {storage_password};
CREATE ROLE {dump} LOGIN BYPASSRLS PASSWORD {dump_password};
ALTER ROLE {dump} SET default_transaction_read_only = 'on';
COMMENT ON ROLE {anon} IS {label};
COMMENT ON ROLE {authenticated} IS {label};
COMMENT ON ROLE {service} IS {label};
COMMENT ON ROLE {owner} IS {label};
COMMENT ON ROLE {authenticator} IS {label};
COMMENT ON ROLE {auth} IS {label};
COMMENT ON ROLE {storage} IS {label};
COMMENT ON ROLE {dump} IS {label};
GRANT {anon}, {authenticated}, {service} TO {authenticator}, {storage} WITH INHERIT FALSE, SET TRUE;
GRANT {auth}, {storage} TO {owner} WITH INHERIT TRUE, SET FALSE;
GRANT {owner} TO {dump} WITH INHERIT TRUE, SET FALSE;
GRANT anon TO {anon} WITH INHERIT TRUE, SET FALSE;
GRANT authenticated TO {authenticated} WITH INHERIT TRUE, SET FALSE;
GRANT service_role TO {service} WITH INHERIT TRUE, SET FALSE;
GRANT launchdb_owner TO {owner} WITH INHERIT TRUE, SET FALSE;

-- name: copy
CREATE DATABASE {database} WITH OWNER launchdb_platform TEMPLATE {template} STRATEGY wal_log CONNECTION LIMIT 0;

-- name: grants
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {authenticator}, {auth}, {storage}, {dump};
GRANT CONNECT, TEMPORARY, CREATE ON DATABASE {database} TO {owner};
GRANT TEMPORARY ON DATABASE {database} TO {anon}, {authenticated}, {service};
COMMENT ON DATABASE {database} IS {label};
REASSIGN OWNED BY launchdb_tpl_public TO {owner};
REASSIGN OWNED BY launchdb_tpl_auth TO {auth};
REASSIGN OWNED BY launchdb_tpl_storage TO {storage};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DATABASE {database} SET statement_timeout = '120s';
ALTER DATABASE {database} CONNECTION LIMIT 30;
