-- What differs inside a project's database and was not healed, and what each version of the template holds.

ALTER TABLE projects ADD COLUMN drift text[] NOT NULL DEFAULT '{}';

CREATE TABLE template_objects (
    template text PRIMARY KEY,                            -- the template database that projects were copied from
    objects  jsonb NOT NULL,
    made_at  timestamptz NOT NULL DEFAULT now()
);
