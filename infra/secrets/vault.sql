-- name: canary
SELECT master_key_id, sealed FROM master_key_canary;

-- name: lay_canary
-- The first start decides; another one that was as quick finds the row.
INSERT INTO master_key_canary (master_key_id, sealed) VALUES (%(key)s, %(sealed)s) ON CONFLICT DO NOTHING;

-- name: reseal_canary
-- Whoever is storing a data key holds the row shared: we wait, and who comes later reads the new name.
UPDATE master_key_canary SET master_key_id = %(key)s, sealed = %(sealed)s, next_master_key_id = NULL
 WHERE master_key_id <> %(key)s OR next_master_key_id IS NOT NULL;

-- name: expect
UPDATE master_key_canary SET next_master_key_id = %(key)s WHERE master_key_id <> %(key)s;

-- name: expect_none
UPDATE master_key_canary SET next_master_key_id = NULL WHERE next_master_key_id = %(key)s;
