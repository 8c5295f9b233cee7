-- name: record
INSERT INTO audit (actor, action, outcome, address, request_id, owner_id, project_id, job_id, detail)
VALUES (%(actor)s, %(action)s, %(outcome)s, %(address)s, %(request_id)s, %(owner_id)s, %(project_id)s, %(job_id)s,
        %(detail)s);

-- name: page
SELECT id, at, actor, action, outcome, address, request_id, job_id, detail FROM audit
 WHERE project_id = %(project)s AND (%(before)s::bigint IS NULL OR id < %(before)s) ORDER BY id DESC LIMIT %(limit)s;
