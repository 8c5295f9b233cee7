-- name: instances
-- By the ledger, in which it stands before it is made, and as gone once it is removed.
SELECT name, project_id FROM resources WHERE kind = 'instance' AND state = 'present' ORDER BY name;
