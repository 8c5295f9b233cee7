-- As before, with less asked of jobs that can only be claimed.

-- Take the best claimable job for a worker: raise the fence, start the lease, pin the steps, and on a first attempt begin
-- the first of them (begun: its name). No row: nothing can run.
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
