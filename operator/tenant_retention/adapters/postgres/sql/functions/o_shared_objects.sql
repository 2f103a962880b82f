-- Objects in a bucket that another database of the policy uses too: that one asks here before it deletes one.

-- Which of these objects ([key, version or null], ...) a row that stays in this run names: [[place from 0, in part], ...]. `in part`:
-- a staying row means one version where the object, without one, means all of them. Of an earlier run, or of another session's,
-- nothing is said; of a run that is finished here the answer is the same as before its end.
CREATE OR REPLACE FUNCTION retention.objects_named_here(for_run uuid, objects jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s'
SET enable_seqscan = off AS $$
DECLARE
    s retention.settings;
    r retention.run;
    named jsonb;
BEGIN
    SELECT * INTO r FROM retention.run WHERE run_id = for_run;
    IF r.finished_at IS NULL THEN
        r := retention.assert_run(for_run, 'Enforce');
    END IF;
    SELECT * INTO STRICT s FROM retention.settings FOR SHARE;
    -- The same as assert_run, for a run that is finished here.
    IF s.suspended THEN
        RAISE EXCEPTION 'the policy is suspended, or its store was released' USING ERRCODE = 'RTN00', DETAIL = 'Suspended',
            HINT = 'Resume the policy, or bind the store to one.';
    ELSIF r.mode <> 'Enforce' OR r.rules_digest <> s.rules_digest OR s.mode <> 'Enforce' THEN
        RAISE EXCEPTION 'the rules changed during the run' USING ERRCODE = 'RTI00', DETAIL = 'RulesChanged',
            HINT = 'What is left waits for the next run.';
    END IF;
    PERFORM retention.lock_holds();
    IF NOT EXISTS (SELECT FROM retention.managed WHERE has_objects) THEN
        RETURN '[]';
    END IF;
    EXECUTE format('SELECT jsonb_agg(jsonb_build_array(place, in_part) ORDER BY place)'
        ' FROM (SELECT o.place, %s AS named, %s AS in_part FROM'
        ' (SELECT place - 1 AS place, object ->> 0 AS key, object ->> 1 AS version'
        ' FROM jsonb_array_elements($1) WITH ORDINALITY AS asked(object, place)) AS o) AS answered WHERE named OR in_part',
        retention.named_by_others(for_run, 'o.key', 'o.version', false),
        retention.named_by_others(for_run, 'o.key', 'o.version', true)) INTO named USING objects;
    RETURN coalesce(named, '[]');
END
$$;
