-- How a project's database stands to its databaseQuotaMb: as it was when it was last looked at.

ALTER TABLE projects ADD COLUMN quota_state text NOT NULL DEFAULT 'free'
    CHECK (quota_state IN ('free', 'warned', 'over'));
CREATE INDEX projects_quota ON projects (id) WHERE quota_state <> 'free';
