-- Whether jobs of a kind may have slots beyond their owner's share while nobody else waits for one.
ALTER TABLE job_kinds ADD COLUMN bursts boolean NOT NULL DEFAULT false;
