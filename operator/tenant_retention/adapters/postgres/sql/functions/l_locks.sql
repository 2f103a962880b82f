-- Object lock: what has not reached its minimum is locked in the bucket until then, so that the bucket refuses too (M8).
-- Listed, locked by the client, recorded; a kill in between makes the same lock be asked for again, which changes nothing.

-- What tells one object from all others without repeating its key, which may be personal data.
CREATE OR REPLACE FUNCTION retention.object_digest(object_key text, object_version text) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(convert_to(length(object_key) || ':' || object_key || coalesce(object_version, ''), 'UTF8'))
$$;

-- The young objects of one month whose lock is missing or too short, in the order of their birth, from `resume_from` on.
-- A clock that has not started, or lies in the future, is locked for a whole minimum from now; again when half of it is gone.
CREATE OR REPLACE FUNCTION retention.locks_of_month(
    r retention.run, t retention.managed, month text, resume_from timestamptz, batch integer,
    OUT locks jsonb, OUT seen bigint, OUT last_birth timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    whole timestamptz := retention.period_end(r.clock, retention.months_of(t.minimum), retention.days_of(t.minimum));
    clock text := CASE WHEN t.clock IS NULL THEN 'NULL::timestamptz' ELSE format('greatest(r.%I, r.%I)', t.clock, t.born_at) END;
BEGIN
    IF t.clock IS NOT NULL AND NOT t.by_birth THEN
        clock := format('CASE WHEN r.%I IS NOT NULL THEN %s END', t.clock, clock);
    END IF;
    EXECUTE format(
        'WITH young AS (SELECT r.%1$I AS born_at, r.%2$I::text AS key, nullif(r.%3$I::text, '''') AS version, %4$s AS clock'
        ' FROM public.%5$I AS r WHERE r.%1$I >= $1 AND %6$s AND NOT %7$s AND NOT %8$s AND NOT %9$s),'
        ' missing AS (SELECT y.born_at, y.key, y.version, retention.object_digest(y.key, y.version) AS object,'
        ' least(retention.period_end(y.clock, $2, $3), $4) AS until'
        ' FROM young AS y LEFT JOIN retention.object_lock AS l'
        ' ON l.category = $5 AND l.object = retention.object_digest(y.key, y.version)'
        ' WHERE l.failed_in IS DISTINCT FROM $6 AND (l.locked_until IS NULL OR l.locked_until < CASE WHEN y.clock <= $7'
        ' THEN retention.period_end(y.clock, $2, $3) ELSE $7 + ($4 - $7) / 2 END) ORDER BY y.born_at LIMIT $8),'
        ' asked AS (INSERT INTO retention.object_lock AS l (category, object, asked_until)'
        ' SELECT $5, object, max(until) FROM missing GROUP BY object'
        ' ON CONFLICT (category, object) DO UPDATE SET asked_until = excluded.asked_until'
        ' RETURNING l.lock_id, l.object, l.asked_until),'
        ' named AS (SELECT DISTINCT a.lock_id, a.asked_until, m.key, m.version FROM asked AS a JOIN missing AS m USING (object))'
        ' SELECT coalesce((SELECT jsonb_agg(jsonb_build_object(''lockId'', lock_id, ''key'', key, ''version'', version,'
        ' ''until'', asked_until) ORDER BY lock_id) FROM named), ''[]''), count(*), max(born_at) FROM missing',
        t.born_at, t.key_column, t.version_column, clock, month,
        retention.undue_condition(t, 'r', retention.cutoff(r.clock, t.minimum)), retention.without_object_condition(t, 'r'),
        -- What may not be stored is to go (P10), and what waits for an approval is nothing that is kept yet (M7).
        retention.denied_condition(t.table_name, 'r', '-infinity', 'infinity'), retention.quarantined_condition(t.table_name, 'r'))
        INTO locks, seen, last_birth
        USING resume_from, retention.months_of(t.minimum), retention.days_of(t.minimum), whole, t.category, r.run_id, r.clock,
            batch;
END
$$;

-- The next objects to lock, at most `batch`, of one month; also of a category that the guard stopped. Returns {locks,
-- resumeFrom}, the latter null when all months were looked at.
CREATE OR REPLACE FUNCTION retention.objects_to_lock(for_run uuid, wanted_category text, resume_from timestamptz, batch integer)
RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce');
    t retention.managed;
    p record;
    found_locks record;
BEGIN
    IF resume_from IS NULL THEN
        DELETE FROM retention.object_lock WHERE category = wanted_category AND greatest(asked_until, locked_until) <= r.clock;
    END IF;
    SELECT * INTO t FROM retention.managed WHERE category = wanted_category AND has_objects AND active AND minimum IS NOT NULL;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('locks', '[]'::jsonb, 'resumeFrom', NULL);
    END IF;
    SELECT x.partition, x.born_to INTO p FROM retention.partition AS x
        WHERE x.table_name = t.table_name AND x.born_to > coalesce(resume_from, '-infinity')
            AND pg_relation_size(x.partition_oid) > 0
            AND NOT (t.by_birth AND retention.wholly_due(x.born_to, retention.cutoff(r.clock, t.minimum)))
        -- A partition without an end, DEFAULT for instance, comes last: nothing follows it.
        ORDER BY x.born_to LIMIT 1;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('locks', '[]'::jsonb, 'resumeFrom', NULL);
    END IF;
    found_locks := retention.locks_of_month(r, t, p.partition, coalesce(resume_from, '-infinity'), greatest(batch, 1));
    RETURN jsonb_build_object('locks', found_locks.locks, 'resumeFrom',
        CASE WHEN found_locks.seen = greatest(batch, 1) THEN retention.readable(found_locks.last_birth)
        -- Behind the last readable birth there is one partition at most.
        WHEN p.born_to < '9999-12-31' THEN retention.readable(p.born_to) END);
END
$$;

-- Remembers what the bucket locked, and counts what it would not lock (`outcomes`: [lock id, the store's code or null]).
CREATE OR REPLACE FUNCTION retention.record_locks(for_run uuid, wanted_category text, outcomes jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce');
    locked_now bigint;
    refused bigint;
BEGIN
    UPDATE retention.object_lock AS l SET locked_until = l.asked_until FROM jsonb_array_elements(outcomes) AS o
        WHERE l.lock_id = (o ->> 0)::bigint AND l.category = wanted_category AND o ->> 1 IS NULL
            -- Told twice, because a reply was lost, it counts once.
            AND (l.locked_until IS NULL OR l.locked_until < l.asked_until);
    GET DIAGNOSTICS locked_now = ROW_COUNT;
    UPDATE retention.object_lock AS l SET failed_in = for_run FROM jsonb_array_elements(outcomes) AS o
        WHERE l.lock_id = (o ->> 0)::bigint AND l.category = wanted_category AND o ->> 1 IS NOT NULL
            AND l.failed_in IS DISTINCT FROM for_run;
    GET DIAGNOSTICS refused = ROW_COUNT;
    UPDATE retention.run_category SET locked = locked + locked_now, failed = failed + refused
        WHERE run_id = for_run AND category = wanted_category;
END
$$;
