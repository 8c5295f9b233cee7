-- The job table is the truth. What runs is held by a lease and a fence; what waits can say why.

-- What the code that serves this installation knows about each kind; written by workers when they start.
CREATE TABLE job_kinds (
    served      text PRIMARY KEY,                     -- kind@version
    kind        text NOT NULL,
    version     smallint NOT NULL,
    max_running integer,                              -- null: no limit
    conflicts   text[] NOT NULL DEFAULT '{}',         -- kinds of the same project that must not run at the same time
    steps       text[] NOT NULL                       -- in order; pinned into job_steps by a job's first claim
);

CREATE TABLE workers (
    name       text PRIMARY KEY,
    lock_key   integer NOT NULL UNIQUE,               -- held by the worker's liveness session, class 19524 ('LD')
    host       text NOT NULL,
    pid        integer NOT NULL,
    queues     text[] NOT NULL,
    serves     text[] NOT NULL,                       -- kind@version
    threads    integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at    timestamptz NOT NULL DEFAULT now(),
    stopped_at timestamptz
) WITH (fillfactor = 70);
CREATE SEQUENCE worker_lock_key AS integer CYCLE;

CREATE TABLE queues (
    name      text PRIMARY KEY,
    paused_at timestamptz,
    paused_by text
);
INSERT INTO queues (name) VALUES ('control'), ('bulk');

CREATE TABLE jobs (
    id              text PRIMARY KEY CHECK (id ~ '^job_[0-9a-f]{32}$'),
    seq             bigint GENERATED ALWAYS AS IDENTITY,  -- order inside a lane
    kind            text NOT NULL,
    version         smallint NOT NULL DEFAULT 1,
    queue           text NOT NULL,
    lane            text,                             -- '<project>/control' or '/bulk'; null: runs beside anything
    project_id      text,                             -- no foreign key: the history outlives the project
    owner_id        text,
    args            jsonb NOT NULL DEFAULT '{}',
    status          text NOT NULL DEFAULT 'queued'
                    CHECK (status IN ('queued', 'running', 'retrying', 'cancelling', 'succeeded', 'failed', 'cancelled')),
    ready           boolean NOT NULL DEFAULT true,    -- head of its lane: only these are looked at by a claim
    priority        smallint NOT NULL DEFAULT 0,
    preempts        boolean NOT NULL DEFAULT false,   -- does not wait behind a lane head that is in back-off
    run_at          timestamptz NOT NULL DEFAULT now(),
    claim_after     timestamptz NOT NULL DEFAULT now(),  -- run_at − priority × a minute: a static order, no starvation
    attempt         smallint NOT NULL DEFAULT 0,
    max_attempts    smallint NOT NULL DEFAULT 5,
    crashes         smallint NOT NULL DEFAULT 0,      -- worker deaths on this job
    fence           bigint NOT NULL DEFAULT 0,        -- raised by every claim; named by every write of a runner
    worker          text,
    leased_until    timestamptz,
    undoing         boolean NOT NULL DEFAULT false,   -- the way back: steps are undone, newest first
    cancel_requested_at timestamptz,
    cancel_reason   text,
    past_return     boolean NOT NULL DEFAULT false,   -- past the point of no return: a cancel is refused
    progress_step   text,
    progress_done   bigint NOT NULL DEFAULT 0,
    progress_total  bigint NOT NULL DEFAULT 0,
    progress_message text,
    result          jsonb,
    error           jsonb,
    parent_id       text REFERENCES jobs ON DELETE CASCADE,
    parked          boolean NOT NULL DEFAULT false,   -- a parent that waits for its children, in no worker's slot
    max_children    integer,                          -- how many children of this job may run at a time
    created_by      text NOT NULL DEFAULT 'system',
    request_id      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    finished_at     timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- What a claim reads.
CREATE INDEX jobs_claim ON jobs (queue, claim_after, seq) WHERE ready AND status IN ('queued', 'retrying');
-- One running job per lane, whatever the code believes.
CREATE UNIQUE INDEX jobs_lane_runs ON jobs (lane) WHERE status IN ('running', 'cancelling');
CREATE INDEX jobs_lane_open ON jobs (lane, seq) WHERE status IN ('queued', 'retrying', 'running', 'cancelling');
CREATE INDEX jobs_running ON jobs (kind) WHERE status IN ('running', 'cancelling');
CREATE INDEX jobs_project ON jobs (project_id, id);
CREATE INDEX jobs_owner ON jobs (owner_id, id);
CREATE INDEX jobs_parent ON jobs (parent_id, status) WHERE parent_id IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE job_steps (
    job_id      text NOT NULL REFERENCES jobs ON DELETE CASCADE,
    name        text NOT NULL,
    position    smallint NOT NULL,
    status      text NOT NULL DEFAULT 'pending'
                CHECK (status IN ('pending', 'running', 'succeeded', 'skipped', 'failed', 'undone')),
    attempt     smallint NOT NULL DEFAULT 0,
    started_at  timestamptz,
    finished_at timestamptz,
    message     text,
    PRIMARY KEY (job_id, name)
) WITH (fillfactor = 70);

CREATE TABLE job_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id     text NOT NULL REFERENCES jobs ON DELETE CASCADE,
    type       text NOT NULL CHECK (type IN ('job', 'step', 'log')),
    data       jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX job_events_job ON job_events (job_id, id);
CREATE INDEX job_events_age ON job_events (created_at);

-- The ledger: what was or may have been made outside, written before it is made.
CREATE TABLE resources (
    kind       text NOT NULL,                         -- database, role, instance, folder, …
    name       text NOT NULL,
    project_id text NOT NULL,
    job_id     text NOT NULL,
    step       text NOT NULL,
    fence      bigint NOT NULL,
    state      text NOT NULL CHECK (state IN ('intended', 'present', 'releasing', 'gone')),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name)
);
CREATE INDEX resources_project ON resources (project_id);

CREATE TABLE schedules (
    name       text PRIMARY KEY,
    kind       text NOT NULL,
    args       jsonb NOT NULL DEFAULT '{}',
    cron       text NOT NULL,
    timezone   text NOT NULL DEFAULT 'UTC',
    enabled    boolean NOT NULL DEFAULT true,
    catch_up   text NOT NULL DEFAULT 'latest' CHECK (catch_up IN ('skip', 'latest', 'all')),
    jitter_seconds integer NOT NULL DEFAULT 0,
    overlap    text NOT NULL DEFAULT 'skip' CHECK (overlap IN ('skip', 'queue', 'replace')),
    counts_from timestamptz NOT NULL DEFAULT now(),  -- slots up to this moment do not count
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE schedule_slots (
    schedule text NOT NULL REFERENCES schedules ON DELETE CASCADE,
    slot     timestamptz NOT NULL,
    job_id   text,
    PRIMARY KEY (schedule, slot)
);

-- Why a job waits, or null when a worker may take it. The claim and `waitingFor` both ask this, so they agree.
-- p_served: what the asking worker serves; null: what any live worker serves.
CREATE FUNCTION job_waiting_for(j jobs, p_served text[] DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_kind  job_kinds;
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

-- Make the right jobs of a lane ready: its oldest open job, and while that one rests in back-off also the oldest
-- that need not wait behind it. Called under the lane's lock after every change of who is open in the lane.
CREATE FUNCTION refresh_lane(p_lane text) RETURNS void LANGUAGE plpgsql AS $$
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

CREATE FUNCTION lock_lane(p_lane text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(19525, hashtext(p_lane)) WHERE p_lane IS NOT NULL
$$;

-- One line of a job's history, as the event stream shows it.
CREATE FUNCTION tell_job(p_job jobs) RETURNS void LANGUAGE sql AS $$
    INSERT INTO job_events (job_id, type, data)
    VALUES ((p_job).id, 'job', jsonb_build_object(
        'status', (p_job).status, 'attempt', (p_job).attempt, 'undoing', (p_job).undoing, 'error', (p_job).error))
$$;

-- The one door in. Folds into an open job where the kind says so, supersedes what a deletion makes pointless,
-- and finds out whether the new job heads its lane. Returns the new job, or the one it folded into.
CREATE FUNCTION enqueue_job(
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

-- Take the best claimable job for a worker: raise the fence, start the lease, pin the steps. No row: nothing can run.
CREATE FUNCTION claim_job(p_worker text, p_queues text[], p_served text[], p_lease interval) RETURNS SETOF jobs
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

-- The last child to come to rest lets its parent go on. The parent's row is the lock: two last children take turns.
-- Returns the parent that may run now.
CREATE FUNCTION release_parent(p_parent text) RETURNS SETOF jobs LANGUAGE plpgsql AS $$
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

-- Let a running parent rest, in no worker's slot, until its children have. Returns false when none is open any more,
-- null when the lease was lost.
CREATE FUNCTION park_job(p_id text, p_fence bigint) RETURNS boolean LANGUAGE plpgsql AS $$
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

-- Let go of a running job into another state, under its fence. Returns nothing when the lease was lost; otherwise the
-- job and the one its lane may run next. p_status 'queued' gives it back (p_refund: as if this attempt never was).
-- p_step: the step whose checkpoint goes with it.
CREATE FUNCTION release_job(
    p_id text, p_fence bigint, p_status text, p_delay interval, p_refund boolean, p_result jsonb, p_error jsonb,
    p_step text, p_step_status text, p_step_message text)
RETURNS TABLE (released jobs, next_id text, next_queue text)
LANGUAGE plpgsql AS $$
DECLARE
    v_job jobs;
BEGIN
    PERFORM lock_lane(lane) FROM jobs WHERE id = p_id;
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
        INSERT INTO job_events (job_id, type, data) VALUES (p_id, 'step', jsonb_build_object(
            'name', p_step, 'status', p_step_status, 'message', p_step_message));
    END IF;
    PERFORM tell_job(v_job);
    PERFORM refresh_lane(v_job.lane);
    IF v_job.finished_at IS NOT NULL AND v_job.parent_id IS NOT NULL THEN
        RETURN QUERY SELECT v_job, p.id, p.queue FROM release_parent(v_job.parent_id) AS p;
    END IF;
    RETURN QUERY SELECT v_job, j.id, j.queue FROM (SELECT 1) AS once
        LEFT JOIN LATERAL (SELECT id, queue FROM jobs WHERE lane = v_job.lane AND ready AND run_at <= now()
                            AND status IN ('queued', 'retrying') ORDER BY seq LIMIT 1) AS j ON true;
END $$;
