-- What in a project takes every request for somebody who is not logged in by the data API, as the last look has found it:
-- packages for claims that open themselves to whoever is not `authenticator`. Named by the doctor; nothing of it is changed.

ALTER TABLE projects ADD COLUMN mistaken_logins text[] NOT NULL DEFAULT '{}';
CREATE INDEX projects_mistaken_logins ON projects (id) WHERE mistaken_logins <> '{}';
