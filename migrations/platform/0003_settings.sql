-- Which version of a project's settings its database and data API have been given. What only other services read
-- needs no job: such a version counts as given at once, unless an earlier one is still on its way.

ALTER TABLE project_settings
    ADD COLUMN applying_version integer NOT NULL DEFAULT 0,   -- what the running project.configure has begun with
    ADD COLUMN applied_version  integer NOT NULL DEFAULT 0;
