-- Each change of a job's state writes a row version, and an entry for it in each index whose condition it meets. What no
-- query looks for by an index needs no entry there.

-- Jobs of the platform have no project and often no owner: nobody looks for those by them.
DROP INDEX jobs_project;
CREATE INDEX jobs_project ON jobs (project_id, id) WHERE project_id IS NOT NULL;
DROP INDEX jobs_owner;
CREATE INDEX jobs_owner ON jobs (owner_id, id) WHERE owner_id IS NOT NULL;

-- The running ones are few, and jobs_lane_runs holds them all: their kinds are counted by it.
DROP INDEX jobs_running;

-- Events are read by job and in order, and grow old in the order in which they were written.
ALTER TABLE job_events DROP CONSTRAINT job_events_pkey;
ALTER TABLE job_events ADD PRIMARY KEY (job_id, id);
DROP INDEX job_events_job;
DROP INDEX job_events_age;
CREATE INDEX job_events_age ON job_events USING brin (created_at) WITH (pages_per_range = 16, autosummarize = on);

-- A step is written when it is pinned and again when it ends: the second version fits beside the first.
ALTER TABLE job_steps SET (fillfactor = 70);
