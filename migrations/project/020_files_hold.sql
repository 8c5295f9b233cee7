-- by: administrator
-- While somebody is in here whose time is not over, no bytes of files are removed: a backup is copying what its dump
-- names, or a database of before a restore, which may come back, names what the live one does not.

CREATE TABLE launchdb.files_hold (
    holder text PRIMARY KEY,
    until timestamptz NOT NULL
);
GRANT SELECT ON launchdb.files_hold TO PUBLIC;
