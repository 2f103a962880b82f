-- Requests of data subjects: which there are, and which columns are about whom. Placed by the operator alone, as holds are.

-- Columns that say who somebody is, with the profile's name for that person; '' is whoever the row is about.
CREATE OR REPLACE VIEW retention.person_column AS
SELECT t.table_name, col ->> 'name' AS name, ordinality AS position, col ->> 'type' AS type, col ->> 'role' AS role,
    col ->> 'person' AS person, col #>> '{anonymize,method}' AS method
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'tables') AS d,
    jsonb_array_elements(d -> 'columns') WITH ORDINALITY AS columns(col, ordinality), retention.managed AS t
WHERE t.table_name = d ->> 'name' AND t.active AND col ->> 'person' IS NOT NULL;

-- Which identifiers a column is compared with; null: it is compared with none. An agent's column has staff ids.
CREATE OR REPLACE FUNCTION retention.identifier_role(column_role text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE column_role WHEN 'Agent' THEN 'StaffId' WHEN 'PhoneNumber' THEN column_role WHEN 'EmailAddress' THEN column_role
        WHEN 'ChatIdentity' THEN column_role WHEN 'StaffId' THEN column_role END
$$;

-- A stored value as it is compared: written in groups or not, in capitals or not. domain/subjects.py has the spellings.
CREATE OR REPLACE FUNCTION retention.folded_expression(column_role text, value text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE column_role
        WHEN 'PhoneNumber' THEN format('translate(%s, %L, '''')', value, E' \t-.()/' || chr(160) || chr(8239))
        WHEN 'EmailAddress' THEN format('lower(btrim(%s))', value)
        ELSE format('btrim(%s)', value) END
$$;

-- Tells the database of a request; again and again. It never becomes another one: what is done cannot be asked for otherwise.
CREATE OR REPLACE FUNCTION retention.place_request(wanted uuid, wanted_name text, wanted_actions text[], received timestamptz,
    wanted_salt bytea, wanted_identifiers bytea[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
    INSERT INTO retention.request (request_id, name, actions, received_at, salt, identifiers)
        VALUES (wanted, wanted_name, wanted_actions, received, wanted_salt, wanted_identifiers)
        ON CONFLICT (request_id) DO NOTHING;
    IF NOT EXISTS (SELECT FROM retention.request WHERE request_id = wanted AND actions @> wanted_actions AND actions <@ wanted_actions)
    THEN
        RAISE EXCEPTION 'request % asks for something else here', wanted USING ERRCODE = 'RTI00', DETAIL = 'SpecInvalid',
            HINT = 'Make another request.';
    END IF;
END
$$;

-- Whether the rows of a category may go by request before its minimum is reached (M9).
CREATE OR REPLACE FUNCTION retention.early_by_request(wanted_category text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT early_deletion FROM retention.category WHERE name = wanted_category), false)
$$;

-- The condition under which a row is one that a request asks to delete; 'false' where none does.
CREATE OR REPLACE FUNCTION retention.asked_condition(wanted text, alias text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM retention.request_row AS q JOIN retention.request AS a USING (request_id)
            WHERE q.table_name = wanted AND q.act = 'Delete' AND a.found_at IS NOT NULL)
        THEN format('EXISTS (SELECT FROM retention.request_row AS q JOIN retention.request AS a USING (request_id)'
            ' WHERE q.table_name = %L AND q.act = ''Delete'' AND a.found_at IS NOT NULL AND q.born_at = %I.%I'
            ' AND md5(q.row_key::text) = md5((%s)::text))', wanted, alias, t.born_at, retention.key_of_row(wanted, alias))
        ELSE 'false' END
    FROM retention.managed AS t WHERE t.table_name = wanted
$$;

-- The same, and nothing but a hold or the bucket keeps it: its minimum has passed, or does not bind a request.
CREATE OR REPLACE FUNCTION retention.asked_to_go_condition(wanted text, alias text, at timestamptz) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed := retention.managed_or_refuse(wanted);
    asked text := retention.asked_condition(wanted, alias);
BEGIN
    RETURN CASE WHEN asked = 'false' OR t.minimum IS NULL OR retention.early_by_request(t.category) THEN asked
        ELSE format('(%s AND NOT %s)', asked, retention.undue_condition(t, alias, retention.cutoff(at, t.minimum))) END;
END
$$;

-- The condition under which any request has yet to do something to a row: it does not move to the archive before.
CREATE OR REPLACE FUNCTION retention.requested_condition(wanted text, alias text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM retention.request_row AS q WHERE q.table_name = wanted)
        THEN format('EXISTS (SELECT FROM retention.request_row AS q JOIN retention.request AS a USING (request_id)'
            ' WHERE q.table_name = %L AND a.found_at IS NOT NULL AND q.born_at = %I.%I AND md5(q.row_key::text) = md5((%s)::text))', wanted, alias, t.born_at, retention.key_of_row(wanted, alias))
        ELSE 'false' END
    FROM retention.managed AS t WHERE t.table_name = wanted
$$;

-- A run that only carries out requests: nothing is due in it by age, and it never counts as a night's run.
CREATE OR REPLACE FUNCTION retention.limit_to_requests(wanted uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    r retention.run;
BEGIN
    SELECT * INTO r FROM retention.run WHERE run_id = wanted;
    r := retention.assert_run(wanted, r.mode);
    IF EXISTS (SELECT FROM retention.run_category WHERE run_id = wanted AND begun) THEN
        RAISE EXCEPTION 'run % has begun its work already', wanted USING ERRCODE = 'RTI00', DETAIL = 'RunNotOpen',
            HINT = 'Begin a new run.';
    END IF;
    UPDATE retention.run SET requests_only = true,
        limited_to = ARRAY(SELECT category FROM retention.run_category WHERE run_id = wanted ORDER BY 1) WHERE run_id = wanted;
    UPDATE retention.run_category SET remove_through = NULL, previous_through = NULL, candidates = 0, surplus = 0, guard = 'Clear',
        approved = 0, anonymize_through = NULL, anonymize_previous = NULL, anonymize_due = 0, anonymize_surplus = 0,
        found_before = 0, found_guard = 'Clear' WHERE run_id = wanted;
    DELETE FROM retention.run_files WHERE run_id = wanted;
    DELETE FROM retention.run_partition WHERE run_id = wanted;
    DELETE FROM retention.run_anonymize WHERE run_id = wanted;
    RETURN retention.run_categories_as_json(wanted);
END
$$;
