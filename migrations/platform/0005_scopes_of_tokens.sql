-- What a personal token may be used for. Those there are go on as before; a server of the version before makes such as
-- are no operator's.
ALTER TABLE personal_tokens
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{read,write}'
    CHECK (scopes <@ '{read,write,operate}'::text[] AND cardinality(scopes) > 0);
UPDATE personal_tokens SET scopes = '{operate,read,write}'
 WHERE owner_id IN (SELECT id FROM owners WHERE is_operator);
