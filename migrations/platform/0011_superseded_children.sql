-- A deletion may supersede the last open child of a parked parent: the parent must go on, as when a child ends.

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
        FOR v_other IN
            UPDATE jobs SET status = CASE WHEN status IN ('queued', 'retrying') THEN 'cancelled' ELSE 'cancelling' END,
                   ready = false, cancel_requested_at = now(), cancel_reason = 'superseded by ' || p_id,
                   updated_at = now(), finished_at = CASE WHEN status IN ('queued', 'retrying') THEN now() END
             WHERE project_id = p_project AND status IN ('queued', 'retrying', 'running') AND NOT past_return
            RETURNING *
        LOOP
            PERFORM tell_job(v_other);
            IF v_other.finished_at IS NOT NULL THEN
                PERFORM release_parent(v_other.parent_id);  -- the relay rings for it
            END IF;
        END LOOP;
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
