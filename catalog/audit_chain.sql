-- name: newest
SELECT id FROM audit WHERE chain_hash IS NULL ORDER BY id DESC LIMIT 1;

-- name: writers
-- Who writes into the audit now. The lock is taken before an id is, and kept until the end of the transaction.
SELECT virtualtransaction AS writer FROM pg_locks
 WHERE locktype = 'relation' AND relation = 'audit'::regclass AND mode = 'RowExclusiveLock' AND granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: seal
SELECT seal_audit(%(upto)s, %(most)s);

-- name: state
SELECT c.last_id, encode(c.link, 'hex') AS link, c.sealed_at,
       (SELECT count(*) FROM audit WHERE chain_hash IS NULL) AS unsealed,
       (SELECT extract(epoch FROM now() - min(at)) FROM audit WHERE chain_hash IS NULL)::float8 AS oldest_unsealed_seconds
  FROM audit_chain c;

-- name: verify
-- Each row beside the one that stands before it now and the one that its link names.
WITH sealed AS (
    SELECT a AS line, a.id, a.chain_hash AS link,
           lag(a.id, 1, 0::bigint) OVER by_id AS before, lag(a.chain_hash, 1, ''::bytea) OVER by_id AS before_link,
           CASE WHEN length(a.chain_hash) = 40
                THEN ('x' || encode(substr(a.chain_hash, 1, 8), 'hex'))::bit(64)::bigint END AS named
      FROM audit a WHERE a.chain_hash IS NOT NULL
    WINDOW by_id AS (ORDER BY a.id)
), faults AS (
    SELECT id, 'inserted' AS fault FROM audit
     WHERE chain_hash IS NULL AND id <= (SELECT last_id FROM audit_chain)
    UNION ALL
    SELECT id, 'changed' FROM sealed
     WHERE named IS NULL OR named = before AND link <> audit_link(line, before, before_link)
    UNION ALL
    SELECT named, 'removed' FROM sealed s
     WHERE named <> before AND named <> 0 AND NOT EXISTS (SELECT FROM audit WHERE audit.id = s.named)
    UNION ALL
    SELECT before, 'inserted' FROM sealed s
     WHERE named < before AND (named = 0 OR EXISTS (SELECT FROM audit WHERE audit.id = s.named))
    UNION ALL
    SELECT last_id, 'removed' FROM audit_chain
     WHERE last_id <> 0 AND NOT EXISTS (SELECT FROM audit WHERE audit.id = last_id)
    UNION ALL
    SELECT c.last_id, 'changed' FROM audit_chain c JOIN audit a ON a.id = c.last_id
     WHERE a.chain_hash IS NOT NULL AND a.chain_hash <> c.link
    UNION ALL
    SELECT id, 'inserted' FROM sealed WHERE id > (SELECT last_id FROM audit_chain)
)
SELECT DISTINCT id, fault FROM faults ORDER BY id, fault LIMIT %(most)s;

-- name: page
SELECT id, at, actor, action, outcome, address, request_id, job_id, detail, owner_id, project_id,
       chain_hash IS NOT NULL AS sealed
  FROM audit WHERE %(before)s::bigint IS NULL OR id < %(before)s ORDER BY id DESC LIMIT %(limit)s;
