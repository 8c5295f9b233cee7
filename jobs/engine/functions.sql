-- number: 3
-- What the engine does inside the database: each function once, as it is in force. Whoever changes one raises the
-- number above; the file is applied anew, whole, in one transaction. Workers of the version before go on calling these:
-- what they call keeps its name, its arguments and its promise, or lives on beside its successor. One that nobody calls
-- any more, or whose arguments or result change, is dropped here by name: DROP FUNCTION IF EXISTS.

-- Functions of triggers come before the tables that name them. They look at no table until they run.

-- An id is looked at when it is written, not at each update of its row.
CREATE OR REPLACE FUNCTION jobs_have_ids_of_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id !~ '^job_[0-9a-f]{32}$' THEN
        RAISE check_violation USING MESSAGE = 'this is no id of a job', TABLE = 'jobs', COLUMN = 'id';
    END IF;
    RETURN NEW;
END $$;

-- Steps and events have no foreign key: they go with their job.
CREATE OR REPLACE FUNCTION jobs_take_their_history_along() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM job_steps USING gone WHERE job_id = gone.id;
    DELETE FROM job_events USING gone WHERE job_id = gone.id;
    RETURN NULL;
END $$;

-- after the tables

-- ---------------------------------------------------------------------------------------------------------------------
-- Lanes, and what is told
-- ---------------------------------------------------------------------------------------------------------------------

-- Whoever changes who is open in a lane holds this until the end of the transaction.
CREATE OR REPLACE FUNCTION lock_lane(p_lane text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(19525, hashtext(p_lane)) WHERE p_lane IS NOT NULL
$$;

-- Make the right jobs of a lane ready: its oldest open job, and while that one rests in back-off also the oldest
-- that need not wait behind it. Called under the lane's lock after every change of who is open in the lane.
CREATE OR REPLACE FUNCTION refresh_lane(p_lane text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_head jobs;
    v_over text;
BEGIN
    IF p_lane IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO v_head FROM jobs
     WHERE lane = p_lane AND status IN ('queued', 'retrying', 'running', 'cancelling') ORDER BY seq LIMIT 1;
    IF NOT FOUND OR v_head.parked THEN
        RETURN;
    END IF;
    IF v_head.status = 'retrying' THEN
        SELECT id INTO v_over FROM jobs WHERE lane = p_lane AND status = 'queued' AND preempts ORDER BY seq LIMIT 1;
    END IF;
    UPDATE jobs SET ready = (id = v_head.id OR id IS NOT DISTINCT FROM v_over)
     WHERE lane = p_lane AND status IN ('queued', 'retrying')
       AND ready IS DISTINCT FROM (id = v_head.id OR id IS NOT DISTINCT FROM v_over);
END $$;

-- One line of a job's history, as the event stream shows it.
CREATE OR REPLACE FUNCTION tell_job(p_job jobs) RETURNS void LANGUAGE sql AS $$
    INSERT INTO job_events (job_id, type, data)
    VALUES ((p_job).id, 'job', jsonb_build_object(
        'status', (p_job).status, 'attempt', (p_job).attempt, 'undoing', (p_job).undoing, 'error', (p_job).error))
$$;

-- ---------------------------------------------------------------------------------------------------------------------
-- In
-- ---------------------------------------------------------------------------------------------------------------------

-- The one door in. Folds into an open job where the kind says so, supersedes what a deletion makes pointless,
-- and finds out whether the new job heads its lane. Returns the new job, or the one it folded into.
-- A job that a deletion makes pointless is one that is cancelled: what it had begun is undone as its kind says. What it
-- has made besides the project, a backup's files and row, is nothing that the deletion would remove. When it was the
-- last open child of a parked parent, that one goes on, as when a child ends.
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

-- ---------------------------------------------------------------------------------------------------------------------
-- Why a job waits, and the claim
-- ---------------------------------------------------------------------------------------------------------------------

-- Of which owner's share of the slots a job of this project takes; null: of nobody's. What the platform does to a project of
-- theirs counts too. Where one owner has all the projects, all the slots are theirs.
CREATE OR REPLACE FUNCTION sharer_of(p_project text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT owner_id FROM projects p WHERE id = p_project
       AND EXISTS (SELECT FROM projects o WHERE o.owner_id <> p.owner_id AND o.status <> 'deleted')
$$;

-- How many threads the live workers of a queue have, and how many jobs have one.
CREATE OR REPLACE FUNCTION slots_of_queue(
    p_queue text, OUT slots bigint, OUT taken bigint, OUT taken_by_bulk bigint, OUT mixed boolean, OUT serves_control boolean)
LANGUAGE sql STABLE AS $$
    WITH serving AS MATERIALIZED (
        SELECT name, threads, queues FROM workers
         WHERE stopped_at IS NULL AND beat_at > now() - interval '30 s' AND p_queue = ANY (queues))
    SELECT coalesce(sum(threads), 0),
           (SELECT count(*) FROM jobs WHERE status IN ('running', 'cancelling') AND worker IN (SELECT name FROM serving)),
           (SELECT count(*) FROM jobs WHERE status IN ('running', 'cancelling') AND worker IN (SELECT name FROM serving)
                                            AND queue = 'bulk'),
           coalesce(bool_or('control' = ANY (queues) AND 'bulk' = ANY (queues)), false),
           coalesce(bool_or('control' = ANY (queues)), false)
      FROM serving
$$;

-- Whether a job of somebody else's project could begin in a queue, but for a slot or what it has to wait for besides.
CREATE OR REPLACE FUNCTION others_wait(p_queue text, p_sharer text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM jobs j JOIN projects p ON p.id = j.project_id
                    WHERE j.queue = p_queue AND j.ready AND NOT j.parked AND j.status IN ('queued', 'retrying')
                      AND j.run_at <= now() AND p.owner_id <> p_sharer)
$$;

-- Why a job has no slot although a worker may be free, or null: what is left is kept for others. Fewer than four slots are
-- not shared out between jobs, nor a single one between owners.
-- Where control is served a quarter is kept for jobs that go before others (a priority above 0). Bulk has no more than half
-- of workers that serve control as well. An owner has at most half of the slots of a queue, of what the kind may have at a
-- time, and of its parent's children; for a job that goes before others one more. Of a kind in which nothing of a tenant's
-- runs, which ends soon whatever they do, an owner has as many as there are while nobody else waits for one.
CREATE OR REPLACE FUNCTION job_lacks_slot(j jobs, p_kind job_kinds) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_sharer text := sharer_of(j.project_id);
    v        record;
    v_most   bigint;
    v_theirs record;
BEGIN
    SELECT * INTO v FROM slots_of_queue(j.queue);
    IF v.slots >= 4 AND j.priority <= 0
       AND (v.serves_control AND v.taken >= v.slots - v.slots / 4
            OR v.mixed AND j.queue = 'bulk' AND v.taken_by_bulk >= v.slots / 2) THEN
        RETURN jsonb_build_object('reason', 'limit', 'message', 'the last free workers are kept for what cannot wait');
    END IF;
    IF v_sharer IS NULL OR v.slots < 2 THEN
        RETURN NULL;
    END IF;
    SELECT count(*) FILTER (WHERE r.queue = j.queue) AS of_queue, count(*) FILTER (WHERE r.kind = j.kind) AS of_kind,
           count(*) FILTER (WHERE r.parent_id = j.parent_id) AS of_parent
      INTO v_theirs FROM jobs r JOIN projects p ON p.id = r.project_id
     WHERE r.status IN ('running', 'cancelling') AND p.owner_id = v_sharer AND r.id <> j.id;
    v_most := v.slots / 2 + CASE WHEN j.priority > 0 AND v.slots >= 4 THEN 1 ELSE 0 END;
    IF v_theirs.of_queue >= v_most AND NOT (p_kind.bursts AND NOT others_wait(j.queue, v_sharer)) THEN
        RETURN jsonb_build_object('reason', 'limit', 'limit', v_most,
                                  'message', v_most || ' jobs of the same owner run already, which is their share');
    END IF;
    v_most := CASE WHEN p_kind.max_running IS NOT NULL THEN greatest(1, p_kind.max_running / 2) END;
    IF v_theirs.of_kind >= v_most THEN
        RETURN jsonb_build_object('reason', 'limit', 'limit', v_most, 'message',
                                  v_most || ' jobs of this kind of the same owner run already, which is their share');
    END IF;
    IF j.parent_id IS NOT NULL THEN
        SELECT CASE WHEN max_children IS NOT NULL THEN greatest(1, max_children / 2) END INTO v_most
          FROM jobs WHERE id = j.parent_id;
        IF v_theirs.of_parent >= v_most THEN
            RETURN jsonb_build_object('reason', 'limit', 'limit', v_most, 'message',
                                      v_most || ' jobs of its parent and of the same owner run already');
        END IF;
    END IF;
    RETURN NULL;
END $$;

-- Why a job waits, or null when a worker may take it. The claim and `waitingFor` both ask this, so they agree.
-- p_served: what the asking worker serves; null: what any live worker serves.
-- A kind that must not run beside another is named by one of the two, and each of them waits for the other: the one
-- that runs already is waited for, whichever of them says so. A job of a kind that needs a dependency waits while that
-- one's breaker is open.
CREATE OR REPLACE FUNCTION job_waiting_for(j jobs, p_served text[] DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_kind  job_kinds;
    v_away  breakers;
    v_other text;
    v_count bigint;
    v_limit integer;
    v_slot  jsonb;
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
    v_slot := job_lacks_slot(j, v_kind);
    IF v_slot IS NOT NULL THEN
        RETURN v_slot;
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

-- The row of a job that a worker has locked becomes an attempt at it. p_begun: the step that begins with it.
CREATE OR REPLACE FUNCTION start_attempt(p_id text, p_worker text, p_lease interval, p_steps integer, p_begun text) RETURNS jobs
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
CREATE OR REPLACE FUNCTION tell_attempt(p_job jobs, p_steps text[], p_begun text) RETURNS void LANGUAGE plpgsql AS $$
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

-- Take the best claimable job for a worker: raise the fence, start the lease, pin the steps, and on a first attempt
-- begin the first of them (begun: its name). No row: nothing can run.
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
    -- Kinds of which nothing can stand in the way of a job without project, lane and parent while no breaker is open: all
    -- that job_waiting_for would ask is known then, and it need not be asked for each of them.
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
               AND (j.project_id IS NULL AND j.lane IS NULL AND j.parent_id IS NULL AND NOT j.parked AND (j.kind || '@' || j.version) = ANY (v_plain)
                    OR job_waiting_for(j, p_served) IS NULL)
             ORDER BY j.claim_after, j.seq LIMIT 1
             FOR UPDATE SKIP LOCKED;
            EXIT WHEN NOT FOUND;
            SELECT * INTO v_kind FROM job_kinds WHERE served = v_job.kind || '@' || v_job.version;
            IF v_kind.max_running IS NOT NULL OR v_job.parent_id IS NOT NULL
               OR v_job.project_id IS NOT NULL THEN
                -- Limits, shares and conflicts are counted from running rows, so counting and claiming must not interleave.
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

-- The claim of the first workers, which begins no step. Newer ones call take_job.
CREATE OR REPLACE FUNCTION claim_job(p_worker text, p_queues text[], p_served text[], p_lease interval) RETURNS SETOF jobs
LANGUAGE plpgsql AS $$
DECLARE
    v_queue   text;
    v_job     jobs;
    v_kind    job_kinds;
    v_passed  text[] := '{}';
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
            IF v_kind.max_running IS NOT NULL OR v_job.parent_id IS NOT NULL OR cardinality(v_kind.conflicts) > 0
               OR EXISTS (SELECT FROM job_kinds WHERE v_job.kind = ANY (conflicts)) THEN
                -- Limits and conflicts are counted from running rows, so counting and claiming must not interleave.
                -- Nobody waits for our row lock (claims skip locked rows), so waiting here cannot dead-lock.
                PERFORM pg_advisory_xact_lock(19526, 0);
                IF job_waiting_for(v_job, p_served) IS NOT NULL THEN
                    v_passed := v_passed || v_job.id;
                    CONTINUE;
                END IF;
            END IF;
            BEGIN
                UPDATE jobs j SET status = 'running', ready = false, fence = j.fence + 1, attempt = j.attempt + 1,
                       worker = p_worker, leased_until = clock_timestamp() + p_lease, updated_at = now(),
                       progress_total = greatest(j.progress_total, cardinality(v_kind.steps)),
                       started_at = coalesce(j.started_at, now())
                 WHERE j.id = v_job.id RETURNING j.* INTO v_job;
            EXCEPTION WHEN unique_violation THEN
                v_passed := v_passed || v_job.id;  -- its lane began to run another job since we looked
                CONTINUE;
            END;
            IF v_job.fence = 1 THEN
                INSERT INTO job_steps (job_id, name, position)
                SELECT v_job.id, name, position FROM unnest(v_kind.steps) WITH ORDINALITY AS step (name, position);
            END IF;
            PERFORM tell_job(v_job);
            RETURN NEXT v_job;
            RETURN;
        END LOOP;
    END LOOP;
END $$;

-- ---------------------------------------------------------------------------------------------------------------------
-- While a job runs
-- ---------------------------------------------------------------------------------------------------------------------

-- The checkpoint: one step ends (or none, at the start), the next begins (or none, on the way back). Nothing comes back
-- when the lease is lost. A step past which there is no return is not begun while somebody wants the job stopped.
CREATE OR REPLACE FUNCTION advance_job(
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

-- Let a running parent rest, in no worker's slot, until its children have. Returns false when none is open any more,
-- null when the lease was lost.
CREATE OR REPLACE FUNCTION park_job(p_id text, p_fence bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    SELECT * INTO v_job FROM jobs WHERE id = p_id AND fence = p_fence AND status IN ('running', 'cancelling') FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF v_job.status = 'cancelling' OR NOT EXISTS (
           SELECT FROM jobs WHERE parent_id = p_id AND status NOT IN ('succeeded', 'failed', 'cancelled')) THEN
        RETURN false;
    END IF;
    UPDATE jobs SET status = 'queued', parked = true, ready = false, attempt = attempt - 1, leased_until = NULL,
           updated_at = now() WHERE id = p_id RETURNING * INTO v_job;
    PERFORM tell_job(v_job);
    RETURN true;
END $$;

-- ---------------------------------------------------------------------------------------------------------------------
-- The end of an attempt
-- ---------------------------------------------------------------------------------------------------------------------

-- The last child to come to rest lets its parent go on. The parent's row is the lock: two last children take turns.
-- Returns the parent that may run now.
CREATE OR REPLACE FUNCTION release_parent(p_parent text) RETURNS SETOF jobs LANGUAGE plpgsql AS $$
BEGIN
    IF p_parent IS NULL THEN
        RETURN;
    END IF;
    PERFORM FROM jobs WHERE id = p_parent FOR UPDATE;
    RETURN QUERY
    UPDATE jobs SET parked = false, ready = true, updated_at = now()
     WHERE id = p_parent AND parked AND NOT EXISTS (
           SELECT FROM jobs WHERE parent_id = p_parent AND status NOT IN ('succeeded', 'failed', 'cancelled'))
    RETURNING *;
END $$;

-- Let go of a running job into another state, under its fence. Returns nothing when the lease was lost; otherwise the
-- job and the one its lane may run next. p_status 'queued' gives it back (p_refund: as if this attempt never was).
-- p_step: the step whose checkpoint goes with it. No step of a job that has ended is left running: on the way back it
-- was broken off and what it had begun is undone with the rest; otherwise it has failed with its job. Nothing is asked
-- of a lane for a job that has none.
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

-- End a job well, with its last step's checkpoint (p_step) or none, and take the next: one transaction. Nothing comes
-- back when the lease was lost. rings: [queue, id] of jobs that may run now besides the one taken; job: that one, or
-- null.
CREATE OR REPLACE FUNCTION finish_job(
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

-- ---------------------------------------------------------------------------------------------------------------------
-- Dependencies that are away
-- ---------------------------------------------------------------------------------------------------------------------

-- A job failed because a dependency was away. Returns how many seconds its kind waits, or null while the breaker is
-- closed. Failures of several jobs at the same moment count: that many in a row is what makes it sure.
CREATE OR REPLACE FUNCTION trip_breaker(p_dependency text, p_kind text, p_most integer, p_window interval, p_pause interval)
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

-- ---------------------------------------------------------------------------------------------------------------------
-- What ended jobs tell, in sums
-- ---------------------------------------------------------------------------------------------------------------------

-- The upper ends of the buckets, in seconds.
CREATE OR REPLACE FUNCTION history_bounds() RETURNS double precision[] LANGUAGE sql IMMUTABLE AS $$
    SELECT '{0.005,0.02,0.05,0.1,0.25,0.5,1,2.5,5,10,30,60,300,1800,7200}'::double precision[]
$$;

-- How many took at most as long as each bound.
CREATE OR REPLACE FUNCTION history_buckets(p_took double precision[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg((SELECT count(*) FROM unnest(p_took) AS took WHERE took <= bound) ORDER BY bound)
      FROM unnest(history_bounds()) AS bound
$$;

-- Take jobs that have ended since the last time into the sums; returns how many. A job's end bears the time at which
-- its transaction began, so whatever is older than the oldest open transaction is all there; nobody holds that up for
-- longer than a minute.
CREATE OR REPLACE FUNCTION gather_history(p_most integer) RETURNS integer LANGUAGE plpgsql AS $$
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

-- ---------------------------------------------------------------------------------------------------------------------
-- What a dead worker has left open
-- ---------------------------------------------------------------------------------------------------------------------

-- End the sessions of this attempt at a job and of older ones, and wait until they are gone. They may be the
-- administrator's, whom nobody else may end: so whoever finds dead workers asks for these by their name, and for no others.
CREATE OR REPLACE FUNCTION end_attempt_sessions(p_id text, p_fence bigint) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
    SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid, 2000)) FROM pg_catalog.pg_stat_activity
     WHERE p_id ~ '^job_[0-9a-f]{32}$' AND application_name ~ ('^launchdb:' || p_id || ':[0-9]+$')
       AND pg_catalog.split_part(application_name, ':', 3)::bigint <= p_fence;
$$;
REVOKE ALL ON FUNCTION end_attempt_sessions(text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION end_attempt_sessions(text, bigint) TO launchdb_scheduler, launchdb_worker;
