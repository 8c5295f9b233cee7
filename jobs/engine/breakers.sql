-- name: trip
SELECT trip_breaker(%(dependency)s, %(kind)s, %(most)s, %(window)s * interval '1 second', %(pause)s * interval '1 second');

-- name: settle
-- A job that has succeeded since says that it is back; what nobody has needed for long is forgotten.
DELETE FROM breakers b
 WHERE (open_until IS NULL OR open_until <= now())
   AND (failed_at < now() - interval '10 minutes'
        OR EXISTS (SELECT FROM jobs WHERE status = 'succeeded' AND kind = ANY (b.kinds) AND finished_at > b.failed_at));

-- name: states
SELECT dependency, failures, kinds, open_until, opened_at, open_until IS NOT NULL AS open FROM breakers ORDER BY dependency;
