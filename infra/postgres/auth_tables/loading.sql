-- name: columns
-- What of a table can be written, and what comes as JSON.
SELECT c.relname AS table, a.attname AS column, a.atttypid IN ('json'::regtype, 'jsonb'::regtype) AS is_json,
       CASE WHEN a.attnotnull THEN pg_get_expr(d.adbin, d.adrelid) END AS instead_of_null
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'auth'::regnamespace AND c.relname = ANY (%(tables)s) AND a.attnum > 0
   AND NOT a.attisdropped AND a.attgenerated = ''

-- name: begin
SELECT set_config('search_path', 'pg_catalog, pg_temp', false), set_config('TimeZone', 'UTC', false),
       set_config('DateStyle', 'ISO, MDY', false)

-- name: load
-- What is there already stays as it is, and what belongs to nobody who came is left aside.
INSERT INTO auth.{table} ({columns})
SELECT {values} FROM jsonb_populate_recordset(NULL::auth.{table}, %(rows)s) x WHERE {belongs}
ON CONFLICT DO NOTHING

-- name: belongs_to_user
EXISTS (SELECT FROM auth.users u WHERE u.id = x.user_id)

-- name: belongs_to_session
EXISTS (SELECT FROM auth.sessions s WHERE s.id = x.session_id)

-- name: belongs_to_factor
EXISTS (SELECT FROM auth.mfa_factors f WHERE f.id = x.factor_id)
