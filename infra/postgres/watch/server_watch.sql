-- No statement here but `names` and `settings` reads a relation that all databases share: the lock on one would be an
-- entry in the lock table, which is not to be had while a tenant fills it. The functions behind the views read none.

-- name: settings
SELECT current_setting('max_locks_per_transaction')::int AS locks, current_setting('max_pred_locks_per_transaction')::int AS predicates,
       current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int AS backends,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true), '0')::int AS connections,
       current_setting('autovacuum_max_workers')::int AS workers;

-- name: databases
SELECT d.oid::bigint AS oid, d.datname AS name, s.setconfig AS settings
  FROM pg_database d LEFT JOIN pg_db_role_setting s ON s.setdatabase = d.oid AND s.setrole = 0
 WHERE d.datname ~ '^proj_[0-9a-f]{16}(_|$)';

-- name: logins
-- Who may log in as these is told the password, or can change it: not so the logins that dump and restore.
SELECT oid::bigint AS oid, rolname AS name FROM pg_authid
 WHERE rolname ~ '^proj_[0-9a-f]{16}_(owner|authenticator|auth|storage)$';

-- name: reserve
-- Entries of the lock table that are ours to give back when there is no other left.
SELECT count(pg_advisory_lock(pg_backend_pid(), n)) FROM generate_series(1, 256) AS n;

-- name: give_back
SELECT pg_advisory_unlock_all();

-- name: look
WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS now),
held AS MATERIALIZED (
    SELECT l.pid, count(*) FILTER (WHERE l.mode <> 'SIReadLock') AS locks,
           count(*) FILTER (WHERE l.mode = 'SIReadLock') AS predicates
      FROM pg_lock_status() l WHERE NOT l.fastpath GROUP BY l.pid)
SELECT a.pid, a.backend_start AS started, a.backend_type AS type, a.datid::bigint AS database,
       coalesce(a.usesysid::bigint, 0) AS role, coalesce(a.application_name, '') AS application, coalesce(a.state, '') AS state,
       coalesce(a.wait_event, '') AS wait, a.query_start AS query, a.backend_xid IS NOT NULL AS writes,
       CASE WHEN a.usesysid IS NULL THEN left(a.query, 200) ELSE '' END AS activity,
       coalesce(extract(epoch FROM m.now - a.query_start)::float, 0) AS statement,
       coalesce(extract(epoch FROM m.now - a.state_change)::float, 0) AS idle,
       extract(epoch FROM m.now - a.xact_start)::float AS transaction,
       coalesce(h.locks, 0) AS locks, coalesce(h.predicates, 0) AS predicates, p.param1::int AS phase,
       r.pid IS NOT NULL AS rewrites
  FROM moment m, pg_stat_get_activity(NULL) a
  LEFT JOIN held h ON h.pid = a.pid
  LEFT JOIN pg_stat_get_progress_info('ANALYZE') p ON p.pid = a.pid
  LEFT JOIN pg_stat_get_progress_info('CLUSTER') r ON r.pid = a.pid
 WHERE a.datid IS NOT NULL AND a.datid <> 0 AND a.backend_start IS NOT NULL;

-- name: wait
-- Waits in the server, where to count costs next to nothing, and comes back sooner when that many locks are held. Whoever
-- alone holds more than anybody may, and is a project's login, is ended here and now: the whole table is taken within the
-- time that a busy machine needs to tell somebody else.
WITH RECURSIVE turn AS (
    SELECT 0 AS number, 0::bigint AS held, NULL::int[] AS pids, NULL::bigint[] AS numbers
    UNION ALL
    SELECT t.number + 1, h.held::bigint, h.pids, h.numbers
      FROM turn t, LATERAL pg_sleep(0.02 + 0 * t.number),
           LATERAL (SELECT coalesce(sum(s.entries), 0) AS held, array_agg(s.pid) FILTER (WHERE s.locks > %(most)s) AS pids,
                           array_agg(s.locks) FILTER (WHERE s.locks > %(most)s) AS numbers
                      FROM (SELECT l.pid, count(*) AS entries, count(*) FILTER (WHERE l.mode <> 'SIReadLock') AS locks
                              FROM pg_lock_status() l WHERE NOT l.fastpath AND t.number >= 0 GROUP BY l.pid) s) h
     WHERE t.number < %(turns)s AND t.held <= %(most)s),
last AS MATERIALIZED (SELECT * FROM turn ORDER BY number DESC LIMIT 1),
gone AS MATERIALIZED (
    SELECT a.pid, a.backend_start AS started, a.datid::bigint AS database, a.usesysid::bigint AS role, h.locks,
           pg_terminate_backend(a.pid) AS ended
      FROM last, LATERAL unnest(last.pids, last.numbers) AS h (pid, locks), LATERAL pg_stat_get_activity(h.pid) a
     WHERE a.usesysid::bigint = ANY (%(logins)s::bigint[]))
SELECT last.held > %(most)s AS short, gone.pid, gone.started, gone.database, gone.role, gone.locks, gone.ended
  FROM last LEFT JOIN gone ON gone.ended;

-- name: sizes
SELECT oid, pg_database_size(oid::oid) AS bytes FROM unnest(%(oids)s::bigint[]) AS oid;

-- name: queue
SELECT pg_notification_queue_usage();

-- name: segments
SELECT max(name) FROM pg_ls_dir('pg_notify') AS name;

-- name: segment
SELECT pg_read_binary_file('pg_notify/' || %(name)s::text, 0, 262144, true);

-- name: processes
-- As the kernel says it of each. One that has ended meanwhile has no files; nor has every kernel all of them.
SELECT pid, pg_read_file('/proc/' || pid || '/status', true) AS status, pg_read_file('/proc/' || pid || '/stat', true) AS stat,
       pg_read_file('/proc/' || pid || '/autogroup', true) AS autogroup
  FROM unnest(%(pids)s::int[]) AS pid;

-- name: set_priorities
-- By the account that the processes are of: a process and, where the kernel weighs sessions one against the other, its
-- session. What it may not change stays. The kernel takes the latter from this account ten times a second.
COPY (SELECT a.pid || ' ' || w.nice FROM json_to_recordset({wanted}) AS w (pid int, started timestamptz, nice int),
             LATERAL pg_stat_get_activity(w.pid) a WHERE a.backend_start = w.started)
  TO PROGRAM 'while read -r pid nice; do renice "$nice" -p "$pid"; group=/proc/$pid/autogroup; if [ -w $group ]; then
      echo "$nice" > $group || {{ sleep 0.11; echo "$nice" > $group; }}; fi; done > /dev/null 2>&1; true';

-- name: cancel
-- By number and birth: the number alone may be another process's by now.
SELECT pg_cancel_backend(a.pid) FROM pg_stat_get_activity(%(pid)s) a
 WHERE a.backend_start = %(started)s AND coalesce(a.usesysid::bigint, 0) = %(role)s AND a.datid::bigint = %(database)s;

-- name: terminate
SELECT pg_terminate_backend(a.pid) FROM pg_stat_get_activity(%(pid)s) a
 WHERE a.backend_start = %(started)s AND coalesce(a.usesysid::bigint, 0) = %(role)s AND a.datid::bigint = %(database)s;

-- name: shut_out
ALTER ROLE {login} CONNECTION LIMIT 0;

-- name: end_login
SELECT pg_terminate_backend(a.pid) FROM pg_stat_get_activity(NULL) a WHERE a.usesysid = %(role)s::bigint::oid;
