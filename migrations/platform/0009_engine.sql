-- The audit's chain. A link is eight bytes, the id of the row before it, and the SHA-256 of that row's link with this
-- row's content: so a row that is missing can be named, not only noticed.

-- Where the chain ends: rows cut off its end are missed too.
CREATE TABLE audit_chain (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_id   bigint NOT NULL DEFAULT 0,
    link      bytea NOT NULL DEFAULT '',
    sealed_at timestamptz
);
INSERT INTO audit_chain DEFAULT VALUES;

-- What of a row is sealed: everything, in a form that depends on no setting of the session.
CREATE FUNCTION audit_link(p_row audit, p_last bigint, p_link bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT int8send(p_last) || sha256(p_link || convert_to(jsonb_build_array(
        p_last, (p_row).id, (extract(epoch FROM (p_row).at) * 1000000)::bigint, (p_row).actor, (p_row).action,
        (p_row).outcome, (p_row).address, (p_row).request_id, (p_row).owner_id, (p_row).project_id, (p_row).job_id,
        (p_row).detail)::text, 'UTF8'))
$$;

-- Chain the rows up to an id, in the order of their ids. Two sealers take turns by the row that ends the chain.
CREATE FUNCTION seal_audit(p_upto bigint, p_most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_chain audit_chain;
    v_row   audit;
    v_count integer := 0;
BEGIN
    SELECT * INTO v_chain FROM audit_chain FOR UPDATE;
    FOR v_row IN SELECT * FROM audit WHERE id > v_chain.last_id AND id <= p_upto ORDER BY id LIMIT p_most LOOP
        v_chain.link := audit_link(v_row, v_chain.last_id, v_chain.link);
        v_chain.last_id := v_row.id;
        UPDATE audit SET chain_hash = v_chain.link WHERE id = v_row.id;
        v_count := v_count + 1;
    END LOOP;
    IF v_count > 0 THEN
        UPDATE audit_chain SET last_id = v_chain.last_id, link = v_chain.link, sealed_at = now();
    END IF;
    RETURN v_count;
END $$;
