-- A rotated secret is stored before it is in force: until everything that checks it knows it, the old one is shown.
ALTER TABLE secrets ADD COLUMN coming boolean NOT NULL DEFAULT false;
