-- name: standing
-- After the free tries the wait doubles with each failure, from 15 s to 15 minutes.
SELECT coalesce((
           SELECT greatest(0, ceil(extract(epoch FROM
                      last_at + least(900, 15 * 2 ^ least(failures - %(free)s, 10)) * interval '1 second' - now())))
             FROM failed_logins
            WHERE email = %(email)s AND address = %(address)s AND failures >= %(free)s), 0)::integer AS wait_seconds,
       EXISTS (SELECT FROM known_addresses k JOIN owners o ON o.id = k.owner_id
                WHERE o.email = %(email)s AND k.address = %(address)s) AS known;

-- name: failed
INSERT INTO failed_logins AS f (email, address, failures) VALUES (%(email)s, %(address)s, 1)
ON CONFLICT (email, address) DO UPDATE
   SET failures = CASE WHEN f.last_at < now() - interval '1 hour' THEN 1 ELSE f.failures + 1 END, last_at = now();

-- name: succeeded
WITH forgotten AS (DELETE FROM failed_logins WHERE email = %(email)s AND address = %(address)s)
INSERT INTO known_addresses (owner_id, address) VALUES (%(owner)s, %(address)s)
ON CONFLICT (owner_id, address) DO UPDATE SET last_at = now();
