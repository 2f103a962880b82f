-- Findings: what a run's scan marks, a later run takes away, if it is still so and no hold keeps it. Where that would be many,
-- the guard asks. A minimum keeps nothing that must never have been stored; a lock of the bucket does, until it ends.

CREATE OR REPLACE FUNCTION retention.key_of_row(wanted text, alias text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'jsonb_build_object(' || string_agg(format('%L, %I.%I::text', k, alias, k), ', ' ORDER BY n) || ')'
    FROM retention.managed AS t, unnest(t.primary_key) WITH ORDINALITY AS keys(k, n) WHERE t.table_name = wanted
$$;

-- The condition under which a row is what a scan looks for; 'false' where the table can have none.
DROP FUNCTION IF EXISTS retention.unwanted_condition(text, text, text, timestamptz, timestamptz);
CREATE OR REPLACE FUNCTION retention.unwanted_condition(
    wanted text, wanted_kind text, alias text, born_from timestamptz, born_to timestamptz, at timestamptz)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE wanted_kind WHEN 'Consent' THEN retention.denied_condition(wanted, alias, born_from, born_to)
        WHEN 'Quarantine' THEN retention.unapproved_condition(wanted, alias, at)
        ELSE retention.unmasked_condition(wanted, alias) END
$$;

-- The condition under which an earlier run than `before_run` found that a row is to go; 'false' where none is looked for.
CREATE OR REPLACE FUNCTION retention.found_condition(wanted text, alias text, before_run bigint) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN t.category NOT IN (SELECT category FROM retention.consent UNION ALL SELECT category FROM retention.quarantine)
            THEN 'false'
        ELSE format('EXISTS (SELECT FROM retention.finding AS f WHERE f.kind <> ''Digits'' AND f.table_name = %L'
            ' AND f.born_at = %I.%I AND md5(f.row_key::text) = md5((%s)::text) AND f.found_by < %s)',
            wanted, alias, t.born_at, retention.key_of_row(wanted, alias), before_run) END
    FROM retention.managed AS t WHERE t.table_name = wanted
$$;

-- The same, and it is so at that instant still: a mark is only looked at again after the night's work.
CREATE OR REPLACE FUNCTION retention.still_found_condition(wanted text, alias text, before_run bigint, at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT CASE found WHEN 'false' THEN found ELSE format('(%s AND (%s OR %s))', found,
        retention.denied_condition(wanted, alias, '-infinity', 'infinity'), retention.unapproved_condition(wanted, alias, at)) END
    FROM (SELECT retention.found_condition(wanted, alias, before_run) AS found) AS f
$$;

-- The same for what this run may take away; 'false' where the guard asks first.
CREATE OR REPLACE FUNCTION retention.removable_finding(for_run uuid, wanted_category text, wanted text, alias text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT retention.still_found_condition(wanted, alias, r.number, r.clock) FROM retention.run AS r
        JOIN retention.run_category AS rc USING (run_id)
        WHERE r.run_id = for_run AND rc.category = wanted_category AND rc.found_guard <> 'Tripped'), 'false')
$$;

-- Asked after the guard on ages, with what is left of the approval's room.
CREATE OR REPLACE FUNCTION retention.ask_about_findings(r retention.run, s retention.settings) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    room bigint;
BEGIN
    UPDATE retention.run_category AS rc SET found_before = n.found FROM (
            SELECT category, count(*) AS found FROM retention.finding WHERE found_by < r.number GROUP BY category) AS n
        WHERE rc.run_id = r.run_id AND rc.category = n.category;
    UPDATE retention.run_category SET found_guard = 'Tripped' WHERE run_id = r.run_id
        AND (found_before > retention.guard_floor() AND found_before * 100 > total * s.guard_percent
            OR retention.found_by_new_rule(category, r.number));
    room := retention.room_of_approval(r.rules_digest)
        - (SELECT coalesce(sum(approved), 0) FROM retention.run_category WHERE run_id = r.run_id);
    UPDATE retention.run_category SET found_guard = 'Approved' WHERE run_id = r.run_id AND found_guard = 'Tripped'
        AND room >= (SELECT sum(found_before) FROM retention.run_category WHERE run_id = r.run_id AND found_guard = 'Tripped');
END
$$;

-- One month: marks of what is so no longer go, what is so is marked. Returns how many it has now.
CREATE OR REPLACE FUNCTION retention.scan_month(r retention.run, t retention.managed, p retention.partition, wanted_kind text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    unwanted text := retention.unwanted_condition(t.table_name, wanted_kind, 'r', p.born_from, p.born_to, r.clock);
BEGIN
    EXECUTE format('DELETE FROM retention.finding AS c WHERE c.kind = $1 AND c.table_name = $2 AND c.born_at >= $3 AND c.born_at < $4'
        ' AND NOT EXISTS (SELECT FROM public.%I AS r WHERE %s AND %s)', p.partition, retention.claimed_row_condition(t.table_name), unwanted)
        USING wanted_kind, t.table_name, p.born_from, p.born_to;
    IF unwanted <> 'false' AND pg_relation_size(p.partition_oid) > 0
        AND NOT (wanted_kind = 'Digits' AND retention.is_known_masked(t.table_name, p.partition))
    THEN
        EXECUTE format('INSERT INTO retention.finding (kind, category, table_name, born_at, row_key, found_by)'
            ' SELECT $1, $2, $3, r.%I, %s, $4 FROM public.%I AS r WHERE %s ON CONFLICT DO NOTHING',
            t.born_at, retention.key_of_row(t.table_name, 'r'), p.partition, unwanted)
            USING wanted_kind, t.category, t.table_name, r.number;
        IF wanted_kind = 'Digits' AND NOT EXISTS (SELECT FROM retention.finding AS f WHERE f.kind = 'Digits'
            AND f.table_name = t.table_name AND f.born_at >= p.born_from AND f.born_at < p.born_to)
        THEN
            PERFORM retention.know_masked(t.table_name, p.partition);
        END IF;
    END IF;
END
$$;

-- The next months of a table, from the one after `resume_after` (where that one ended) on, for about a second. Dry runs scan as
-- well (X7). Returns {found: rows of the table that are marked, resumeAfter: null at the end}.
CREATE OR REPLACE FUNCTION retention.scan_findings(for_run uuid, wanted_category text, wanted_table text, resume_after timestamptz)
RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any', wanted_category);
    t retention.managed := retention.managed_of_category(wanted_table, wanted_category);
    p retention.partition;
    until timestamptz := clock_timestamp() + interval '1 second';
    reached timestamptz;
BEGIN
    FOR p IN SELECT * FROM retention.partition AS x WHERE x.table_name = wanted_table
        AND x.born_from >= coalesce(resume_after, '-infinity') ORDER BY x.born_from
    LOOP
        IF reached IS NOT NULL AND clock_timestamp() > until THEN
            RETURN jsonb_build_object('found', 0, 'resumeAfter', reached);
        END IF;
        PERFORM retention.scan_month(r, t, p, 'Consent');
        PERFORM retention.scan_month(r, t, p, 'Quarantine');
        PERFORM retention.scan_month(r, t, p, 'Digits');
        reached := p.born_to;
    END LOOP;
    -- Of months that are gone.
    DELETE FROM retention.finding AS f WHERE f.table_name = wanted_table AND NOT EXISTS (
        SELECT FROM retention.partition AS x WHERE x.table_name = wanted_table AND f.born_at >= x.born_from AND f.born_at < x.born_to);
    RETURN jsonb_build_object('found', (SELECT count(*) FROM retention.finding WHERE table_name = wanted_table), 'resumeAfter', NULL);
END
$$;

-- The findings of earlier runs that this one may take away now, at most `batch`: still so, not held, no object to delete first.
CREATE OR REPLACE FUNCTION retention.findings_to_clear(r retention.run, t retention.managed, wanted_kind text, batch integer)
RETURNS bigint[] LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    ids bigint[];
BEGIN
    EXECUTE format('SELECT coalesce(array_agg(finding_id), ''{}'') FROM (SELECT c.finding_id FROM retention.finding AS c'
        ' JOIN public.%I AS r ON %s WHERE c.kind = $1 AND c.table_name = $2 AND c.found_by < $3 AND %s AND %s'
        ' AND NOT %s ORDER BY c.finding_id LIMIT $4) AS n',
        t.table_name, retention.claimed_row_condition(t.table_name),
        CASE wanted_kind WHEN 'Digits' THEN 'true' ELSE retention.without_object_condition(t, 'r') END,
        retention.unwanted_condition(t.table_name, wanted_kind, 'r', '-infinity', 'infinity', r.clock),
        retention.held_condition(t.table_name, 'r', '-infinity', 'infinity', few => true))
        INTO ids USING wanted_kind, t.table_name, r.number, greatest(batch, 1);
    RETURN ids;
END
$$;

-- Takes away what earlier runs found, at most `batch` rows of a table: rows go, digits are blanked. Returns how
-- many were tried, 0 when none is left to this run. A row that will not be blanked counts as failed and waits for the next run.
CREATE OR REPLACE FUNCTION retention.clear_findings(for_run uuid, wanted_category text, wanted_table text, batch integer)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s'
SET enable_seqscan = off AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce', wanted_category);
    t retention.managed := retention.managed_of_category(wanted_table, wanted_category);
    ids bigint[];
    gone bigint := 0;
    not_blanked bigint := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM retention.run_category WHERE run_id = for_run AND category = wanted_category
        AND found_before > 0 AND found_guard <> 'Tripped')
    THEN
        RETURN 0;
    END IF;
    PERFORM retention.lock_holds();
    ids := retention.findings_to_clear(r, t, 'Consent', batch);
    IF ids = '{}' THEN
        ids := retention.findings_to_clear(r, t, 'Quarantine', batch);
    END IF;
    IF ids <> '{}' THEN
        -- The marks go afterwards: by them the guards know that these rows may go below their minimum.
        EXECUTE format('DELETE FROM public.%I AS r USING retention.finding AS c WHERE c.finding_id = ANY ($1) AND %s',
            t.table_name, retention.claimed_row_condition(t.table_name)) USING ids;
        GET DIAGNOSTICS gone = ROW_COUNT;
        DELETE FROM retention.finding WHERE finding_id = ANY (ids);
    ELSE
        ids := retention.findings_to_clear(r, t, 'Digits', batch);
        SELECT blanked, failed INTO gone, not_blanked FROM retention.blank_findings(r, t, ids);
    END IF;
    UPDATE retention.run_category SET cleared = cleared + gone, failed = failed + not_blanked
        WHERE run_id = for_run AND category = wanted_category AND gone + not_blanked > 0;
    RETURN cardinality(ids);
END
$$;

-- Claims objects of rows that earlier runs found, as retention.claim_new claims those that are due.
CREATE OR REPLACE FUNCTION retention.claim_found(for_run uuid, t retention.managed, batch integer) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    claimed bigint[];
    r retention.run := (SELECT x FROM retention.run AS x WHERE x.run_id = for_run);
BEGIN
    IF batch <= 0 OR NOT EXISTS (SELECT FROM retention.run_category WHERE run_id = for_run AND category = t.category
        AND found_before > 0 AND found_guard <> 'Tripped')
    THEN
        RETURN '{}';
    END IF;
    EXECUTE format(
        'WITH found AS (SELECT DISTINCT r.%1$I AS born_at, c.row_key, r.%2$I::text AS object_key, nullif(r.%3$I::text, '''') AS object_version'
        ' FROM retention.finding AS c JOIN public.%4$I AS r ON %5$s'
        ' WHERE c.kind <> ''Digits'' AND c.table_name = %4$L AND c.found_by < $3 AND NOT %6$s AND (%7$s OR %12$s) AND NOT %8$s'
        ' AND NOT EXISTS (SELECT FROM retention.claim AS k WHERE k.table_name = %4$L AND k.born_at = c.born_at'
        ' AND md5(k.row_key::text) = md5(c.row_key::text)) AND NOT %9$s AND NOT %10$s LIMIT $2),'
        ' claimed AS (INSERT INTO retention.claim (run_id, category, table_name, born_at, row_key, object_key, object_version, cause)'
        ' SELECT $1, %11$L, %4$L, born_at, row_key, object_key, object_version, ''Finding'' FROM found RETURNING claim_id)'
        ' SELECT coalesce(array_agg(claim_id), ''{}'') FROM claimed',
        t.born_at, t.key_column, t.version_column, t.table_name, retention.claimed_row_condition(t.table_name),
        retention.without_object_condition(t, 'r'), retention.denied_condition(t.table_name, 'r', '-infinity', 'infinity'),
        retention.held_condition(t.table_name, 'r', '-infinity', 'infinity', few => true), retention.row_locked_condition(t),
        retention.named_by_others(for_run, format('r.%I::text', t.key_column), format('nullif(r.%I::text, '''')', t.version_column), false),
        t.category, retention.unapproved_condition(t.table_name, 'r', r.clock))
        INTO claimed USING for_run, batch, r.number;
    RETURN claimed;
END
$$;

-- For evidence and observer: counts of what is marked now, where the profile looks for any.
CREATE OR REPLACE FUNCTION retention.finding_counts(wanted_category text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM retention.consent WHERE category = wanted_category)
            THEN jsonb_build_object('againstConsent', (SELECT count(*) FROM retention.finding WHERE category = wanted_category AND kind = 'Consent'))
            ELSE '{}' END
        || CASE WHEN EXISTS (SELECT FROM retention.quarantine WHERE category = wanted_category)
            THEN jsonb_build_object('unapproved', (SELECT count(*) FROM retention.finding WHERE category = wanted_category AND kind = 'Quarantine'))
            ELSE '{}' END
        || CASE WHEN EXISTS (SELECT FROM retention.masked_column AS m JOIN retention.managed AS t USING (table_name) WHERE t.category = wanted_category)
            THEN jsonb_build_object('unmasked', (SELECT count(*) FROM retention.finding WHERE category = wanted_category AND kind = 'Digits'))
            ELSE '{}' END
$$;
