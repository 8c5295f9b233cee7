-- name: events
-- By their places in the table, which are in the order of their age: an event is never changed, so it keeps its place.
DELETE FROM job_events WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM job_events WHERE created_at < now() - %(days)s * interval '1 day' LIMIT %(most)s));

-- name: jobs
-- A parent goes after its children; a project's last job of each kind stays as long as the project, for its history.
DELETE FROM jobs WHERE id IN (
    SELECT id FROM jobs j
     WHERE finished_at < now() - %(days)s * interval '1 day'
       AND NOT EXISTS (SELECT FROM jobs child WHERE child.parent_id = j.id)
       AND NOT EXISTS (SELECT FROM resources r WHERE r.job_id = j.id AND r.state <> 'gone')
     ORDER BY finished_at LIMIT %(most)s);

-- name: idempotency_keys
DELETE FROM idempotency_keys WHERE (owner_id, route, key) IN (
    SELECT owner_id, route, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
     ORDER BY created_at LIMIT %(most)s);

-- name: workers
DELETE FROM workers WHERE stopped_at < now() - interval '1 day'
   AND NOT EXISTS (SELECT FROM jobs WHERE worker = workers.name AND status IN ('running', 'cancelling'));

-- name: resources
DELETE FROM resources WHERE state = 'gone' AND updated_at < now() - interval '1 day';

-- name: refresh_tokens
DELETE FROM refresh_tokens WHERE expires_at < now() - interval '1 day';

-- name: failed_logins
DELETE FROM failed_logins WHERE last_at < now() - interval '1 day';

-- name: job_secrets
-- What a job was handed, once no job that is still open names it: one that a deletion superseded has ended without its
-- kind's saying so. Whoever has it kept may commit a moment before the job.
DELETE FROM secrets s
 WHERE scope = %(scope)s AND starts_with(name, %(prefix)s) AND created_at < now() - interval '1 hour'
   AND NOT EXISTS (SELECT FROM jobs j, jsonb_each_text(j.args) AS given
                    WHERE j.status IN ('queued', 'retrying', 'running', 'cancelling') AND given.value = s.name);

-- name: one_time_tokens
DELETE FROM one_time_tokens WHERE expires_at < now() - interval '1 day';

-- name: expired_mails
-- What a mail says is forgotten with its time, whatever became of its job.
UPDATE mail_outbox SET state = 'expired', sealed = NULL, finished_at = now() WHERE sealed IS NOT NULL AND expires_at < now();

-- name: mails
DELETE FROM mail_outbox WHERE id IN (
    SELECT id FROM mail_outbox WHERE sealed IS NULL AND finished_at < now() - %(days)s * interval '1 day' LIMIT %(most)s);

-- name: void_mails
-- Anybody can ask for links for addresses that nobody has: nothing of that is kept for long.
DELETE FROM mail_outbox WHERE id IN (
    SELECT id FROM mail_outbox
     WHERE void AND sealed IS NULL AND finished_at < now() - interval '1 day' LIMIT %(most)s);

-- name: asked_mail_jobs
DELETE FROM jobs WHERE id IN (
    SELECT id FROM jobs
     WHERE kind = 'project.mail' AND created_by = 'anonymous' AND finished_at < now() - interval '1 day'
     LIMIT %(most)s);

-- name: slots
-- The newest slot says how far planning has come and stays; a job that is still open keeps its slot, for the overlap.
DELETE FROM schedule_slots old WHERE (schedule, slot) IN (
    SELECT t.schedule, t.slot FROM schedule_slots t
     WHERE t.slot < now() - %(days)s * interval '1 day'
       AND t.slot < (SELECT max(n.slot) FROM schedule_slots n WHERE n.schedule = t.schedule)
       AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = t.job_id AND j.finished_at IS NULL)
     LIMIT %(most)s);
