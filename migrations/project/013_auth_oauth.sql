-- Sign-ins that wait for a provider, and how long sessions live.

SET LOCAL ROLE launchdb_tpl_auth;

-- Those for which a provider is to send somebody back, in GoTrue's columns and with more of what they are known by.
CREATE TABLE auth.oauth_client_states (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider_type text NOT NULL,
    code_verifier text,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Of the state that the provider brings back, which only the browser has.
    state_hash bytea UNIQUE,
    nonce text,
    flow_state_id uuid
);
CREATE INDEX oauth_client_states_created_at_idx ON auth.oauth_client_states (created_at);

-- Where a user without an address gets one from, and whom an address is looked for among.
CREATE INDEX identities_email_idx ON auth.identities (email text_pattern_ops);

-- Replaces a refresh token, or finds the one that has replaced it already, all in one: nothing is between the writes.
--
-- presented  the token that came
-- fresh      what is to replace it
-- moment     the present
-- reuse      for how long after its use a token older than the live one's parent counts as a lost answer's
-- lives      how long a token may lie unused
-- timebox    how long a session lives in all; null: for ever
-- idle       how long it lives without a refresh; null: for ever
-- single     whether it ends when its user has signed in anew
--
-- outcome    rotated, repeated (an answer was lost: `token` is the live one again), unknown, sessionless, expired,
--            inactive, superseded, banned, or stolen: an old one, for which the session is ended
CREATE FUNCTION auth.rotate_refresh_token(
    presented text, fresh text, moment timestamptz, reuse interval, lives interval,
    timebox interval DEFAULT NULL, idle interval DEFAULT NULL, single boolean DEFAULT false,
    OUT outcome text, OUT token text, OUT user_id uuid, OUT session_id uuid
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    came auth.refresh_tokens;
    live auth.refresh_tokens;
    session auth.sessions;
BEGIN
    SELECT * INTO came FROM auth.refresh_tokens r WHERE r.token = presented;
    IF NOT FOUND THEN
        outcome := 'unknown';
        RETURN;
    END IF;
    user_id := came.user_id;
    session_id := came.session_id;
    -- One at a time for each session; whoever waited sees what the others have written.
    SELECT * INTO session FROM auth.sessions s WHERE s.id = came.session_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        outcome := CASE WHEN came.session_id IS NULL THEN 'sessionless' ELSE 'unknown' END;
        RETURN;
    END IF;
    PERFORM FROM auth.users u WHERE u.id = came.user_id AND u.banned_until > moment;
    IF FOUND THEN
        outcome := 'banned';
        RETURN;
    END IF;
    SELECT * INTO came FROM auth.refresh_tokens r WHERE r.id = came.id;
    SELECT * INTO live FROM auth.refresh_tokens r WHERE r.session_id = came.session_id AND NOT r.revoked
     ORDER BY r.id DESC LIMIT 1;
    IF live.id IS NULL THEN
        outcome := CASE WHEN came.id IS NULL THEN 'unknown' ELSE 'stolen' END;
    ELSIF session.not_after <= moment OR live.created_at < moment - lives OR session.created_at <= moment - timebox THEN
        outcome := 'expired';
    ELSIF coalesce(session.refreshed_at, session.created_at) <= moment - idle THEN
        outcome := 'inactive';
    ELSIF single AND EXISTS (SELECT FROM auth.sessions s WHERE s.user_id = session.user_id
                             AND (s.created_at, s.id) > (session.created_at, session.id)) THEN
        outcome := 'superseded';
    ELSIF came.id = live.id THEN
        UPDATE auth.refresh_tokens r SET revoked = true, updated_at = moment WHERE r.id = live.id;
        INSERT INTO auth.refresh_tokens (token, user_id, session_id, parent, created_at, updated_at)
        VALUES (fresh, live.user_id, live.session_id, live.token, moment, moment);
        UPDATE auth.sessions s SET refreshed_at = moment, updated_at = moment WHERE s.id = live.session_id;
        outcome := 'rotated';
        token := fresh;
    ELSIF live.parent = came.token OR came.updated_at > moment - reuse THEN
        outcome := 'repeated';
        token := live.token;
    ELSE
        UPDATE auth.refresh_tokens r SET revoked = true, updated_at = moment
         WHERE r.session_id = came.session_id AND NOT r.revoked;
        UPDATE auth.sessions s SET not_after = moment, updated_at = moment WHERE s.id = came.session_id;
        outcome := 'stolen';
    END IF;
END $$;
REVOKE EXECUTE ON FUNCTION auth.rotate_refresh_token FROM PUBLIC;

RESET ROLE;
