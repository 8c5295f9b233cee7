-- What a job's rows cost at every step: a foreign key asks for the job again for each event, and a check of an id that
-- never changes is made at each update. Steps and events are written by functions alone that hold the job's row, so that
-- what is left to be seen to is the deletion of a job.

ALTER TABLE job_steps DROP CONSTRAINT job_steps_job_id_fkey;
ALTER TABLE job_events DROP CONSTRAINT job_events_job_id_fkey;

CREATE FUNCTION jobs_take_their_history_along() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM job_steps USING gone WHERE job_id = gone.id;
    DELETE FROM job_events USING gone WHERE job_id = gone.id;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_take_their_history_along AFTER DELETE ON jobs REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_take_their_history_along();

ALTER TABLE jobs DROP CONSTRAINT jobs_id_check;
CREATE FUNCTION jobs_have_ids_of_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id !~ '^job_[0-9a-f]{32}$' THEN
        RAISE check_violation USING MESSAGE = 'this is no id of a job', TABLE = 'jobs', COLUMN = 'id';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER jobs_have_ids_of_jobs BEFORE INSERT OR UPDATE OF id ON jobs
    FOR EACH ROW EXECUTE FUNCTION jobs_have_ids_of_jobs();

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
BEGIN
    FOREACH v_queue IN ARRAY p_queues LOOP
        -- The reasons of each of its jobs are not asked for when they all have this one.
        CONTINUE WHEN EXISTS (SELECT FROM queues WHERE name = v_queue AND paused_at IS NOT NULL);
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
