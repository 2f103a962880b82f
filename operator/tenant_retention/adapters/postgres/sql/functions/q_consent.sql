-- Content is not stored where the record of its session denies it, or where recording was forced and not accepted (P10), and no
-- row of a table that only some records may have where the record is another one (P5).

-- Which flags of which table of the record decide, by today's rules; no row: the category's content needs no consent.
CREATE OR REPLACE VIEW retention.consent AS
SELECT c ->> 'name' AS category, r.table_name AS record_table, r.session_column, r.born_at,
    c #>> '{consent,refusedColumn}' AS refused_column, c #>> '{consent,forcedColumn}' AS forced_column,
    c #>> '{consent,acceptedColumn}' AS accepted_column
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'categories') AS c
JOIN retention.managed AS r ON r.table_name = c #>> '{consent,table}' AND r.session_column IS NOT NULL
WHERE c ->> 'database' = s.purpose;

-- The condition under which a record denies content. A flag that is not set denies nothing.
CREATE OR REPLACE FUNCTION retention.denying_condition(c retention.consent, alias text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN c.forced_column IS NULL THEN format('%s%I IS TRUE', prefix, c.refused_column)
        ELSE format('(%1$s%2$I IS TRUE OR (%1$s%3$I IS TRUE AND %1$s%4$I IS NOT TRUE))',
            prefix, c.refused_column, c.forced_column, c.accepted_column) END
    FROM (SELECT coalesce(quote_ident(alias) || '.', '') AS prefix) AS of_table
$$;

-- The condition under which the row `alias` has a record with `deciding`, a condition on `record`. Births from..to bound which
-- months of the record are looked into. A row without a session is nobody's: it stays.
CREATE OR REPLACE FUNCTION retention.record_condition(t retention.managed, record_table text, record_session text, record_born text,
    deciding text, alias text, born_from timestamptz, born_to timestamptz)
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    reach interval := retention.session_reach();
BEGIN
    RETURN format('EXISTS (SELECT FROM public.%I AS record WHERE %s AND %s'
        ' AND record.%I >= %L::timestamptz AND record.%4$I <= %6$L::timestamptz'
        ' AND record.%4$I >= %7$I.%8$I - %9$L::interval AND record.%4$I <= %7$I.%8$I + %9$L::interval)',
        record_table,
        -- A cast keeps an index from being used.
        format(CASE WHEN retention.column_type_of(record_table, record_session)
                = retention.column_type_of(t.table_name, t.session_column) THEN 'record.%I = %I.%I' ELSE 'record.%I::text = %I.%I::text' END,
            record_session, alias, t.session_column),
        deciding, record_born, retention.readable(born_from) - reach, retention.readable(born_to) + reach, alias, t.born_at, reach);
END
$$;

-- The condition under which the record of the row `alias` denies it: 'false' where content needs no consent.
CREATE OR REPLACE FUNCTION retention.denied_condition(wanted text, alias text, born_from timestamptz, born_to timestamptz)
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed := retention.managed_or_refuse(wanted);
    c retention.consent;
BEGIN
    SELECT * INTO c FROM retention.consent WHERE category = t.category;
    IF NOT FOUND OR t.session_column IS NULL THEN
        RETURN 'false';
    END IF;
    RETURN retention.record_condition(t, c.record_table, c.session_column, c.born_at, retention.denying_condition(c, 'record'),
        alias, born_from, born_to);
END
$$;

-- Tables that only some records may have rows in, by today's rules.
CREATE OR REPLACE VIEW retention.only_with AS
SELECT t.table_name, r.table_name AS record_table, r.session_column, r.born_at, d #>> '{onlyWith,column}' AS column_name,
    ARRAY(SELECT jsonb_array_elements_text(d #> '{onlyWith,values}')) AS allowed
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'tables') AS d
JOIN retention.managed AS t ON t.table_name = d ->> 'name' AND t.session_column IS NOT NULL
JOIN retention.managed AS r ON r.table_name = d #>> '{onlyWith,table}' AND r.session_column IS NOT NULL;

-- The condition under which the record of the row `alias` is another one; one that does not say what it is keeps nothing out.
CREATE OR REPLACE FUNCTION retention.strange_condition(wanted text, alias text, born_from timestamptz, born_to timestamptz)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT retention.record_condition(t, o.record_table, o.session_column, o.born_at,
            format('record.%I <> ALL (%L::text[])', o.column_name, o.allowed), alias, born_from, born_to)
        FROM retention.only_with AS o JOIN retention.managed AS t USING (table_name) WHERE o.table_name = wanted), 'false')
$$;

CREATE OR REPLACE FUNCTION retention.guard_consent() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    record_table text;
    decided_by text;
    birth text;
    first_birth timestamptz;
    last_birth timestamptz;
    found_one boolean;
BEGIN
    SELECT born_at INTO STRICT birth FROM retention.managed WHERE table_name = TG_ARGV[0];
    EXECUTE format('SELECT min(%I), max(%1$I) FROM new_rows', birth) INTO first_birth, last_birth;
    IF first_birth IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM new_rows AS r WHERE %s)',
        retention.denied_condition(TG_ARGV[0], 'r', first_birth, last_birth)) INTO found_one;
    IF found_one THEN
        SELECT n.record_table, n.refused_column INTO record_table, decided_by
            FROM retention.consent AS n JOIN retention.managed AS t USING (category) WHERE t.table_name = TG_ARGV[0];
        -- Not which one: sessions, keys and numbers are no matter for a log.
        RAISE EXCEPTION 'refused: content in % whose session''s record in % denies it, or did not accept forced recording',
            TG_ARGV[0], record_table USING ERRCODE = 'RTG00', DETAIL = 'ConsentRefused',
            HINT = format('Nothing of this statement was stored. Leave such content out; %s.%s says who denied it.',
                record_table, decided_by);
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM new_rows AS r WHERE %s)',
        retention.strange_condition(TG_ARGV[0], 'r', first_birth, last_birth)) INTO found_one;
    IF found_one THEN
        SELECT o.record_table, o.column_name INTO record_table, decided_by FROM retention.only_with AS o WHERE o.table_name = TG_ARGV[0];
        RAISE EXCEPTION 'refused: rows in % whose session''s record in % is of a kind that has none', TG_ARGV[0], record_table
            USING ERRCODE = 'RTG00', DETAIL = 'RecordHasNone',
            HINT = format('Nothing of this statement was stored. Leave such rows out; %s.%s says what kind it is.', record_table, decided_by);
    END IF;
    RETURN NULL;
END
$$;

-- Whether the database looks at the record of each row that comes in.
CREATE OR REPLACE FUNCTION retention.has_content_guard(t retention.managed) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.session_column IS NOT NULL AND (t.category IN (SELECT category FROM retention.consent)
        OR t.table_name IN (SELECT table_name FROM retention.only_with))
$$;

-- Puts the guard on one table or partition of content that needs consent, or that only some records may have. The operator's own functions only ever take away
-- from rows that are there, and a row that came before its record may lose a name like any other: no update of the owner's is
-- asked.
CREATE OR REPLACE FUNCTION retention.guard_content(relation text, managed_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM retention.managed AS t WHERE t.table_name = managed_name AND retention.has_content_guard(t)) THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER retention_consent_insert AFTER INSERT ON public.%I REFERENCING NEW TABLE AS new_rows'
        ' FOR EACH STATEMENT EXECUTE FUNCTION retention.guard_consent(%L)', relation, managed_name);
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER retention_consent_update AFTER UPDATE ON public.%I REFERENCING NEW TABLE AS new_rows'
        ' FOR EACH STATEMENT WHEN (current_user <> %L) EXECUTE FUNCTION retention.guard_consent(%L)',
        relation, current_user, managed_name);
    EXECUTE format('ALTER TABLE public.%I ENABLE TRIGGER retention_consent_insert', relation);
    EXECUTE format('ALTER TABLE public.%I ENABLE TRIGGER retention_consent_update', relation);
END
$$;

-- Guards on content that needs consent and on its partitions, none on other content; and the index by which the nightly scan
-- finds the records that deny something, which are few.
CREATE OR REPLACE FUNCTION retention.converge_consent() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r record;
    c retention.consent;
    index_name text;
BEGIN
    FOR r IN
        WITH relations AS MATERIALIZED (
            SELECT parent.oid, m.table_name, retention.has_content_guard(m) AS wanted
            FROM retention.managed AS m JOIN pg_class AS parent ON parent.relname = m.table_name AND parent.relnamespace = 'public'::regnamespace
        ), all_relations AS MATERIALIZED (
            SELECT * FROM relations
            UNION ALL SELECT i.inhrelid, rel.table_name, rel.wanted FROM relations AS rel JOIN pg_inherits AS i ON i.inhparent = rel.oid
        ), guards AS MATERIALIZED (
            SELECT tgrelid, count(*) FILTER (WHERE tgenabled = 'O' AND tgfoid = 'retention.guard_consent'::regproc) AS guards
            FROM pg_trigger WHERE tgname IN ('retention_consent_insert', 'retention_consent_update') GROUP BY tgrelid
        )
        SELECT child.relname::text AS relation, rel.table_name, rel.wanted
        FROM all_relations AS rel JOIN pg_class AS child ON child.oid = rel.oid LEFT JOIN guards AS g ON g.tgrelid = rel.oid
        WHERE CASE WHEN rel.wanted THEN coalesce(g.guards, 0) <> 2 ELSE g.guards IS NOT NULL END ORDER BY 1
    LOOP
        IF r.wanted THEN
            PERFORM retention.guard_content(r.relation, r.table_name);
            RETURN NEXT format('consent guards on %s put in place', r.relation);
        ELSE
            EXECUTE format('DROP TRIGGER IF EXISTS retention_consent_insert ON public.%I', r.relation);
            EXECUTE format('DROP TRIGGER IF EXISTS retention_consent_update ON public.%I', r.relation);
            RETURN NEXT format('consent guards on %s taken away: its category needs none', r.relation);
        END IF;
    END LOOP;
    FOR c IN SELECT * FROM retention.consent LOOP
        index_name := retention.bounded_name(c.record_table, '_denying_' || left(md5(retention.denying_condition(c, NULL)), 8));
        IF NOT EXISTS (SELECT FROM pg_class WHERE relname = index_name AND relnamespace = 'public'::regnamespace) THEN
            EXECUTE format('CREATE INDEX %I ON public.%I (%I) WHERE %s', index_name, c.record_table, c.session_column,
                retention.denying_condition(c, NULL));
            RETURN NEXT format('index on records of %s that deny content created', c.record_table);
        END IF;
    END LOOP;
END
$$;
