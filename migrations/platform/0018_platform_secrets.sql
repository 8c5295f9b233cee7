-- The platform's own secrets lie in files. Here is by what they are known, and since when; never what they are.

CREATE TABLE platform_rotations (
    job_id      text PRIMARY KEY,
    secret      text NOT NULL,                        -- as the API names it
    old_id      text,                                 -- by what the old one is known; null for one that people chose
    new_id      text,
    begun_at    timestamptz NOT NULL DEFAULT now(),
    in_force_at timestamptz,
    good_until  timestamptz,                          -- until when the old one is good besides
    retired_at  timestamptz
);
CREATE INDEX platform_rotations_secret ON platform_rotations (secret, in_force_at DESC);

-- Who said that a copy lies off this machine, and of which value.
CREATE TABLE secret_copies (
    secret          text PRIMARY KEY,
    value_id        text NOT NULL,
    acknowledged_by text NOT NULL,
    acknowledged_at timestamptz NOT NULL DEFAULT now()
);

-- While the master key is rotated, data keys may be wrapped by either; once it has, only by the newest.
ALTER TABLE master_key_canary ADD COLUMN next_master_key_id text;
CREATE INDEX data_keys_master_key ON data_keys (master_key_id);
