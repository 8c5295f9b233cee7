-- What an operator has changed of a schedule stays; the rest follows the default of the program that runs.
ALTER TABLE schedules ADD COLUMN changed_at timestamptz;
-- The last job that somebody asked for, beside those of the slots.
ALTER TABLE schedules ADD COLUMN asked_job_id text;
