-- name: loadable
SELECT name FROM unnest(%(names)s::text[]) AS name WHERE library_loads(name);
