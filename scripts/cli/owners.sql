-- name: list
SELECT o.id, o.email, o.name, o.is_operator, o.created_at,
       (SELECT count(*) FROM projects p WHERE p.owner_id = o.id AND p.status <> 'deleted') AS projects
  FROM owners o ORDER BY o.created_at, o.id;

-- name: promote
UPDATE owners SET is_operator = true, updated_at = now() WHERE email = %(email)s RETURNING id;
