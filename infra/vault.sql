-- name: canary
SELECT master_key_id, sealed FROM master_key_canary;

-- name: lay_canary
-- The first start decides; another one that was as quick finds the row.
INSERT INTO master_key_canary (master_key_id, sealed) VALUES (%(key)s, %(sealed)s) ON CONFLICT DO NOTHING;
