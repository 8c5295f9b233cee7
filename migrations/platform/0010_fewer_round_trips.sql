-- A worker under load asks once a step: the claim begins the first step, a checkpoint is one call, and who ends a job is
-- given the next in the same transaction. The older functions keep their promises: older workers call them.

-- Whether the claim may begin a kind's first step: one past which the job can still be cancelled. False until a worker
-- that knows of it says so.
ALTER TABLE job_kinds ADD COLUMN claim_begins boolean NOT NULL DEFAULT false;

-- The row of a job that a worker has locked becomes an attempt at it. p_begun: the step that begins with it.
CREATE FUNCTION start_attempt(p_id text, p_worker text, p_lease interval, p_steps integer, p_begun text) RETURNS jobs
LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    UPDATE jobs j SET status = 'running', ready = false, fence = j.fence + 1, attempt = j.attempt + 1,
           worker = p_worker, leased_until = clock_timestamp() + p_lease, updated_at = now(),
           progress_total = greatest(j.progress_total, p_steps), progress_step = coalesce(p_begun, j.progress_step),
           started_at = coalesce(j.started_at, now())
     WHERE j.id = p_id RETURNING j.* INTO v_job;
    RETURN v_job;
END $$;

-- Pin the steps at a first attempt, and tell of the attempt and of the step that began with it.
CREATE FUNCTION tell_attempt(p_job jobs, p_steps text[], p_begun text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_job.fence = 1 THEN
        INSERT INTO job_steps (job_id, name, position, status, attempt, started_at)
        SELECT p_job.id, step, position, CASE WHEN step = p_begun THEN 'running' ELSE 'pending' END,
               CASE WHEN step = p_begun THEN 1 ELSE 0 END, CASE WHEN step = p_begun THEN clock_timestamp() END
          FROM unnest(p_steps) WITH ORDINALITY AS pinned (step, position);
    END IF;
    IF p_begun IS NULL THEN
        PERFORM tell_job(p_job);
        RETURN;
    END IF;
    INSERT INTO job_events (job_id, type, data)
    VALUES (p_job.id, 'job', jsonb_build_object('status', p_job.status, 'attempt', p_job.attempt,
                                                'undoing', p_job.undoing, 'error', p_job.error)),
           (p_job.id, 'step', jsonb_build_object('name', p_begun, 'status', 'running', 'attempt', 1));
END $$;

-- Take the best claimable job for a worker: raise the fence, start the lease, pin the steps, and on a first attempt begin
-- the first of them (begun: its name). No row: nothing can run.
CREATE FUNCTION take_job(p_worker text, p_queues text[], p_served text[], p_lease interval)
RETURNS TABLE (job jobs, begun text)
LANGUAGE plpgsql AS $$
DECLARE
    v_queue  text;
    v_job    jobs;
    v_kind   job_kinds;
    v_passed text[] := '{}';
BEGIN
    FOREACH v_queue IN ARRAY p_queues LOOP
        LOOP
            SELECT * INTO v_job FROM jobs j
             WHERE j.queue = v_queue AND j.ready AND j.status IN ('queued', 'retrying') AND j.run_at <= now()
               AND j.id <> ALL (v_passed) AND job_waiting_for(j, p_served) IS NULL
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

-- The checkpoint: one step ends (or none, at the start), the next begins (or none, on the way back). Nothing comes back
-- when the lease is lost. A step past which there is no return is not begun while somebody wants the job stopped.
CREATE FUNCTION advance_job(
    p_id text, p_fence bigint, p_step text, p_step_status text, p_message text, p_done bigint, p_total bigint,
    p_next text, p_no_return boolean)
RETURNS TABLE (status text, past_return boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_status  text;
    v_past    boolean;
    v_name    text;
    v_attempt smallint;
BEGIN
    UPDATE jobs SET progress_step = coalesce(p_next, progress_step), progress_done = coalesce(p_done, progress_done),
           progress_total = coalesce(p_total, progress_total), progress_message = NULL, updated_at = now(),
           past_return = past_return OR p_no_return AND status = 'running'
     WHERE id = p_id AND fence = p_fence AND status IN ('running', 'cancelling')
    RETURNING status, past_return INTO v_status, v_past;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF p_step IS NOT NULL THEN
        UPDATE job_steps SET status = p_step_status, finished_at = clock_timestamp(), message = p_message
         WHERE job_id = p_id AND name = p_step RETURNING name INTO v_name;
    END IF;
    IF p_next IS NOT NULL AND (v_status = 'running' OR v_past) THEN
        UPDATE job_steps SET status = 'running', attempt = attempt + 1, finished_at = NULL, message = NULL,
               started_at = clock_timestamp()
         WHERE job_id = p_id AND name = p_next RETURNING attempt INTO v_attempt;
    END IF;
    INSERT INTO job_events (job_id, type, data)
    SELECT p_id, 'step', said FROM (VALUES
        (1, v_name IS NOT NULL, jsonb_build_object('name', p_step, 'status', p_step_status, 'message', p_message)),
        (2, v_attempt IS NOT NULL, jsonb_build_object('name', p_next, 'status', 'running', 'attempt', v_attempt))
    ) AS news (turn, happened, said) WHERE happened ORDER BY turn;
    RETURN QUERY SELECT v_status, v_past;
END $$;

-- The same promise as before, with nothing asked of a lane for a job that has none, and both events in one statement.
CREATE OR REPLACE FUNCTION release_job(
    p_id text, p_fence bigint, p_status text, p_delay interval, p_refund boolean, p_result jsonb, p_error jsonb,
    p_step text, p_step_status text, p_step_message text)
RETURNS TABLE (released jobs, next_id text, next_queue text)
LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    PERFORM lock_lane(lane) FROM jobs WHERE id = p_id AND lane IS NOT NULL;
    UPDATE jobs SET status = p_status, leased_until = NULL, updated_at = now(),
           attempt = attempt - CASE WHEN p_refund THEN 1 ELSE 0 END,
           ready = lane IS NULL AND p_status IN ('queued', 'retrying'),
           run_at = CASE WHEN p_status IN ('queued', 'retrying') THEN now() + p_delay ELSE run_at END,
           claim_after = CASE WHEN p_status = 'retrying' THEN now() + p_delay ELSE claim_after END,
           progress_done = CASE WHEN p_status = 'succeeded' THEN progress_total ELSE progress_done END,
           result = coalesce(p_result, result), error = CASE WHEN p_status = 'succeeded' THEN NULL ELSE coalesce(p_error, error) END,
           finished_at = CASE WHEN p_status IN ('succeeded', 'failed', 'cancelled') THEN now() END
     WHERE id = p_id AND fence = p_fence AND status IN ('running', 'cancelling')
    RETURNING * INTO v_job;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF p_step IS NOT NULL THEN
        UPDATE job_steps SET status = p_step_status, finished_at = clock_timestamp(), message = p_step_message
         WHERE job_id = p_id AND name = p_step;
        INSERT INTO job_events (job_id, type, data)
        VALUES (p_id, 'step', jsonb_build_object('name', p_step, 'status', p_step_status, 'message', p_step_message)),
               (p_id, 'job', jsonb_build_object('status', v_job.status, 'attempt', v_job.attempt,
                                                'undoing', v_job.undoing, 'error', v_job.error));
    ELSE
        PERFORM tell_job(v_job);
    END IF;
    IF v_job.finished_at IS NOT NULL AND v_job.parent_id IS NOT NULL THEN
        PERFORM refresh_lane(v_job.lane);
        RETURN QUERY SELECT v_job, p.id, p.queue FROM release_parent(v_job.parent_id) AS p;
    ELSIF v_job.lane IS NULL THEN
        RETURN QUERY SELECT v_job, NULL::text, NULL::text;
        RETURN;
    ELSE
        PERFORM refresh_lane(v_job.lane);
    END IF;
    RETURN QUERY SELECT v_job, j.id, j.queue FROM (SELECT 1) AS once
        LEFT JOIN LATERAL (SELECT id, queue FROM jobs WHERE lane = v_job.lane AND ready AND run_at <= now()
                            AND status IN ('queued', 'retrying') ORDER BY seq LIMIT 1) AS j ON true;
END $$;

-- End a job well, with its last step's checkpoint (p_step) or none, and take the next: one transaction. Nothing comes
-- back when the lease was lost. rings: [queue, id] of jobs that may run now besides the one taken; job: that one, or null.
CREATE FUNCTION finish_job(
    p_id text, p_fence bigint, p_result jsonb, p_step text, p_worker text, p_queues text[], p_served text[],
    p_lease interval)
RETURNS TABLE (rings text[], job jobs, begun text)
LANGUAGE plpgsql AS $$
DECLARE
    v_next record;
    v_held boolean := false;
BEGIN
    FOR v_next IN SELECT r.next_id, r.next_queue
                    FROM release_job(p_id, p_fence, 'succeeded', interval '0', false, p_result, NULL,
                                     p_step, 'succeeded', NULL) AS r LOOP
        v_held := true;
        IF v_next.next_id IS NOT NULL THEN
            rings := rings || ARRAY[ARRAY[v_next.next_queue, v_next.next_id]];
        END IF;
    END LOOP;
    IF NOT v_held THEN
        RETURN;
    END IF;
    SELECT * INTO v_next FROM take_job(p_worker, p_queues, p_served, p_lease);
    job := v_next.job;
    begun := v_next.begun;
    RETURN NEXT;
END $$;
