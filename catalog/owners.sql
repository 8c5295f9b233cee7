-- name: register
INSERT INTO owners (id, email, name, password_hash) VALUES (%(id)s, %(email)s, %(name)s, %(hash)s)
ON CONFLICT (email) DO NOTHING
RETURNING id, email, name, is_operator, max_projects, created_at, updated_at;

-- name: by_email
SELECT id, email, name, is_operator, max_projects, created_at, updated_at, password_hash FROM owners
 WHERE email = %(email)s;

-- name: find
SELECT id, email, name, is_operator, max_projects, created_at, updated_at, password_hash FROM owners WHERE id = %(id)s;

-- name: counted
SELECT o.id, o.email, o.name, o.is_operator, o.max_projects, o.created_at, o.updated_at,
       (SELECT count(*) FROM projects p WHERE p.owner_id = o.id AND p.status <> 'deleted') AS projects
  FROM owners o WHERE o.id = %(id)s;

-- name: page
-- Ids are ordered by time.
SELECT o.id, o.email, o.name, o.is_operator, o.max_projects, o.created_at, o.updated_at,
       (SELECT count(*) FROM projects p WHERE p.owner_id = o.id AND p.status <> 'deleted') AS projects
  FROM owners o WHERE %(after)s::text IS NULL OR o.id > %(after)s ORDER BY o.id LIMIT %(limit)s;

-- name: set_password
UPDATE owners SET password_hash = %(hash)s, updated_at = now() WHERE id = %(id)s;

-- name: set_quota
UPDATE owners SET max_projects = %(quota)s, updated_at = now() WHERE id = %(id)s;

-- name: set_operator
UPDATE owners SET is_operator = %(wanted)s, updated_at = now() WHERE id = %(id)s;

-- name: hold
SELECT password_hash FROM owners WHERE id = %(id)s FOR KEY SHARE;

-- name: lock
SELECT password_hash FROM owners WHERE id = %(id)s FOR UPDATE;

-- name: lock_operators
-- In one order, so that two who do this at once do not wait for each other.
SELECT id FROM owners WHERE is_operator ORDER BY id FOR UPDATE;

-- name: count_projects
SELECT count(*) FROM projects WHERE owner_id = %(id)s AND status <> 'deleted';

-- name: forget_deleted_projects
-- Nothing but the row is left of these; their jobs and their audit do not need it.
DELETE FROM projects WHERE owner_id = %(id)s AND status = 'deleted';

-- name: delete
DELETE FROM owners WHERE id = %(id)s;
