-- From the definition to tables, guards and grants: compares with the catalog, changes what differs, returns what it changed.
-- Run by the operator under SET ROLE owner; nobody else may execute these.

CREATE OR REPLACE FUNCTION retention.column_type(api_type text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known jsonb := '{"Text": "text", "Integer": "integer", "BigInteger": "bigint", "Numeric": "numeric",
        "Boolean": "boolean", "Timestamp": "timestamp with time zone", "Date": "date", "Uuid": "uuid", "Json": "jsonb",
        "Bytes": "bytea"}';
BEGIN
    IF NOT known ? api_type THEN
        RAISE EXCEPTION 'column type % is not known', api_type USING ERRCODE = 'RTI00', DETAIL = 'ProfileInvalid',
            HINT = 'Use one of the types that RetentionProfile documents.';
    END IF;
    RETURN known ->> api_type;
END
$$;

-- Writes the rules; the tables of other databases' purposes are left out.
CREATE OR REPLACE FUNCTION retention.converge_rules(
    definition jsonb, purpose text, digest text, mode text, suspended boolean, control_format integer)
RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before retention.settings;
    shared text;
    gone text;
BEGIN
    SELECT format('table %s belongs to more than one category', name) INTO shared FROM (
        SELECT table_name AS name FROM jsonb_array_elements(definition -> 'categories') AS c,
            jsonb_array_elements_text(c -> 'tables') AS table_name WHERE retention.lies_in(c, purpose)
        GROUP BY 1 HAVING count(*) > 1 LIMIT 1) AS doubled;
    IF shared IS NOT NULL THEN
        RAISE EXCEPTION '%', shared USING ERRCODE = 'RTI00', DETAIL = 'ProfileInvalid', HINT = 'Change the profile.';
    END IF;
    SELECT * INTO before FROM retention.settings;
    IF before IS NOT NULL AND before.purpose <> purpose THEN
        RAISE EXCEPTION 'this database was made for purpose %, not %', before.purpose, purpose
            USING ERRCODE = 'RTI00', DETAIL = 'StoreConflict';
    END IF;
    IF before.definition = definition AND before.rules_digest = digest AND before.mode = converge_rules.mode
        AND before.suspended = converge_rules.suspended AND before.format = control_format
        AND retention.rules_are_as_written() AND retention.scanned_rules_are_known() THEN
        RETURN;
    END IF;
    INSERT INTO retention.settings VALUES (true, control_format, purpose, definition, digest,
        (definition ->> 'policyGeneration')::bigint, (definition ->> 'profileGeneration')::bigint,
        (definition ->> 'marginSeconds')::bigint, (definition ->> 'guardPercent')::integer, mode, suspended)
    ON CONFLICT (only_row) DO UPDATE SET format = excluded.format, definition = excluded.definition,
        rules_digest = excluded.rules_digest, policy_generation = excluded.policy_generation,
        profile_generation = excluded.profile_generation, margin_seconds = excluded.margin_seconds,
        guard_percent = excluded.guard_percent, mode = excluded.mode, suspended = excluded.suspended;
    PERFORM retention.know_scanned_rules();
    FOR gone IN SELECT name FROM retention.category WHERE active AND NOT EXISTS (
        SELECT FROM retention.wanted_categories AS w WHERE w.name = category.name) ORDER BY 1
    LOOP
        RETURN NEXT format('category %s left the profile: its data stays, no longer expired', gone);
    END LOOP;
    FOR gone IN SELECT name FROM retention.managed_table WHERE active AND NOT EXISTS (
        SELECT FROM retention.wanted_tables AS w WHERE w.name = managed_table.name) ORDER BY 1
    LOOP
        RETURN NEXT format('table %s left the profile: it stays with its data', gone);
    END LOOP;
    -- By name: in a database of before, columns that came later stand in another order.
    INSERT INTO retention.category (name, position, active, state, content_of, minimum, keep, maximum, early_deletion, clock_event,
        clock_column, tables, object_table, key_column, version_column, extended_keep, extended_maximum, extended_until, file_prefix)
    SELECT name, position, active, state, content_of, minimum, keep, maximum, early_deletion, clock_event,
        clock_column, tables, object_table, key_column, version_column, extended_keep, extended_maximum, extended_until, file_prefix
    FROM retention.wanted_categories
    ON CONFLICT (name) DO UPDATE SET position = excluded.position, active = true, state = excluded.state,
        content_of = excluded.content_of, minimum = excluded.minimum, keep = excluded.keep, maximum = excluded.maximum,
        early_deletion = excluded.early_deletion, clock_event = excluded.clock_event, clock_column = excluded.clock_column,
        tables = excluded.tables, object_table = excluded.object_table, key_column = excluded.key_column,
        version_column = excluded.version_column, extended_keep = excluded.extended_keep,
        extended_maximum = excluded.extended_maximum, extended_until = excluded.extended_until,
        file_prefix = excluded.file_prefix;
    UPDATE retention.category AS c SET active = false
        WHERE active AND NOT EXISTS (SELECT FROM retention.wanted_categories AS w WHERE w.name = c.name);
    INSERT INTO retention.managed_table (name, category, position, active, primary_key, born_at, back, ahead, clock_columns,
        session_column, unit_column)
    SELECT name, category, position, active, primary_key, born_at, back, ahead, clock_columns, session_column, unit_column
    FROM retention.wanted_tables
    ON CONFLICT (name) DO UPDATE SET category = excluded.category, position = excluded.position, active = true,
        primary_key = excluded.primary_key, born_at = excluded.born_at, back = excluded.back, ahead = excluded.ahead,
        clock_columns = excluded.clock_columns, session_column = excluded.session_column, unit_column = excluded.unit_column;
    UPDATE retention.managed_table AS t SET active = false
        WHERE active AND NOT EXISTS (SELECT FROM retention.wanted_tables AS w WHERE w.name = t.name);
    IF before.rules_digest IS DISTINCT FROM digest THEN
        RETURN NEXT format('rules %s written', digest);
    ELSIF before.definition = definition AND before.mode = converge_rules.mode
        AND before.suspended = converge_rules.suspended AND before.format = control_format THEN
        RETURN NEXT 'rules put right';
    ELSIF before.mode <> converge_rules.mode OR before.suspended <> converge_rules.suspended THEN
        RETURN NEXT format('mode %s, suspended %s', mode, suspended);
    END IF;
END
$$;

-- No row of an archive ever named an object, was a file, or the content of another: that became so afterwards, if at all.
CREATE OR REPLACE VIEW retention.wanted_categories AS
SELECT c ->> 'name' AS name, ordinality::integer AS position, true AS active, c ->> 'state' AS state,
    x.link ->> 'contentOf' AS content_of, c ->> 'minimum' AS minimum, c ->> 'keep' AS keep, c ->> 'maximum' AS maximum,
    (c ->> 'earlyDeletion')::boolean AS early_deletion, c ->> 'clockEvent' AS clock_event, c ->> 'clockColumn' AS clock_column,
    ARRAY(SELECT jsonb_array_elements_text(c -> 'tables')) AS tables, x.link #>> '{objects,table}' AS object_table,
    x.link #>> '{objects,keyColumn}' AS key_column, x.link #>> '{objects,versionColumn}' AS version_column,
    c #>> '{extended,keep}' AS extended_keep, c #>> '{extended,maximum}' AS extended_maximum,
    (c #>> '{extended,until}')::timestamptz AS extended_until,
    x.link #>> '{files,prefix}' AS file_prefix
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'categories') WITH ORDINALITY AS categories(c, ordinality),
    LATERAL (SELECT CASE WHEN s.purpose <> 'Archive' THEN c END AS link) AS x
WHERE retention.lies_in(c, s.purpose);

CREATE OR REPLACE VIEW retention.wanted_tables AS
SELECT t ->> 'name' AS name, c.name AS category, array_position(c.tables, t ->> 'name') AS position, true AS active,
    ARRAY(SELECT jsonb_array_elements_text(t -> 'primaryKey')) AS primary_key, t ->> 'bornAt' AS born_at,
    t ->> 'back' AS back, t ->> 'ahead' AS ahead,
    ARRAY(SELECT jsonb_array_elements_text(t -> 'clockColumns')) AS clock_columns,
    t ->> 'sessionColumn' AS session_column, t ->> 'unitColumn' AS unit_column
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'tables') AS t
JOIN retention.wanted_categories AS c ON t ->> 'name' = ANY (c.tables);

-- Whether the derived tables still say what the definition says: somebody may have changed them by hand.
CREATE OR REPLACE FUNCTION retention.rules_are_as_written() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NOT EXISTS (SELECT to_jsonb(w) FROM retention.wanted_categories AS w EXCEPT SELECT to_jsonb(c) FROM retention.category AS c)
        AND NOT EXISTS (SELECT to_jsonb(w) FROM retention.wanted_tables AS w EXCEPT SELECT to_jsonb(t) FROM retention.managed_table AS t)
        AND NOT EXISTS (SELECT to_jsonb(c) FROM retention.category AS c WHERE active
            EXCEPT SELECT to_jsonb(w) FROM retention.wanted_categories AS w)
        AND NOT EXISTS (SELECT FROM retention.settings WHERE guard_percent <> (definition ->> 'guardPercent')::integer
            OR margin_seconds <> (definition ->> 'marginSeconds')::bigint)
$$;

-- An archive takes in what lies in a database that is older than a column's being required (M11).
CREATE OR REPLACE VIEW retention.wanted_columns AS
SELECT t ->> 'name' AS table_name, col ->> 'name' AS name, retention.column_type(col ->> 'type') AS type,
    (NOT (col ->> 'nullable')::boolean AND s.purpose <> 'Archive') OR col ->> 'name' IN (SELECT jsonb_array_elements_text(t -> 'primaryKey')) AS required,
    ordinality AS position
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'tables') AS t,
    jsonb_array_elements(t -> 'columns') WITH ORDINALITY AS columns(col, ordinality)
WHERE t ->> 'name' IN (SELECT name FROM retention.wanted_tables) AND col ->> 'name' <> t ->> 'bornAt';

CREATE OR REPLACE FUNCTION retention.create_managed_table(wanted text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t retention.managed := retention.managed_or_refuse(wanted);
    columns text;
BEGIN
    SELECT string_agg(format('%I %s%s', name, type, CASE WHEN required THEN ' NOT NULL' ELSE '' END), ', ' ORDER BY position)
        INTO columns FROM retention.wanted_columns WHERE table_name = wanted;
    EXECUTE format('CREATE TABLE public.%I (%s, %I timestamp with time zone NOT NULL, PRIMARY KEY (%s, %3$I))'
        ' PARTITION BY RANGE (%3$I)', wanted, columns, t.born_at,
        (SELECT string_agg(quote_ident(k), ', ' ORDER BY n) FROM unnest(t.primary_key) WITH ORDINALITY AS keys(k, n)));
END
$$;

-- Tables, columns, checks and indexes; the months come afterwards, in transactions of their own.
CREATE OR REPLACE FUNCTION retention.converge_tables() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t retention.managed;
    relation oid;
BEGIN
    FOR t IN SELECT * FROM retention.managed WHERE active ORDER BY category_position, position LOOP
        IF t.clock_event = 'Closed' AND t.state = 'Enforced' AND NOT EXISTS (
            SELECT FROM retention.wanted_columns WHERE table_name = t.table_name AND name = coalesce(t.closing, t.clock))
        THEN
            RAISE EXCEPTION 'category % counts from column %, which table % does not have', t.category, t.clock, t.table_name
                USING ERRCODE = 'RTI00', DETAIL = 'ProfileInvalid', HINT = 'Change the profile.';
        END IF;
        SELECT c.oid INTO relation FROM pg_class AS c
            WHERE c.relname = t.table_name AND c.relnamespace = 'public'::regnamespace;
        IF relation IS NULL THEN
            PERFORM retention.create_managed_table(t.table_name);
            RETURN NEXT format('table %s created', t.table_name);
            relation := format('public.%I', t.table_name)::regclass;
        ELSIF NOT EXISTS (SELECT FROM pg_partitioned_table AS p JOIN pg_attribute AS a
            ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0] WHERE p.partrelid = relation
            AND p.partstrat = 'r' AND a.attname = t.born_at AND a.attnotnull) THEN
            RAISE EXCEPTION 'table % exists and is not partitioned by %', t.table_name, t.born_at
                USING ERRCODE = 'RTI00', DETAIL = 'StoreConflict', HINT = 'Rename it, or change the profile.';
        END IF;
        RETURN QUERY SELECT * FROM retention.converge_columns(t, relation);
        IF t.has_objects THEN
            RETURN QUERY SELECT * FROM retention.converge_plain_keys(t, relation);
        END IF;
        RETURN QUERY SELECT * FROM retention.converge_indexes(t, relation);
    END LOOP;
    -- Last of all: adding a check locks a table until the end, and above the rows of others are read.
    FOR t IN SELECT * FROM retention.managed WHERE active AND has_objects ORDER BY category_position, position LOOP
        RETURN QUERY SELECT * FROM retention.converge_short_names(t, format('public.%I', t.table_name)::regclass);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION retention.converge_columns(t retention.managed, relation oid) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w record;
    clock text;
    constraint_name text;
BEGIN
    FOR w IN SELECT wanted.*, a.attnum, format_type(a.atttypid, a.atttypmod) AS actual, a.attnotnull
        FROM retention.wanted_columns AS wanted LEFT JOIN pg_attribute AS a
        ON a.attrelid = relation AND a.attname = wanted.name AND NOT a.attisdropped
        WHERE wanted.table_name = t.table_name
            AND (a.attnum IS NULL OR format_type(a.atttypid, a.atttypmod) <> wanted.type OR (a.attnotnull AND NOT wanted.required))
        ORDER BY wanted.position
    LOOP
        IF w.attnum IS NULL THEN
            -- Existing rows have no value: a column that is added later is nullable, whatever the profile says (M11).
            EXECUTE format('ALTER TABLE public.%I ADD COLUMN %I %s', t.table_name, w.name, w.type);
            RETURN NEXT format('column %s.%s added', t.table_name, w.name);
        ELSIF w.actual <> w.type THEN
            RAISE EXCEPTION 'column %.% is %, the profile says %', t.table_name, w.name, w.actual, w.type
                USING ERRCODE = 'RTI00', DETAIL = 'StoreConflict', HINT = 'Types never change: give the column another name.';
        ELSE
            EXECUTE format('ALTER TABLE public.%I ALTER COLUMN %I DROP NOT NULL', t.table_name, w.name);
            RETURN NEXT format('column %s.%s may be empty now', t.table_name, w.name);
        END IF;
    END LOOP;
    -- A column that left the profile stays; applications that no longer write it must not fail on it.
    FOR w IN SELECT a.attname AS name, a.attnotnull FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attnum > 0
        AND NOT a.attisdropped AND a.attnotnull AND a.attname <> t.born_at AND a.attname <> ALL (t.primary_key)
        AND NOT EXISTS (SELECT FROM retention.wanted_columns AS c WHERE c.table_name = t.table_name AND c.name = a.attname)
    LOOP
        EXECUTE format('ALTER TABLE public.%I ALTER COLUMN %I DROP NOT NULL', t.table_name, w.name);
        RETURN NEXT format('column %s.%s left the profile: it stays, and may be empty now', t.table_name, w.name);
    END LOOP;
    FOREACH clock IN ARRAY t.born_at || (SELECT clock_columns FROM retention.managed_table WHERE name = t.table_name) LOOP
        constraint_name := retention.bounded_name('retention_readable_' || clock, '');
        IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = relation AND conname = constraint_name AND contype = 'c') THEN
            -- NOT VALID: rows of before may have an odd time, and years of rows are not read under this lock.
            EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT %I CHECK (%I >= timestamptz ''0001-01-01 00:00:00+00'''
                ' AND %3$I <= timestamptz ''9999-12-31 23:59:59.999999+00'') NOT VALID', t.table_name, constraint_name, clock);
            -- Of an earlier version, which let every finite time in.
            EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT IF EXISTS %I', t.table_name,
                retention.bounded_name('retention_finite_' || clock, ''));
            RETURN NEXT format('check on %s.%s added', t.table_name, clock);
        END IF;
    END LOOP;
END
$$;

-- Guards on every managed table and partition, also on those that left the profile: their minimum and holds go on.
CREATE OR REPLACE FUNCTION retention.converge_guards() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    r record;
BEGIN
    FOR r IN
        WITH relations AS MATERIALIZED (
            SELECT parent.oid, m.name AS table_name FROM retention.managed_table AS m
            JOIN pg_class AS parent ON parent.relname = m.name AND parent.relnamespace = 'public'::regnamespace
        ), all_relations AS MATERIALIZED (
            SELECT oid, table_name FROM relations
            UNION ALL SELECT i.inhrelid, rel.table_name FROM relations AS rel JOIN pg_inherits AS i ON i.inhparent = rel.oid
        ), guards AS MATERIALIZED (
            SELECT tgrelid, count(*) AS guards FROM pg_trigger WHERE tgenabled = 'O'
                AND ((tgname = 'retention_guard_delete' AND tgfoid = 'retention.guard_delete'::regproc)
                    OR (tgname = 'retention_guard_truncate' AND tgfoid = 'retention.guard_truncate'::regproc))
            GROUP BY tgrelid
        )
        SELECT c.relname::text AS relation, rel.table_name
        FROM all_relations AS rel JOIN pg_class AS c ON c.oid = rel.oid LEFT JOIN guards AS g ON g.tgrelid = rel.oid
        WHERE coalesce(g.guards, 0) <> 2
        ORDER BY 1
    LOOP
        PERFORM retention.guard_relation(r.relation, r.table_name);
        EXECUTE format('ALTER TABLE public.%I ENABLE TRIGGER retention_guard_delete', r.relation);
        EXECUTE format('ALTER TABLE public.%I ENABLE TRIGGER retention_guard_truncate', r.relation);
        RETURN NEXT format('guards on %s put in place', r.relation);
    END LOOP;
    RETURN QUERY SELECT retention.converge_written_once();
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'retention.evidence'::regclass
        AND tgname = 'retention_append_only' AND tgenabled = 'O' AND tgfoid = 'retention.refuse_evidence_change'::regproc) THEN
        DROP TRIGGER IF EXISTS retention_append_only ON retention.evidence;
        CREATE TRIGGER retention_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON retention.evidence
            FOR EACH STATEMENT EXECUTE FUNCTION retention.refuse_evidence_change();
        RETURN NEXT 'evidence is append-only';
    END IF;
END
$$;
