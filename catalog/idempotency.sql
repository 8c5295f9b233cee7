-- name: reserve
-- The primary key is the lock across processes; a row older than a day counts as none.
INSERT INTO idempotency_keys AS k (owner_id, route, key, request_hash)
VALUES (%(owner_id)s, %(route)s, %(key)s, %(digest)s)
ON CONFLICT (owner_id, route, key) DO UPDATE
   SET request_hash = excluded.request_hash, status = NULL, headers = NULL, body = NULL, created_at = now()
 WHERE k.created_at < now() - interval '24 hours';

-- name: find
SELECT request_hash, status, headers, body FROM idempotency_keys
 WHERE owner_id = %(owner_id)s AND route = %(route)s AND key = %(key)s;

-- name: keep
UPDATE idempotency_keys SET status = %(status)s, headers = %(headers)s, body = %(body)s
 WHERE owner_id = %(owner_id)s AND route = %(route)s AND key = %(key)s;
