-- name: type_names
-- In the tenant's own session, whatever it has made of the search path.
SELECT t.oid, pg_catalog.format_type(t.oid, NULL) FROM pg_catalog.pg_type t
 WHERE t.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
