-- by: administrator
-- lower() as an index can use it below row security: lower() itself is not known to leak nothing, so with it every listing
-- of a bucket would look at each of its rows. It never fails, and tells of a text nothing but the text.

CREATE FUNCTION launchdb.lower_key(name text) RETURNS text LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'lower';
GRANT EXECUTE ON FUNCTION launchdb.lower_key(text) TO PUBLIC;
