-- name: objects
SELECT objects FROM template_objects WHERE template = %(template)s;

-- name: keep
INSERT INTO template_objects (template, objects) VALUES (%(template)s, %(objects)s) ON CONFLICT DO NOTHING;
