-- name: put
INSERT INTO mail_outbox (id, scope, void, sealed, expires_at)
VALUES (%(id)s, %(scope)s, %(void)s, %(sealed)s, now() + %(seconds)s * interval '1 second');

-- name: lock_scope
SELECT pg_advisory_xact_lock(19526, hashtext(%(scope)s));

-- name: wait_seconds
-- The oldest of the last so many mails has to be an hour old.
SELECT greatest(1, ceil(extract(epoch FROM created_at + interval '1 hour' - now())))::integer FROM mail_outbox
 WHERE scope = %(scope)s AND NOT void AND created_at > now() - interval '1 hour'
 ORDER BY created_at DESC OFFSET %(most)s - 1 LIMIT 1;

-- name: find
SELECT id, scope, void, state, in_doubt, expires_at <= now() AS expired, created_at, sealed_by, sealed
  FROM mail_outbox
 WHERE id = %(id)s;

-- name: hand
UPDATE mail_outbox SET in_doubt = in_doubt + 1, attempts = attempts + 1 WHERE id = %(id)s;

-- name: take_back
UPDATE mail_outbox SET in_doubt = greatest(0, in_doubt - 1) WHERE id = %(id)s;

-- name: close
UPDATE mail_outbox SET state = %(state)s, sealed = NULL, finished_at = now() WHERE id = %(id)s AND sealed IS NOT NULL;

-- name: fail
UPDATE mail_outbox SET state = 'failed', finished_at = now() WHERE id = %(id)s AND state = 'waiting';

-- name: begin_again
UPDATE mail_outbox SET state = 'waiting', in_doubt = 0, finished_at = NULL
 WHERE id = %(id)s AND sealed IS NOT NULL AND expires_at > now();
