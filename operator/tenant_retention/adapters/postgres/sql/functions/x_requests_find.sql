-- Whom a request is about is said once, by the Job that has its Secret: rows are listed by their keys, and the names forgotten.
-- First the person's own rows, in every table; then those of the same sessions (P4, P12). Only when all are listed does a run act:
-- content is found before the identity goes. The database itself remembers how far the search is, and believes nobody else.

-- What the enforcer says is believed as far as the operator said the same: no identifier more, none less.
CREATE OR REPLACE FUNCTION retention.assert_subjects(subjects jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM jsonb_array_elements(subjects) AS s WHERE NOT EXISTS (
        SELECT FROM retention.request AS a WHERE a.request_id = (s ->> 'request')::uuid
            AND (a.found_at IS NOT NULL OR (SELECT array_agg(d ORDER BY d) FROM unnest(a.identifiers) AS d) = (
                SELECT array_agg(d ORDER BY d) FROM (SELECT DISTINCT sha256(a.salt || convert_to(i ->> 0, 'UTF8')
                    || '\x00'::bytea || convert_to(i ->> 1, 'UTF8')) AS d FROM jsonb_array_elements(s -> 'spellings') AS i) AS told))))
    THEN
        RAISE EXCEPTION 'a request is not known here, or is about somebody else' USING ERRCODE = 'RTI00', DETAIL = 'SubjectUnknown',
            HINT = 'The operator tells the databases of a request before its Job.';
    END IF;
END
$$;

-- Begins the search of a run for these people, and tells the tables to look through; what an earlier run listed and did not end is
-- forgotten. Asked again it goes on.
CREATE OR REPLACE FUNCTION retention.begin_search(for_run uuid, subjects jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' AS $$
DECLARE
    anew uuid[];
BEGIN
    PERFORM retention.assert_run(for_run, 'Any');
    PERFORM retention.assert_subjects(subjects);
    SELECT coalesce(array_agg(request_id), '{}') INTO anew FROM retention.request
        WHERE request_id IN (SELECT (s ->> 'request')::uuid FROM jsonb_array_elements(subjects) AS s)
            AND found_at IS NULL AND searched_by IS DISTINCT FROM for_run;
    DELETE FROM retention.request_row WHERE request_id = ANY (anew);
    DELETE FROM retention.request_session WHERE request_id = ANY (anew);
    UPDATE retention.request SET searched_by = for_run WHERE request_id = ANY (anew);
    DELETE FROM retention.request_search WHERE run_id <> for_run;
    RETURN retention.active_tables();
END
$$;

-- How far the run's search is in a table, locked; refused for somebody whom the run did not begin with, and before every table was
-- looked through for the people's own rows.
CREATE OR REPLACE FUNCTION retention.search_of(for_run uuid, wanted_table text, wanted_stage text) RETURNS retention.request_search
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    search retention.request_search;
BEGIN
    PERFORM retention.managed_or_refuse(wanted_table);
    IF wanted_stage = 'Session' THEN
        PERFORM retention.assert_searched(for_run, 'Own');
    END IF;
    INSERT INTO retention.request_search (run_id, table_name, stage) VALUES (for_run, wanted_table, wanted_stage) ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT search FROM retention.request_search
        WHERE run_id = for_run AND table_name = wanted_table AND stage = wanted_stage FOR UPDATE;
    RETURN search;
END
$$;

CREATE OR REPLACE FUNCTION retention.assert_searched(for_run uuid, wanted_stage text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM retention.managed_table AS t WHERE t.active AND NOT EXISTS (SELECT FROM retention.request_search AS s
        WHERE s.run_id = for_run AND s.table_name = t.name AND s.stage = wanted_stage AND s.ended))
    THEN
        RAISE EXCEPTION 'not every table was looked through by run %', for_run USING ERRCODE = 'RTI00', DETAIL = 'SubjectUnknown',
            HINT = 'Search all tables before anything is said to be found.';
    END IF;
END
$$;

-- What becomes of a row that is the person's own; null: nothing but that its session is known. By a staff id alone only a row
-- that is about nobody else goes: a customer's call is not the agent's. A block lives on, as a keyed hash (T4).
CREATE OR REPLACE FUNCTION retention.act_on_own_row(
    actions text[], is_content boolean, by_customer boolean, of_one_person boolean, is_block boolean)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN 'Erase' = ANY (actions) AND (by_customer OR of_one_person) AND NOT is_block THEN 'Delete'
        WHEN 'DeleteContent' = ANY (actions) AND is_content THEN 'Delete'
        WHEN actions && ARRAY['Erase', 'Anonymize'] THEN 'Clear' END
$$;

-- The same for another row of such a session. In a table that has people of its own it is about one of those; its free text
-- may tell of the person all the same. `goes`: the person's own row goes as a whole. `tells`: the table has anything to clear.
CREATE OR REPLACE FUNCTION retention.act_on_relative(actions text[], goes boolean, is_content boolean, has_people boolean, tells boolean)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN is_content AND (goes OR 'DeleteContent' = ANY (actions)) OR goes AND NOT has_people THEN 'Delete'
        -- The text of content is the content: it stays unless it was asked for too (P12).
        WHEN tells AND NOT is_content AND actions && ARRAY['Erase', 'Anonymize'] THEN 'Clear' END
$$;

-- Whether a table is one of blocked people: kept until it is terminated, and the number is stored as a hash, since it must be there.
CREATE OR REPLACE FUNCTION retention.is_block(t retention.managed) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.clock_event = 'Terminated' AND EXISTS (SELECT FROM retention.person_column AS c
        JOIN pg_attribute AS a ON a.attrelid = to_regclass(format('public.%I', t.table_name)) AND a.attname = c.name AND a.attnotnull
        WHERE c.table_name = t.table_name AND c.method = 'Hash' AND retention.identifier_role(c.role) <> 'StaffId')
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
-- Returns whether the table is through.
CREATE OR REPLACE FUNCTION retention.find_subjects(for_run uuid, wanted_table text, subjects jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any');
    t retention.managed := retention.managed_or_refuse(wanted_table);
    search retention.request_search := retention.search_of(for_run, wanted_table, 'Own');
    of_one_person boolean := (SELECT count(DISTINCT nullif(person, '')) = 1 FROM retention.person_column WHERE table_name = wanted_table);
    sought uuid[] := ARRAY(SELECT request_id FROM retention.request WHERE searched_by = for_run AND found_at IS NULL);
    requests uuid[];
    roles text[];
    spellings text[];
    p retention.partition;
    own_rows text;
    until timestamptz := clock_timestamp() + interval '1 second';
BEGIN
    PERFORM retention.assert_subjects(subjects);
    -- Once, as arrays: in every month's statement the planner would guess how many people there are, and compare each with each.
    SELECT coalesce(array_agg(n.request_id), '{}'), array_agg(n.role), array_agg(n.spelling) INTO requests, roles, spellings
        FROM (SELECT DISTINCT (s ->> 'request')::uuid AS request_id, i ->> 0 AS role, i ->> 1 AS spelling
            FROM jsonb_array_elements(subjects) AS s, jsonb_array_elements(s -> 'spellings') AS i) AS n
        WHERE n.request_id = ANY (sought);
    IF cardinality(sought) <> (SELECT count(DISTINCT n) FROM unnest(requests) AS n) THEN
        RAISE EXCEPTION 'the run began its search with others' USING ERRCODE = 'RTI00', DETAIL = 'SubjectUnknown';
    END IF;
    FOR p IN SELECT * FROM retention.partition AS x WHERE x.table_name = wanted_table
        AND x.born_from >= search.reached AND pg_relation_size(x.partition_oid) > 0 ORDER BY x.born_from
    LOOP
        own_rows := retention.own_rows_query(t, p.partition);
        EXIT WHEN own_rows IS NULL OR search.ended OR requests = '{}';
        EXECUTE format('WITH wanted AS (SELECT * FROM unnest($1, $8, $9) AS w(request_id, role, spelling)),'
            ' found AS MATERIALIZED (SELECT o.request_id, o.born_at, o.row_key, o.session,'
            ' array_agg(DISTINCT o.person) || CASE WHEN $5 THEN ''{}'' ELSE ARRAY[''''] END AS persons,'
            ' bool_or(o.by_customer) AS by_customer FROM (%s) AS o GROUP BY 1, 2, 3, 4),'
            ' sessions AS (INSERT INTO retention.request_session AS s (request_id, family, session, born_at, goes)'
            ' SELECT f.request_id, $2, f.session, f.born_at, bool_or(''Erase'' = ANY (a.actions) AND (f.by_customer OR $6))'
            ' FROM found AS f JOIN retention.request AS a USING (request_id) WHERE f.session IS NOT NULL GROUP BY 1, 2, 3, 4'
            ' ON CONFLICT (request_id, family, md5(session), born_at) DO UPDATE SET goes = s.goes OR excluded.goes)'
            ' INSERT INTO retention.request_row (request_id, category, table_name, born_at, row_key, act, persons)'
            ' SELECT f.request_id, $3, $4, f.born_at, f.row_key, n.act, f.persons FROM found AS f JOIN retention.request AS a USING (request_id),'
            ' LATERAL retention.act_on_own_row(a.actions, $5, f.by_customer, $6, $7) AS n(act) WHERE n.act IS NOT NULL ON CONFLICT DO NOTHING',
            own_rows) USING requests, t.family, t.category, t.table_name, t.content_of IS NOT NULL, of_one_person,
                retention.is_block(t), roles, spellings;
        IF clock_timestamp() > until THEN
            UPDATE retention.request_search SET reached = p.born_to
                WHERE run_id = for_run AND table_name = wanted_table AND stage = 'Own';
            RETURN false;
        END IF;
    END LOOP;
    UPDATE retention.request_search SET ended = true WHERE run_id = for_run AND table_name = wanted_table AND stage = 'Own';
    RETURN true;
END
$$;

-- The next months of a table, as above: lists what belongs to the sessions that were found. A row without a session belongs to none:
-- an import gives many people one birth.
CREATE OR REPLACE FUNCTION retention.find_relatives(for_run uuid, wanted_table text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any');
    t retention.managed := retention.managed_or_refuse(wanted_table);
    search retention.request_search := retention.search_of(for_run, wanted_table, 'Session');
    has_people boolean := EXISTS (SELECT FROM retention.person_column
        WHERE table_name = wanted_table AND retention.identifier_role(role) IS NOT NULL);
    -- Without people of its own every name in it is of somebody in that session.
    people text[] := ARRAY(SELECT DISTINCT person FROM retention.person_column
        WHERE table_name = wanted_table AND (person = '' OR NOT has_people));
    p retention.partition;
    until timestamptz := clock_timestamp() + interval '1 second';
BEGIN
    FOR p IN SELECT * FROM retention.partition AS x WHERE x.table_name = wanted_table AND t.session_column IS NOT NULL
        AND NOT search.ended AND x.born_from >= search.reached AND pg_relation_size(x.partition_oid) > 0
        AND EXISTS (SELECT FROM retention.request_session AS s JOIN retention.request AS a USING (request_id)
            WHERE a.searched_by = for_run AND a.found_at IS NULL AND s.family = t.family
                AND s.born_at + retention.session_reach() >= x.born_from AND s.born_at - retention.session_reach() < x.born_to)
        ORDER BY x.born_from
    LOOP
        EXECUTE format('INSERT INTO retention.request_row (request_id, category, table_name, born_at, row_key, act, persons)'
            -- 'Clear' comes before 'Delete': a row of two sessions goes only if it goes with both.
            ' SELECT n.request_id, $2, $3, n.born_at, n.row_key, min(n.act), $7'
            ' FROM (SELECT s.request_id, r.%1$I AS born_at, %2$s AS row_key, retention.act_on_relative(a.actions, s.goes, $4, $5, $7 <> ''{}'') AS act'
            ' FROM retention.request_session AS s JOIN retention.request AS a USING (request_id) JOIN public.%3$I AS r'
            ' ON s.session = r.%4$I::text AND s.born_at BETWEEN r.%1$I - retention.session_reach() AND r.%1$I + retention.session_reach()'
            ' WHERE a.searched_by = $1 AND a.found_at IS NULL AND s.family = $6) AS n'
            -- The person's own rows are listed already, and with more.
            ' WHERE n.act IS NOT NULL AND NOT EXISTS (SELECT FROM retention.request_row AS q WHERE q.request_id = n.request_id'
            ' AND q.table_name = $3 AND q.born_at = n.born_at AND md5(q.row_key::text) = md5(n.row_key::text))'
            ' GROUP BY 1, 4, 5 ON CONFLICT DO NOTHING',
            t.born_at, retention.key_of_row(wanted_table, 'r'), p.partition, t.session_column)
            USING for_run, t.category, wanted_table, t.content_of IS NOT NULL, has_people, t.family, people;
        IF clock_timestamp() > until THEN
            UPDATE retention.request_search SET reached = p.born_to
                WHERE run_id = for_run AND table_name = wanted_table AND stage = 'Session';
            RETURN false;
        END IF;
    END LOOP;
    UPDATE retention.request_search SET ended = true WHERE run_id = for_run AND table_name = wanted_table AND stage = 'Session';
    RETURN true;
END
$$;

-- All is listed: from now on runs act, and nobody is sought any more. What comes in later is not the request's matter (P13).
CREATE OR REPLACE FUNCTION retention.subjects_found(for_run uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' AS $$
BEGIN
    PERFORM retention.assert_run(for_run, 'Enforce');
    PERFORM retention.assert_searched(for_run, 'Own');
    PERFORM retention.assert_searched(for_run, 'Session');
    DELETE FROM retention.request_session AS s USING retention.request AS a WHERE a.request_id = s.request_id
        AND a.searched_by = for_run AND a.actions && ARRAY['Erase', 'DeleteContent'];
    UPDATE retention.request SET found_at = clock_timestamp(), identifiers = '{}' WHERE searched_by = for_run AND found_at IS NULL;
END
$$;
