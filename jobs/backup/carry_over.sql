-- name: schema
-- Every version, for numbers began anew; but the baseline, which is the sum of versions that stand beside it.
SELECT array_agg(version ORDER BY version) FROM schema_migrations WHERE version <> '0001_baseline';

-- name: shape
-- optional: a row may be written without it.
SELECT format('%%s.%%s %%s', attrelid::regclass, attname, format_type(atttypid, atttypmod)) AS told,
       atthasdef OR NOT attnotnull AS optional
  FROM pg_attribute
 WHERE attrelid = ANY (%(tables)s::text[]::regclass[]) AND attnum > 0 AND NOT attisdropped;

-- name: projects
SELECT p.id, p.name, p.status, p.owner_id, o.email
  FROM projects p JOIN owners o ON o.id = p.owner_id WHERE p.status <> 'deleted' ORDER BY p.id;

-- name: knows
SELECT EXISTS (SELECT FROM projects WHERE id = %(id)s);

-- name: owners
SELECT id, email, password_hash FROM owners ORDER BY id;

-- name: keep_password
UPDATE owners SET password_hash = %(hash)s, updated_at = now()
 WHERE id = %(id)s AND password_hash <> %(hash)s RETURNING id;

-- name: owner
-- By the same id, or by the same address: a new home has made its operator's account anew.
SELECT id FROM owners WHERE id = %(id)s OR email = %(email)s ORDER BY (id = %(id)s) DESC LIMIT 1;

-- name: is_taken
SELECT EXISTS (SELECT FROM projects WHERE owner_id = %(owner)s AND name = %(name)s AND status <> ALL (%(leaving)s));

-- name: columns
-- Those that a row is written with; numbers that a table gives itself are given anew.
SELECT attname FROM pg_attribute
 WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND attgenerated = ''
 ORDER BY attnum;

-- name: rows
SELECT to_jsonb(t) FROM {table} t WHERE {column} = %(id)s;

-- name: write
INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{table}, %(row)s) ON CONFLICT DO NOTHING;
