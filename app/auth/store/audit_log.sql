-- name: record
INSERT INTO auth.audit_log_entries (payload, created_at, ip_address) VALUES (%(payload)s, %(moment)s, %(ip_address)s)
