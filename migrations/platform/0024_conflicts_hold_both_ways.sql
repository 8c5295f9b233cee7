-- A kind that must not run beside another is named by one of the two, and each of them waits for the other: the one that
-- runs already is waited for, whichever of them says so.

-- Why a job waits, or null when a worker may take it: as before, but a conflict is looked for in both lists.
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
    IF j.project_id IS NOT NULL THEN
        SELECT r.id INTO v_other FROM jobs r LEFT JOIN job_kinds k ON k.served = r.kind || '@' || r.version
         WHERE r.status IN ('running', 'cancelling') AND r.project_id = j.project_id AND r.id <> j.id
           AND (r.kind = ANY (v_kind.conflicts) OR j.kind = ANY (k.conflicts))
         ORDER BY r.seq LIMIT 1;
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

-- As before, and a job of a kind that another one names is none that can only be claimed.
CREATE OR REPLACE FUNCTION take_job(p_worker text, p_queues text[], p_served text[], p_lease interval)
RETURNS TABLE (job jobs, begun text)
LANGUAGE plpgsql AS $$
DECLARE
    v_queue  text;
    v_job    jobs;
    v_kind   job_kinds;
    v_passed text[] := '{}';
    v_plain  text[];
BEGIN
    -- Kinds of which nothing can stand in the way of a job without lane and parent while no breaker is open: there all
    -- that job_waiting_for would ask is known already, and it need not be asked for each of them.
    SELECT array_agg(served) INTO v_plain FROM job_kinds
     WHERE served = ANY (p_served) AND max_running IS NULL AND cardinality(conflicts) = 0
       AND NOT EXISTS (SELECT FROM job_kinds other WHERE job_kinds.kind = ANY (other.conflicts))
       AND NOT EXISTS (SELECT FROM breakers WHERE open_until IS NOT NULL);
    FOREACH v_queue IN ARRAY p_queues LOOP
        -- The reasons of each of its jobs are not asked for when they all have this one.
        CONTINUE WHEN EXISTS (SELECT FROM queues WHERE name = v_queue AND paused_at IS NOT NULL);
        LOOP
            SELECT * INTO v_job FROM jobs j
             WHERE j.queue = v_queue AND j.ready AND j.status IN ('queued', 'retrying') AND j.run_at <= now()
               AND j.id <> ALL (v_passed)
               AND (j.lane IS NULL AND j.parent_id IS NULL AND NOT j.parked AND (j.kind || '@' || j.version) = ANY (v_plain)
                    OR job_waiting_for(j, p_served) IS NULL)
             ORDER BY j.claim_after, j.seq LIMIT 1
             FOR UPDATE SKIP LOCKED;
            EXIT WHEN NOT FOUND;
            SELECT * INTO v_kind FROM job_kinds WHERE served = v_job.kind || '@' || v_job.version;
            IF v_kind.max_running IS NOT NULL OR v_job.parent_id IS NOT NULL
               OR v_job.project_id IS NOT NULL AND (cardinality(v_kind.conflicts) > 0 OR EXISTS (
                      SELECT FROM job_kinds WHERE v_job.kind = ANY (conflicts))) THEN
                -- Limits and conflicts are counted from running rows, so counting and claiming must not interleave.
                -- Nobody waits for our row lock (claims skip locked rows), so waiting here cannot dead-lock.
                PERFORM pg_advisory_xact_lock(19526, 0);
                IF job_waiting_for(v_job, p_served) IS NOT NULL THEN
                    v_passed := v_passed || v_job.id;
                    CONTINUE;
                END IF;
            END IF;
            begun := CASE WHEN v_kind.claim_begins AND v_job.fence = 0 AND NOT v_job.undoing
                           AND v_job.cancel_requested_at IS NULL THEN v_kind.steps[1] END;
            IF v_job.lane IS NULL THEN
                job := start_attempt(v_job.id, p_worker, p_lease, cardinality(v_kind.steps), begun);
            ELSE
                BEGIN
                    job := start_attempt(v_job.id, p_worker, p_lease, cardinality(v_kind.steps), begun);
                EXCEPTION WHEN unique_violation THEN
                    v_passed := v_passed || v_job.id;  -- its lane began to run another job since we looked
                    CONTINUE;
                END;
            END IF;
            PERFORM tell_attempt(job, v_kind.steps, begun);
            RETURN NEXT;
            RETURN;
        END LOOP;
    END LOOP;
END $$;
