-- What requests asked for is done by every run that enforces, also where the guard stopped a category: it was asked for row by row.
-- A hold keeps a row (X3), and so does its minimum where the category has no early deletion, until it is reached (M9).

-- What a column becomes: nothing, where that is allowed. A hash only where the profile wants one and nothing is not allowed: a
-- blocked number stays blocked (T4). NULL as an answer: there is no way.
CREATE OR REPLACE FUNCTION retention.cleared_value(c retention.person_column, alias text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH relations AS (
        SELECT to_regclass(format('public.%I', c.table_name))::oid AS oid
        UNION ALL
        SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(format('public.%I', c.table_name))
    ), facts AS (
        SELECT coalesce(bool_or(a.attnotnull), false) AS required, coalesce(bool_or(i.indexrelid IS NOT NULL), false) AS is_unique,
            coalesce(bool_or(i.indnullsnotdistinct), false) AS one_null
        FROM relations AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attname = c.name
        LEFT JOIN pg_index AS i ON i.indrelid = r.oid AND i.indisunique AND a.attnum = ANY (i.indkey))
    SELECT CASE
        -- What rows are found by is written once: it is no place for a name.
        WHEN c.name = ANY (retention.written_once(c.table_name))
            OR c.name = ANY ((SELECT primary_key FROM retention.managed_table WHERE name = c.table_name)::text[]) THEN NULL
        WHEN NOT required AND NOT one_null THEN format('NULL::%s', retention.column_type(c.type))
        WHEN c.type = 'Text' AND c.method = 'Hash' THEN format('CASE WHEN %1$s ~ ''^hmac:[0-9a-f]{64}$'' THEN %1$s ELSE'
            ' ''hmac:'' || encode(sha256(k.outer_pad || sha256(k.inner_pad || convert_to(%2$s, ''UTF8''))), ''hex'') END', v,
            CASE WHEN is_unique THEN v ELSE retention.spelling_expression(c.role, v) END)
        WHEN c.type = 'Text' AND is_unique THEN '''removed:'' || gen_random_uuid()::text'
        WHEN c.type = 'Text' THEN '''removed'''
        WHEN c.type = 'Json' THEN '''{}''::jsonb'
        WHEN c.type IN ('Integer', 'BigInteger', 'Numeric') AND NOT is_unique THEN '0'
    END
    FROM facts, (SELECT format('%I.%I', alias, c.name) AS v) AS named
$$;

-- Entries of which nothing is left to do: the row went, by whatever cause, or has moved.
CREATE OR REPLACE FUNCTION retention.forget_entries(t retention.managed) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
BEGIN
    EXECUTE format('DELETE FROM retention.request_row AS c WHERE c.table_name = $1 AND NOT EXISTS (SELECT FROM public.%I AS r WHERE %s)',
        t.table_name, retention.claimed_row_condition(t.table_name)) USING t.table_name;
END
$$;

-- The same for rows that went with their object. In a statement of its own: by the entries the guards know what was asked for.
CREATE OR REPLACE FUNCTION retention.forget_claimed(t retention.managed, ids bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
BEGIN
    IF EXISTS (SELECT FROM retention.request_row WHERE table_name = t.table_name) THEN
        EXECUTE format('DELETE FROM retention.request_row AS q USING retention.claim AS c WHERE c.claim_id = ANY ($1)'
            ' AND q.table_name = c.table_name AND q.born_at = c.born_at AND md5(q.row_key::text) = md5(c.row_key::text)'
            ' AND NOT EXISTS (SELECT FROM public.%I AS r WHERE %s)', t.table_name, retention.claimed_row_condition(t.table_name)) USING ids;
    END IF;
END
$$;

-- The condition under which a request's minimum keeps a row; 'false' where it keeps none.
CREATE OR REPLACE FUNCTION retention.deferred_condition(t retention.managed, alias text, at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT CASE WHEN t.minimum IS NULL OR retention.early_by_request(t.category) THEN 'false'
        ELSE retention.undue_condition(t, alias, retention.cutoff(at, t.minimum)) END
$$;

-- The next entries of a table that can be done now, at most `batch`.
CREATE OR REPLACE FUNCTION retention.doable_entries(r retention.run, t retention.managed, wanted_act text, batch integer) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    ids bigint[];
    births record;
    alone text := 'true';
    waiting text := 'false';
BEGIN
    SELECT min(born_at) AS first, max(born_at) AS last INTO births FROM retention.request_row
        WHERE table_name = t.table_name AND act = wanted_act;
    IF births.first IS NULL THEN
        RETURN '{}';
    END IF;
    IF wanted_act = 'Delete' THEN
        waiting := retention.waiting_condition(t.table_name, 'r', births.first, births.last + interval '1 microsecond');
        -- A row that names an object goes with it, or alone where a row that stays names the object too.
        alone := CASE WHEN t.has_objects THEN format('(%s OR (%s AND NOT %s))', retention.without_object_condition(t, 'r'),
            retention.named_by_others(r.run_id, format('r.%I::text', t.key_column), format('nullif(r.%I::text, '''')', t.version_column), false),
            retention.named_by_others(r.run_id, format('r.%I::text', t.key_column), format('nullif(r.%I::text, '''')', t.version_column), true))
            ELSE 'true' END;
    END IF;
    EXECUTE format('SELECT coalesce(array_agg(entry_id), ''{}'') FROM (SELECT c.entry_id FROM retention.request_row AS c'
        ' JOIN retention.request AS a USING (request_id) JOIN public.%I AS r ON %s WHERE c.table_name = $1 AND c.act = $2'
        ' AND a.found_at IS NOT NULL AND c.failed_in IS DISTINCT FROM $3 AND NOT %s AND NOT %s AND NOT %s AND %s'
        ' ORDER BY c.entry_id LIMIT $4) AS n',
        t.table_name, retention.claimed_row_condition(t.table_name), retention.deferred_condition(t, 'r', r.clock),
        retention.held_condition(t.table_name, 'r', '-infinity', 'infinity', few => true), waiting, alone)
        INTO ids USING t.table_name, wanted_act, r.run_id, greatest(batch, 1);
    RETURN ids;
END
$$;

-- The statement that takes the people off the rows of some entries; null where the table has no column of anybody. What two
-- requests ask of one row is done at once.
CREATE OR REPLACE FUNCTION retention.clearing_statement(t retention.managed) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('UPDATE public.%I AS r SET %s FROM (SELECT q.born_at, q.row_key, array_agg(DISTINCT person) AS persons'
        ' FROM retention.request_row AS q, unnest(q.persons) AS person WHERE q.entry_id = ANY ($1) GROUP BY 1, 2) AS c%s WHERE %s',
        t.table_name, string_agg(format('%1$I = CASE WHEN %2$L = ANY (c.persons) THEN %3$s ELSE r.%1$I END', n.name, n.person, n.value),
            ', ' ORDER BY n.position),
        CASE WHEN bool_or(n.value LIKE '%sha256(k.outer_pad%') THEN ', retention.anonymization_key AS k' ELSE '' END,
        retention.claimed_row_condition(t.table_name))
    FROM (SELECT c.name, c.person, c.position, retention.cleared_value(c, 'r') AS value FROM retention.person_column AS c
        WHERE c.table_name = t.table_name OFFSET 0) AS n
    WHERE n.value IS NOT NULL HAVING count(*) > 0
$$;

-- The people of a table who stay readable in a column that cannot lose its value.
CREATE OR REPLACE FUNCTION retention.lasting_people(t retention.managed) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY(SELECT DISTINCT c.person FROM retention.person_column AS c
        WHERE c.table_name = t.table_name AND retention.cleared_value(c, 'r') IS NULL)
$$;

-- Runs a statement over these entries' rows; where one row refuses, one by one, so that it stops no other. Which were written.
CREATE OR REPLACE FUNCTION retention.written_entries(statement text, ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    written bigint[] := '{}';
    id bigint;
BEGIN
    BEGIN
        EXECUTE statement USING ids;
        RETURN ids;
    EXCEPTION WHEN integrity_constraint_violation OR data_exception OR raise_exception THEN
        FOREACH id IN ARRAY ids LOOP
            BEGIN
                EXECUTE statement USING ARRAY[id];
                written := written || id;
            EXCEPTION WHEN integrity_constraint_violation OR data_exception OR raise_exception THEN
                CONTINUE;  -- The caller keeps its entry, and counts it as failed.
            END;
        END LOOP;
    END;
    RETURN written;
END
$$;

-- Ends the entries that were written, but of people who stay readable; the others are tried by the next run.
CREATE OR REPLACE FUNCTION retention.end_entries(
    r retention.run, ids bigint[], written bigint[], lasting text[], OUT done bigint, OUT failed bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM retention.request_row WHERE entry_id = ANY (written) AND NOT persons && lasting;
    GET DIAGNOSTICS done = ROW_COUNT;
    UPDATE retention.request_row SET failed_in = r.run_id WHERE entry_id = ANY (ids);
    GET DIAGNOSTICS failed = ROW_COUNT;
END
$$;

-- Takes the people off these rows. One that keeps a name in a column that cannot lose it counts as failed.
CREATE OR REPLACE FUNCTION retention.clear_entries(r retention.run, t retention.managed, ids bigint[], OUT cleared bigint, OUT failed bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    statement text := coalesce(retention.clearing_statement(t), 'SELECT $1');
BEGIN
    IF statement LIKE '%retention.anonymization_key AS k%' THEN
        PERFORM retention.make_anonymization_key();
        LOCK TABLE retention.anonymization_key IN ACCESS SHARE MODE;
    END IF;
    SELECT e.done, e.failed INTO cleared, clear_entries.failed
        FROM retention.end_entries(r, ids, retention.written_entries(statement, ids), retention.lasting_people(t)) AS e;
END
$$;

-- Deletes these rows. Their entries end afterwards: by them the guards know that a row may go below its minimum.
CREATE OR REPLACE FUNCTION retention.delete_entries(r retention.run, t retention.managed, ids bigint[], OUT gone bigint, OUT failed bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    statement text := format('DELETE FROM public.%I AS r USING (SELECT DISTINCT q.born_at, q.row_key FROM retention.request_row AS q'
        ' WHERE q.entry_id = ANY ($1)) AS c WHERE %s', t.table_name, retention.claimed_row_condition(t.table_name));
BEGIN
    SELECT e.done, e.failed INTO gone, delete_entries.failed
        FROM retention.end_entries(r, ids, retention.written_entries(statement, ids), '{}') AS e;
END
$$;

-- Does what requests ask of one table, at most `batch` rows: deletes, and when there is nothing more to delete takes people off. Rows
-- with objects went by claim_content before. Returns how many were tried; 0: nothing is left to this run.
CREATE OR REPLACE FUNCTION retention.work_requests(for_run uuid, wanted_category text, wanted_table text, batch integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s'
SET enable_seqscan = off AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce', wanted_category);
    t retention.managed := retention.managed_of_category(wanted_table, wanted_category);
    ids bigint[];
    gone bigint := 0;
    changed bigint := 0;
    unwritten bigint := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM retention.request_row WHERE table_name = wanted_table) THEN
        RETURN 0;
    END IF;
    PERFORM retention.lock_holds();
    ids := retention.doable_entries(r, t, 'Delete', batch);
    IF ids <> '{}' THEN
        SELECT d.gone, d.failed INTO gone, unwritten FROM retention.delete_entries(r, t, ids) AS d;
    ELSE
        ids := retention.doable_entries(r, t, 'Clear', batch);
        IF ids <> '{}' THEN
            SELECT c.cleared, c.failed INTO changed, unwritten FROM retention.clear_entries(r, t, ids) AS c;
        ELSE
            PERFORM retention.forget_entries(t);
        END IF;
    END IF;
    UPDATE retention.run_category SET request_deleted = request_deleted + gone, request_cleared = request_cleared + changed,
            failed = failed + unwritten
        WHERE run_id = for_run AND category = wanted_category AND gone + changed + unwritten > 0;
    RETURN cardinality(ids);
END
$$;

-- Claims objects of rows that requests ask to delete, as retention.claim_new claims those that are due.
CREATE OR REPLACE FUNCTION retention.claim_requested(r retention.run, t retention.managed, batch integer) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    claimed bigint[];
BEGIN
    IF batch <= 0 OR NOT EXISTS (SELECT FROM retention.request_row WHERE table_name = t.table_name AND act = 'Delete') THEN
        RETURN '{}';
    END IF;
    EXECUTE format(
        'WITH asked AS (SELECT DISTINCT r.%1$I AS born_at, c.row_key, r.%2$I::text AS object_key, nullif(r.%3$I::text, '''') AS object_version'
        ' FROM retention.request_row AS c JOIN retention.request AS a USING (request_id) JOIN public.%4$I AS r ON %5$s'
        ' WHERE c.act = ''Delete'' AND c.table_name = %4$L AND a.found_at IS NOT NULL AND NOT %6$s AND NOT %7$s AND NOT %8$s'
        ' AND NOT EXISTS (SELECT FROM retention.claim AS k WHERE k.table_name = %4$L AND k.born_at = c.born_at'
        ' AND md5(k.row_key::text) = md5(c.row_key::text)) AND NOT %9$s AND NOT %10$s LIMIT $2),'
        ' claimed AS (INSERT INTO retention.claim (run_id, category, table_name, born_at, row_key, object_key, object_version, cause)'
        ' SELECT $1, %11$L, %4$L, born_at, row_key, object_key, object_version, ''Request'' FROM asked RETURNING claim_id)'
        ' SELECT coalesce(array_agg(claim_id), ''{}'') FROM claimed',
        t.born_at, t.key_column, t.version_column, t.table_name, retention.claimed_row_condition(t.table_name),
        retention.without_object_condition(t, 'r'), retention.deferred_condition(t, 'r', r.clock),
        retention.held_condition(t.table_name, 'r', '-infinity', 'infinity', few => true), retention.row_locked_condition(t),
        retention.named_by_others(r.run_id, format('r.%I::text', t.key_column), format('nullif(r.%I::text, '''')', t.version_column), false),
        t.category) INTO claimed USING r.run_id, batch;
    RETURN claimed;
END
$$;

-- Forgets the sessions of whose content nothing is left; called at the end of every run that enforces.
CREATE OR REPLACE FUNCTION retention.forget_sessions() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT s.family, (SELECT string_agg(format(' AND NOT EXISTS (SELECT FROM public.%I AS r WHERE r.%I::text = s.session)',
            m.table_name, m.session_column), '') FROM retention.managed AS m
            WHERE m.family = s.family AND m.content_of IS NOT NULL AND m.session_column IS NOT NULL) AS without_content
        FROM retention.request_session AS s JOIN retention.request AS a USING (request_id) WHERE a.found_at IS NOT NULL GROUP BY s.family
    LOOP
        EXECUTE format('DELETE FROM retention.request_session AS s USING retention.request AS a WHERE a.request_id = s.request_id'
            ' AND a.found_at IS NOT NULL AND s.family = %L%s', f.family, coalesce(f.without_content, ''));
    END LOOP;
END
$$;
