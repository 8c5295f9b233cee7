-- name: record
INSERT INTO audit (actor, action, outcome, address, request_id, owner_id, project_id, job_id, detail)
VALUES (%(actor)s, %(action)s, %(outcome)s, %(address)s, %(request_id)s, %(owner_id)s, %(project_id)s, %(job_id)s,
        %(detail)s);
