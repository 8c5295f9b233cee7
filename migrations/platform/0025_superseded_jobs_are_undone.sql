-- A job that a deletion makes pointless is one that is cancelled: what it had begun is undone as its kind says. What it
-- has made besides the project, a backup's files and row, is nothing that the deletion would remove.

-- The one door in. Folds into an open job where the kind says so, supersedes what a deletion makes pointless,
-- and finds out whether the new job heads its lane. Returns the new job, or the one it folded into.
CREATE OR REPLACE FUNCTION enqueue_job(
    p_id text, p_kind text, p_version smallint, p_queue text, p_lane text, p_project text, p_owner text, p_args jsonb,
    p_priority smallint, p_preempts boolean, p_supersedes boolean, p_coalesces boolean, p_attempts smallint,
    p_run_at timestamptz, p_parent text, p_max_children integer, p_by text, p_request text) RETURNS jobs
LANGUAGE plpgsql AS $$
DECLARE
    v_job   jobs;
    v_other jobs;
BEGIN
    IF p_supersedes THEN
        PERFORM lock_lane(p_project || '/bulk');  -- always before the lane of control, so that nobody waits in a circle
    END IF;
    PERFORM lock_lane(p_lane);
    IF p_coalesces OR p_supersedes THEN
        SELECT * INTO v_job FROM jobs
         WHERE kind = p_kind AND args = p_args AND lane IS NOT DISTINCT FROM p_lane
           AND (status IN ('queued', 'retrying') OR p_supersedes AND status = 'running') ORDER BY seq LIMIT 1;
        IF FOUND THEN
            RETURN v_job;
        END IF;
    END IF;
    IF p_supersedes THEN
        -- What runs stops at its next safe point and is undone; what waits and had begun is taken at once, to be undone;
        -- of the rest there is nothing to take back.
        FOR v_other IN
            UPDATE jobs j SET status = CASE WHEN j.status = 'running' THEN 'cancelling' WHEN b.begun THEN 'queued'
                                            ELSE 'cancelled' END,
                   undoing = j.undoing OR b.begun AND j.status <> 'running', parked = false,
                   ready = b.begun AND j.status <> 'running' AND j.lane IS NULL,
                   attempt = CASE WHEN b.begun AND j.status <> 'running' THEN 0 ELSE j.attempt END,
                   crashes = CASE WHEN b.begun AND j.status <> 'running' THEN 0 ELSE j.crashes END,
                   run_at = CASE WHEN b.begun AND j.status <> 'running' THEN now() ELSE j.run_at END,
                   claim_after = CASE WHEN b.begun AND j.status <> 'running' THEN now() ELSE j.claim_after END,
                   cancel_requested_at = now(), cancel_reason = 'superseded by ' || p_id, updated_at = now(),
                   finished_at = CASE WHEN NOT b.begun AND j.status <> 'running' THEN now() END
              FROM (SELECT o.id, EXISTS (SELECT FROM job_steps s WHERE s.job_id = o.id
                                            AND s.status NOT IN ('pending', 'undone')) AS begun
                      FROM jobs o WHERE o.project_id = p_project AND o.status IN ('queued', 'retrying', 'running')) AS b
             WHERE j.id = b.id AND j.status IN ('queued', 'retrying', 'running') AND NOT j.past_return
            RETURNING j.*
        LOOP
            PERFORM tell_job(v_other);
            IF v_other.finished_at IS NOT NULL THEN
                PERFORM release_parent(v_other.parent_id);  -- the relay rings for it
            END IF;
        END LOOP;
        PERFORM refresh_lane(p_project || '/bulk');
    END IF;
    INSERT INTO jobs (id, kind, version, queue, lane, project_id, owner_id, args, priority, preempts, max_attempts,
                      run_at, claim_after, parent_id, max_children, created_by, request_id, ready)
    VALUES (p_id, p_kind, p_version, p_queue, p_lane, p_project, p_owner, p_args, p_priority, p_preempts, p_attempts,
            coalesce(p_run_at, now()), coalesce(p_run_at, now()) - p_priority * interval '1 minute', p_parent,
            p_max_children, p_by, p_request, p_lane IS NULL OR NOT EXISTS (
                SELECT FROM jobs WHERE lane = p_lane AND status IN ('queued', 'retrying', 'running', 'cancelling')))
    RETURNING * INTO v_job;
    IF NOT v_job.ready THEN
        PERFORM refresh_lane(p_lane);  -- it may go before a head in back-off
        SELECT * INTO v_job FROM jobs WHERE id = p_id;
    END IF;
    PERFORM tell_job(v_job);
    RETURN v_job;
END $$;

-- The same promise as before, and no step of a job that has ended is left running: on the way back it was broken off and
-- what it had begun is undone with the rest; otherwise it has failed with its job.
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
    IF p_status IN ('failed', 'cancelled') THEN
        WITH ended AS (
            UPDATE job_steps SET finished_at = clock_timestamp(),
                   status = CASE WHEN v_job.undoing THEN 'undone' ELSE 'failed' END
             WHERE job_id = p_id AND status = 'running' RETURNING name, status)
        INSERT INTO job_events (job_id, type, data)
        SELECT p_id, 'step', jsonb_build_object('name', name, 'status', status, 'message', NULL) FROM ended;
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
