-- name: is_known
-- A database that no migration has reached yet has none.
SELECT to_regclass('launchdb.files_hold') IS NOT NULL;

-- name: take
INSERT INTO launchdb.files_hold (holder, until) VALUES (%(holder)s, now() + %(seconds)s * interval '1 second')
ON CONFLICT (holder) DO UPDATE SET until = excluded.until;

-- name: keep
INSERT INTO launchdb.files_hold (holder, until) VALUES (%(holder)s, 'infinity')
ON CONFLICT (holder) DO UPDATE SET until = excluded.until;

-- name: renew
-- One that was over meanwhile is no hold: what was removed then is gone.
UPDATE launchdb.files_hold SET until = now() + %(seconds)s * interval '1 second'
 WHERE holder = %(holder)s AND until > now();

-- name: release
DELETE FROM launchdb.files_hold WHERE holder = %(holder)s;

-- name: release_kind
DELETE FROM launchdb.files_hold WHERE starts_with(holder, %(kind)s);
