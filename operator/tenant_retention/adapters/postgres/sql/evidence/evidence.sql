-- The hash chain of runs (X6): append-only, counts only.

CREATE OR REPLACE FUNCTION retention.refuse_evidence_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'refused: evidence is only ever added to'
        USING ERRCODE = 'RTG00', DETAIL = 'EvidenceAppendOnly', HINT = 'Nothing was changed.';
END
$$;

CREATE OR REPLACE FUNCTION retention.digest_of(previous_digest text, body text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'sha256:' || encode(sha256(convert_to(previous_digest || E'\n' || body, 'UTF8')), 'hex')
$$;

-- Appends one link. The lock makes the previous digest the latest one until this transaction ends.
CREATE OR REPLACE FUNCTION retention.append_link(link_id uuid, told jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last_link retention.evidence;
    previous text;
    body text;
BEGIN
    LOCK TABLE retention.evidence IN SHARE ROW EXCLUSIVE MODE;
    SELECT * INTO last_link FROM retention.evidence ORDER BY sequence DESC LIMIT 1;
    previous := coalesce(last_link.digest, 'sha256:' || repeat('0', 64));
    body := (told || jsonb_build_object('sequence', coalesce(last_link.sequence, 0) + 1, 'runId', link_id))::text;
    INSERT INTO retention.evidence (sequence, run_id, body, previous_digest, digest)
        VALUES (coalesce(last_link.sequence, 0) + 1, link_id, body, previous, retention.digest_of(previous, body));
END
$$;

-- What a run did.
CREATE OR REPLACE FUNCTION retention.append_evidence(for_run uuid, run_outcome text, categories jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    r retention.run;
BEGIN
    LOCK TABLE retention.evidence IN SHARE ROW EXCLUSIVE MODE;
    UPDATE retention.run SET finished_at = clock_timestamp() WHERE run_id = for_run RETURNING * INTO STRICT r;
    PERFORM retention.append_link(for_run, jsonb_build_object(
        'mode', r.mode, 'outcome', run_outcome,
        'startedAt', r.started_at, 'finishedAt', r.finished_at, 'policyGeneration', r.policy_generation,
        'rulesDigest', r.rules_digest, 'categories', categories,
        'limitedTo', coalesce(to_jsonb(r.limited_to), '[]'))
        || CASE WHEN r.caches IS NULL THEN '{}' ELSE jsonb_build_object('caches', r.caches) END);
END
$$;

-- What was done beside the runs: `act` has its kind, names of backups and counts.
CREATE OR REPLACE FUNCTION retention.append_act(act jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    s retention.settings;
BEGIN
    SELECT * INTO STRICT s FROM retention.settings;
    PERFORM retention.append_link(gen_random_uuid(), jsonb_build_object(
        'mode', 'Enforce', 'outcome', 'Recorded', 'startedAt', clock_timestamp(), 'finishedAt', clock_timestamp(),
        'policyGeneration', s.policy_generation, 'rulesDigest', s.rules_digest, 'categories', '[]'::jsonb, 'act', act));
END
$$;

CREATE OR REPLACE FUNCTION retention.link_as_json(link retention.evidence) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT link.body::jsonb || jsonb_build_object('previousDigest', link.previous_digest, 'digest', link.digest)
$$;

-- Whether every link follows from the one before it, from the first on.
CREATE OR REPLACE FUNCTION retention.chain_is_intact() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(bool_and(
        e.digest = retention.digest_of(e.previous_digest, e.body)
        AND e.sequence = e.place
        AND (e.body::jsonb ->> 'sequence')::bigint = e.sequence
        AND e.previous_digest = coalesce(e.digest_before, 'sha256:' || repeat('0', 64))), true)
    FROM (SELECT *, row_number() OVER (ORDER BY sequence) AS place, lag(digest) OVER (ORDER BY sequence) AS digest_before
        FROM retention.evidence) AS e
$$;

-- The newest links, as many as are asked for, and those of holds that lie among them and after them besides: whoever places
-- hundreds of holds must not push the runs out of sight.
CREATE OR REPLACE FUNCTION retention.read_evidence(latest integer) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(retention.link_as_json(e) ORDER BY e.sequence DESC), '[]')
    FROM retention.evidence AS e WHERE latest > 0 AND e.sequence > coalesce((
        SELECT sequence FROM retention.evidence WHERE coalesce(body::jsonb #>> '{act,kind}', '') NOT LIKE 'Hold%'
        ORDER BY sequence DESC OFFSET greatest(latest, 0) LIMIT 1), 0)
$$;
