-- The audit's chain. A link is eight bytes, the id of the row before it, and the SHA-256 of that row's link with this
-- row's content: so a row that is missing can be named, not only noticed.

-- Where the chain ends: rows cut off its end are missed too.
CREATE TABLE audit_chain (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_id   bigint NOT NULL DEFAULT 0,
    link      bytea NOT NULL DEFAULT '',
    sealed_at timestamptz
);
INSERT INTO audit_chain DEFAULT VALUES;

-- What of a row is sealed: everything, in a form that depends on no setting of the session.
CREATE FUNCTION audit_link(p_row audit, p_last bigint, p_link bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT int8send(p_last) || sha256(p_link || convert_to(jsonb_build_array(
        p_last, (p_row).id, (extract(epoch FROM (p_row).at) * 1000000)::bigint, (p_row).actor, (p_row).action,
        (p_row).outcome, (p_row).address, (p_row).request_id, (p_row).owner_id, (p_row).project_id, (p_row).job_id,
        (p_row).detail)::text, 'UTF8'))
$$;

-- Chain the rows up to an id, in the order of their ids. Two sealers take turns by the row that ends the chain.
CREATE FUNCTION seal_audit(p_upto bigint, p_most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_chain audit_chain;
    v_row   audit;
    v_count integer := 0;
BEGIN
    SELECT * INTO v_chain FROM audit_chain FOR UPDATE;
    FOR v_row IN SELECT * FROM audit WHERE id > v_chain.last_id AND id <= p_upto ORDER BY id LIMIT p_most LOOP
        v_chain.link := audit_link(v_row, v_chain.last_id, v_chain.link);
        v_chain.last_id := v_row.id;
        UPDATE audit SET chain_hash = v_chain.link WHERE id = v_row.id;
        v_count := v_count + 1;
    END LOOP;
    IF v_count > 0 THEN
        UPDATE audit_chain SET last_id = v_chain.last_id, link = v_chain.link, sealed_at = now();
    END IF;
    RETURN v_count;
END $$;

-- What ended jobs tell, in sums: how long things took, by kind and step. Metrics and estimates read this, never the jobs.
-- measure: 'step' (a step that succeeded), 'job' (from the first claim to the end, by outcome), 'claim' (from due to
-- claimed), 'attempts' and 'takeovers' (counts alone).
CREATE TABLE job_history (
    measure text NOT NULL,
    kind    text NOT NULL,
    label   text NOT NULL DEFAULT '',                 -- the step, or the outcome
    count   bigint NOT NULL DEFAULT 0,
    seconds double precision NOT NULL DEFAULT 0,
    buckets bigint[] NOT NULL,                        -- how many took at most as long as each of history_bounds()
    recent  double precision[] NOT NULL DEFAULT '{}', -- the last ones, for the median
    PRIMARY KEY (measure, kind, label)
);
CREATE TABLE job_history_mark (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    upto     timestamptz NOT NULL DEFAULT '-infinity' -- jobs that ended before this are in the sums
);
INSERT INTO job_history_mark DEFAULT VALUES;

CREATE FUNCTION history_bounds() RETURNS double precision[] LANGUAGE sql IMMUTABLE AS $$
    SELECT '{0.005,0.02,0.05,0.1,0.25,0.5,1,2.5,5,10,30,60,300,1800,7200}'::double precision[]
$$;

CREATE FUNCTION history_buckets(p_took double precision[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg((SELECT count(*) FROM unnest(p_took) AS took WHERE took <= bound) ORDER BY bound)
      FROM unnest(history_bounds()) AS bound
$$;

-- Take jobs that have ended since the last time into the sums; returns how many. A job's end bears the time at which its
-- transaction began, so whatever is older than the oldest open transaction is all there; nobody holds that up for longer
-- than a minute.
CREATE FUNCTION gather_history(p_most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_from  timestamptz;
    v_upto  timestamptz;
    v_ids   text[];
    v_count integer;
BEGIN
    SELECT upto INTO v_from FROM job_history_mark FOR UPDATE;
    SELECT greatest(least(now() - interval '1 s', min(xact_start)), now() - interval '1 min') INTO v_upto
      FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL;
    IF v_upto <= v_from THEN
        RETURN 0;
    END IF;
    -- A batch ends between two moments, never inside one.
    SELECT coalesce(min(finished_at), v_upto) INTO v_upto FROM (
        SELECT finished_at FROM jobs WHERE finished_at >= v_from AND finished_at < v_upto
         ORDER BY finished_at OFFSET p_most LIMIT 1) AS further WHERE finished_at > v_from;
    SELECT array_agg(id) INTO v_ids FROM jobs WHERE finished_at >= v_from AND finished_at < v_upto;
    v_count := coalesce(cardinality(v_ids), 0);
    UPDATE job_history_mark SET upto = v_upto;
    IF v_count = 0 THEN
        RETURN 0;
    END IF;
    WITH history_ended AS (
        SELECT *, greatest(created_at, run_at) AS due FROM jobs WHERE id = ANY (v_ids))
    INSERT INTO job_history AS h (measure, kind, label, count, seconds, buckets, recent)
    SELECT measure, kind, label, count(*), coalesce(sum(took), 0), history_buckets(array_agg(took)),
           coalesce((array_agg(took ORDER BY at DESC) FILTER (WHERE took IS NOT NULL))[1:25], '{}')
      FROM (
        SELECT 'step' AS measure, e.kind, s.name AS label, s.finished_at AS at,
               extract(epoch FROM s.finished_at - s.started_at)::float8 AS took
          FROM history_ended e JOIN job_steps s ON s.job_id = e.id
         WHERE s.status = 'succeeded' AND s.started_at IS NOT NULL
        UNION ALL
        SELECT 'job', kind, status, finished_at,
               extract(epoch FROM finished_at - coalesce(started_at, finished_at))::float8 FROM history_ended
        UNION ALL
        SELECT 'claim', kind, '', finished_at, greatest(0, extract(epoch FROM started_at - due))::float8
          FROM history_ended WHERE fence = 1 AND started_at IS NOT NULL
        UNION ALL
        SELECT 'attempts', kind, '', finished_at, NULL FROM history_ended, generate_series(1, attempt)
        UNION ALL
        SELECT 'takeovers', kind, '', finished_at, NULL FROM history_ended, generate_series(1, crashes)
      ) AS measured
     GROUP BY measure, kind, label
    ON CONFLICT (measure, kind, label) DO UPDATE SET
        count = h.count + excluded.count, seconds = h.seconds + excluded.seconds,
        buckets = (SELECT array_agg(a + b ORDER BY place)
                     FROM unnest(h.buckets, excluded.buckets) WITH ORDINALITY AS both_of (a, b, place)),
        recent = (excluded.recent || h.recent)[1:25];
    RETURN v_count;
END $$;

-- What jobs depend on outside, and whether it is away. Rows, not memory: what one worker learns spares all the others an
-- attempt, and a worker that starts knows it too. Kept small: a handful of rows that a claim reads.
CREATE TABLE breakers (
    dependency text PRIMARY KEY,                      -- 'postgres', 'mail', …
    failures   integer NOT NULL DEFAULT 0,            -- transient ones in a row, within the window
    failed_at  timestamptz NOT NULL DEFAULT now(),
    kinds      text[] NOT NULL DEFAULT '{}',          -- the kinds that have failed of it
    open_until timestamptz,                           -- set: open; past: one job is let through, as a probe
    opened_at  timestamptz
);

-- A job failed because a dependency was away. Returns how many seconds its kind waits, or null while the breaker is closed.
-- Failures of several jobs at the same moment count: that many in a row is what makes it sure.
CREATE FUNCTION trip_breaker(p_dependency text, p_kind text, p_most integer, p_window interval, p_pause interval)
RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
    v_b breakers;
BEGIN
    INSERT INTO breakers (dependency) VALUES (p_dependency) ON CONFLICT DO NOTHING;
    SELECT * INTO v_b FROM breakers WHERE dependency = p_dependency FOR UPDATE;
    v_b.failures := CASE WHEN v_b.open_until IS NULL AND v_b.failed_at < now() - p_window THEN 1 ELSE v_b.failures + 1 END;
    IF v_b.open_until IS NOT NULL OR v_b.failures >= p_most THEN
        v_b.open_until := now() + p_pause;
        v_b.opened_at := coalesce(v_b.opened_at, now());
    END IF;
    UPDATE breakers SET failures = v_b.failures, failed_at = now(), open_until = v_b.open_until, opened_at = v_b.opened_at,
           kinds = CASE WHEN p_kind = ANY (kinds) THEN kinds ELSE kinds || p_kind END
     WHERE dependency = p_dependency;
    RETURN extract(epoch FROM v_b.open_until - now());
END $$;

-- As before, and: a job of a kind that needs a dependency waits while that one's breaker is open.
CREATE OR REPLACE FUNCTION job_waiting_for(j jobs, p_served text[] DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_kind  job_kinds;
    v_away  breakers;
    v_other text;
    v_count bigint;
    v_limit integer;
BEGIN
    IF j.status NOT IN ('queued', 'retrying') THEN
        RETURN NULL;
    END IF;
    IF j.parked THEN
        SELECT count(*) INTO v_count FROM jobs
         WHERE parent_id = j.id AND status NOT IN ('succeeded', 'failed', 'cancelled');
        RETURN jsonb_build_object('reason', 'children', 'open', v_count, 'message', 'waits for ' || v_count || ' jobs of its own');
    END IF;
    IF j.lane IS NOT NULL THEN
        SELECT id INTO v_other FROM jobs
         WHERE lane = j.lane AND status IN ('running', 'cancelling') AND id <> j.id;
        IF v_other IS NULL AND NOT j.ready THEN
            SELECT id INTO v_other FROM jobs
             WHERE lane = j.lane AND status IN ('queued', 'retrying') AND seq < j.seq ORDER BY seq LIMIT 1;
        END IF;
        IF v_other IS NOT NULL THEN
            RETURN jsonb_build_object('reason', 'behind', 'jobId', v_other,
                                      'message', 'behind job ' || v_other || ' of the same project');
        END IF;
    END IF;
    -- Half-open: the pause is over, and one job of these kinds at a time finds out whether it is back.
    SELECT * INTO v_away FROM breakers b WHERE b.open_until IS NOT NULL AND j.kind = ANY (b.kinds)
       AND (b.open_until > now() OR EXISTS (
               SELECT FROM jobs r WHERE r.status IN ('running', 'cancelling') AND r.kind = ANY (b.kinds) AND r.id <> j.id))
     ORDER BY b.open_until DESC LIMIT 1;
    IF FOUND THEN
        RETURN jsonb_build_object('reason', 'dependency', 'dependency', v_away.dependency, 'at', v_away.open_until,
                                  'message', v_away.dependency || ' is away; it is tried again');
    END IF;
    IF j.run_at > now() THEN
        IF j.status = 'retrying' THEN
            RETURN jsonb_build_object('reason', 'retry', 'at', j.run_at, 'message', 'waits before its next attempt');
        END IF;
        RETURN jsonb_build_object('reason', 'scheduled', 'at', j.run_at, 'message', 'is due later');
    END IF;
    IF EXISTS (SELECT FROM queues WHERE name = j.queue AND paused_at IS NOT NULL) THEN
        RETURN jsonb_build_object('reason', 'paused', 'queue', j.queue, 'message', 'queue ' || j.queue || ' is paused');
    END IF;
    SELECT * INTO v_kind FROM job_kinds WHERE served = j.kind || '@' || j.version;
    IF cardinality(v_kind.conflicts) > 0 AND j.project_id IS NOT NULL THEN
        SELECT id INTO v_other FROM jobs
         WHERE status IN ('running', 'cancelling') AND kind = ANY (v_kind.conflicts) AND project_id = j.project_id
         LIMIT 1;
        IF v_other IS NOT NULL THEN
            RETURN jsonb_build_object('reason', 'behind', 'jobId', v_other,
                                      'message', 'must not run beside job ' || v_other);
        END IF;
    END IF;
    IF v_kind.max_running IS NOT NULL THEN
        SELECT count(*) INTO v_count FROM jobs WHERE status IN ('running', 'cancelling') AND kind = j.kind;
        IF v_count >= v_kind.max_running THEN
            RETURN jsonb_build_object('reason', 'limit', 'limit', v_kind.max_running,
                                      'message', v_kind.max_running || ' jobs of this kind run already');
        END IF;
    END IF;
    IF j.parent_id IS NOT NULL THEN
        SELECT max_children INTO v_limit FROM jobs WHERE id = j.parent_id;
        IF v_limit IS NOT NULL THEN
            SELECT count(*) INTO v_count FROM jobs
             WHERE parent_id = j.parent_id AND status IN ('running', 'cancelling');
            IF v_count >= v_limit THEN
                RETURN jsonb_build_object('reason', 'limit', 'limit', v_limit,
                                          'message', v_limit || ' jobs of its parent run already');
            END IF;
        END IF;
    END IF;
    IF p_served IS NOT NULL THEN
        IF NOT (j.kind || '@' || j.version) = ANY (p_served) THEN
            RETURN jsonb_build_object('reason', 'no_worker', 'message', 'no worker serves it');
        END IF;
    ELSIF NOT EXISTS (SELECT FROM workers
                       WHERE stopped_at IS NULL AND beat_at > now() - interval '30 s'
                         AND j.queue = ANY (queues) AND (j.kind || '@' || j.version) = ANY (serves)) THEN
        RETURN jsonb_build_object('reason', 'no_worker', 'message', 'no worker serves it');
    END IF;
    RETURN NULL;
END $$;
