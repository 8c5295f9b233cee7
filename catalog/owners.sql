-- name: register
INSERT INTO owners (id, email, name, password_hash) VALUES (%(id)s, %(email)s, %(name)s, %(hash)s)
ON CONFLICT (email) DO NOTHING
RETURNING id, email, name, is_operator, created_at, updated_at;

-- name: by_email
SELECT id, email, name, is_operator, created_at, updated_at, password_hash FROM owners WHERE email = %(email)s;

-- name: find
SELECT id, email, name, is_operator, created_at, updated_at FROM owners WHERE id = %(id)s;
