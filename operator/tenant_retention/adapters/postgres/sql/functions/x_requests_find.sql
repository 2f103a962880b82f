-- Whom a request is about is said once, by the Job that has its Secret: rows are listed by their keys, and the names forgotten.
-- First the person's own rows, in every table; then those of the same sessions (P4, P12). Only when all are listed does a run act:
-- content is found before the identity goes.

-- What the enforcer says is believed as far as the operator said the same: no identifier more, none less.
CREATE OR REPLACE FUNCTION retention.assert_subjects(subjects jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM jsonb_array_elements(subjects) AS s WHERE NOT EXISTS (
        SELECT FROM retention.request AS a WHERE a.request_id = (s ->> 'request')::uuid
            AND (SELECT array_agg(d ORDER BY d) FROM unnest(a.identifiers) AS d) = (
                SELECT array_agg(d ORDER BY d) FROM (SELECT DISTINCT sha256(a.salt || convert_to(i ->> 0, 'UTF8')
                    || '\x00'::bytea || convert_to(i ->> 1, 'UTF8')) AS d FROM jsonb_array_elements(s -> 'spellings') AS i) AS told)))
    THEN
        RAISE EXCEPTION 'a request is not known here, or is about somebody else' USING ERRCODE = 'RTI00', DETAIL = 'SubjectUnknown',
            HINT = 'The operator tells the databases of a request before its Job.';
    END IF;
END
$$;

-- What becomes of a row that is the person's own; null: nothing but that its session is known. By a staff id alone only a row
-- that is about nobody else goes: a customer's call is not the agent's.
CREATE OR REPLACE FUNCTION retention.act_on_own_row(actions text[], is_content boolean, by_customer boolean, of_one_person boolean)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN 'Erase' = ANY (actions) AND (by_customer OR of_one_person OR is_content) THEN 'Delete'
        WHEN 'DeleteContent' = ANY (actions) AND is_content THEN 'Delete'
        WHEN actions && ARRAY['Erase', 'Anonymize'] THEN 'Clear' END
$$;

-- The same for another row of such a session. In a table that has people of its own it is about one of those; its free text
-- may tell of the person all the same. `goes`: the person's own row goes as a whole.
CREATE OR REPLACE FUNCTION retention.act_on_relative(actions text[], goes boolean, is_content boolean, has_people boolean, has_text boolean)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN is_content AND (goes OR 'DeleteContent' = ANY (actions)) OR goes AND NOT has_people THEN 'Delete'
        -- The text of content is the content: it stays unless it was asked for too (P12).
        WHEN has_text AND NOT is_content AND actions && ARRAY['Erase', 'Anonymize'] THEN 'Clear' END
$$;

-- The person's own rows of one month: one row for each that a column of it names, with whose columns those are. `wanted` holds
-- request, role and spelling.
CREATE OR REPLACE FUNCTION retention.own_rows_query(t retention.managed, month text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT string_agg(format('SELECT w.request_id, r.%I AS born_at, %s AS row_key, %s AS session, %L::text AS person, %L::boolean AS by_customer'
        ' FROM wanted AS w JOIN public.%I AS r ON %s = w.spelling WHERE w.role = %L',
        t.born_at, retention.key_of_row(t.table_name, 'r'),
        CASE WHEN t.session_column IS NULL THEN 'NULL::text' ELSE format('nullif(r.%I::text, '''')', t.session_column) END,
        c.person, retention.identifier_role(c.role) <> 'StaffId', month,
        retention.folded_expression(c.role, format('r.%I::text', c.name)), retention.identifier_role(c.role)), ' UNION ALL ' ORDER BY c.position)
    FROM retention.person_column AS c WHERE c.table_name = t.table_name AND retention.identifier_role(c.role) IS NOT NULL
$$;

-- The next months of a table, for about a second: lists the rows of these people ([{request, spellings: [[role, value], ...]}, ...]).
-- Returns where to go on; null at the end.
CREATE OR REPLACE FUNCTION retention.find_subjects(for_run uuid, wanted_table text, subjects jsonb, resume_after timestamptz) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any');
    t retention.managed := retention.managed_or_refuse(wanted_table);
    of_one_person boolean := (SELECT count(DISTINCT nullif(person, '')) = 1 FROM retention.person_column WHERE table_name = wanted_table);
    p retention.partition;
    own_rows text;
    until timestamptz := clock_timestamp() + interval '1 second';
    reached timestamptz;
BEGIN
    PERFORM retention.assert_subjects(subjects);
    FOR p IN SELECT * FROM retention.partition AS x WHERE x.table_name = wanted_table
        AND x.born_from >= coalesce(resume_after, '-infinity') AND pg_relation_size(x.partition_oid) > 0 ORDER BY x.born_from
    LOOP
        IF reached IS NOT NULL AND clock_timestamp() > until THEN
            RETURN to_jsonb(reached);
        END IF;
        own_rows := retention.own_rows_query(t, p.partition);
        EXIT WHEN own_rows IS NULL;
        EXECUTE format('WITH wanted AS (SELECT DISTINCT (s ->> ''request'')::uuid AS request_id, i ->> 0 AS role, i ->> 1 AS spelling'
            ' FROM jsonb_array_elements($1) AS s, jsonb_array_elements(s -> ''spellings'') AS i),'
            ' found AS MATERIALIZED (SELECT o.request_id, o.born_at, o.row_key, o.session, array_agg(DISTINCT o.person) || CASE WHEN $5 THEN ''{}'' ELSE ARRAY[''''] END AS persons,'
            ' bool_or(o.by_customer) AS by_customer FROM (%s) AS o JOIN retention.request AS a USING (request_id)'
            ' WHERE a.found_at IS NULL GROUP BY 1, 2, 3, 4),'
            ' sessions AS (INSERT INTO retention.request_session AS s (request_id, family, session, born_at, goes)'
            ' SELECT f.request_id, $2, f.session, f.born_at, bool_or(''Erase'' = ANY (a.actions) AND (f.by_customer OR $6))'
            ' FROM found AS f JOIN retention.request AS a USING (request_id) GROUP BY 1, 2, 3, 4'
            ' ON CONFLICT (request_id, family, md5(coalesce(session, '''')), born_at) DO UPDATE SET goes = s.goes OR excluded.goes)'
            ' INSERT INTO retention.request_row (request_id, category, table_name, born_at, row_key, act, persons)'
            ' SELECT f.request_id, $3, $4, f.born_at, f.row_key, n.act, f.persons FROM found AS f JOIN retention.request AS a USING (request_id),'
            ' LATERAL retention.act_on_own_row(a.actions, $5, f.by_customer, $6) AS n(act) WHERE n.act IS NOT NULL ON CONFLICT DO NOTHING',
            own_rows) USING subjects, t.family, t.category, t.table_name, t.content_of IS NOT NULL, of_one_person;
        reached := p.born_to;
    END LOOP;
    RETURN NULL;
END
$$;

-- The rows of one month that belong to sessions which were found, with what becomes of them. Rows without a session belong to the
-- rows without one of the same birth. Two questions, as one with an OR inside would be answered row by row.
CREATE OR REPLACE FUNCTION retention.relatives_query(t retention.managed, month text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT string_agg(format('SELECT s.request_id, r.%I AS born_at, %s AS row_key, retention.act_on_relative(a.actions, s.goes, $4, $5, $7) AS act'
        ' FROM retention.request_session AS s JOIN retention.request AS a USING (request_id) JOIN public.%I AS r ON %s'
        ' WHERE s.request_id = ANY ($1) AND s.family = $6 AND a.found_at IS NULL',
        t.born_at, retention.key_of_row(t.table_name, 'r'), month, same.condition), ' UNION ALL ')
    FROM (SELECT format('s.session = nullif(r.%I::text, '''') AND s.born_at BETWEEN r.%I - retention.session_reach()'
            ' AND r.%2$I + retention.session_reach()', t.session_column, t.born_at) AS condition WHERE t.session_column IS NOT NULL
        UNION ALL
        SELECT format('s.session IS NULL AND s.born_at = r.%I', t.born_at)
            || CASE WHEN t.session_column IS NULL THEN '' ELSE format(' AND nullif(r.%I::text, '''') IS NULL', t.session_column) END) AS same
$$;

-- The next months of a table, as above: lists what belongs to the sessions that were found for these requests.
CREATE OR REPLACE FUNCTION retention.find_relatives(for_run uuid, wanted_table text, requests uuid[], resume_after timestamptz) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any');
    t retention.managed := retention.managed_or_refuse(wanted_table);
    has_people boolean := EXISTS (SELECT FROM retention.person_column
        WHERE table_name = wanted_table AND retention.identifier_role(role) IS NOT NULL);
    has_text boolean := EXISTS (SELECT FROM retention.person_column WHERE table_name = wanted_table AND person = '');
    p retention.partition;
    until timestamptz := clock_timestamp() + interval '1 second';
    reached timestamptz;
BEGIN
    FOR p IN SELECT * FROM retention.partition AS x WHERE x.table_name = wanted_table
        AND x.born_from >= coalesce(resume_after, '-infinity') AND pg_relation_size(x.partition_oid) > 0
        AND EXISTS (SELECT FROM retention.request_session AS s WHERE s.request_id = ANY (requests) AND s.family = t.family
            AND s.born_at + retention.session_reach() >= x.born_from AND s.born_at - retention.session_reach() < x.born_to)
        ORDER BY x.born_from
    LOOP
        IF reached IS NOT NULL AND clock_timestamp() > until THEN
            RETURN to_jsonb(reached);
        END IF;
        EXECUTE format('INSERT INTO retention.request_row (request_id, category, table_name, born_at, row_key, act, persons)'
            -- 'Clear' comes before 'Delete': a row of two sessions goes only if it goes with both.
            ' SELECT n.request_id, $2, $3, n.born_at, n.row_key, min(n.act), ARRAY[''''] FROM (%s) AS n'
            -- The person's own rows are listed already, and with more.
            ' WHERE n.act IS NOT NULL AND NOT EXISTS (SELECT FROM retention.request_row AS q WHERE q.request_id = n.request_id'
            ' AND q.table_name = $3 AND q.born_at = n.born_at AND md5(q.row_key::text) = md5(n.row_key::text))'
            ' GROUP BY 1, 4, 5 ON CONFLICT DO NOTHING', retention.relatives_query(t, p.partition))
            USING requests, t.category, wanted_table, t.content_of IS NOT NULL, has_people, t.family, has_text;
        reached := p.born_to;
    END LOOP;
    RETURN NULL;
END
$$;

-- All is listed: from now on runs act. What comes in later is not the request's matter (P13).
CREATE OR REPLACE FUNCTION retention.subjects_found(for_run uuid, requests uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' AS $$
BEGIN
    PERFORM retention.assert_run(for_run, 'Enforce');
    UPDATE retention.request SET found_at = clock_timestamp() WHERE request_id = ANY (requests) AND found_at IS NULL;
END
$$;
