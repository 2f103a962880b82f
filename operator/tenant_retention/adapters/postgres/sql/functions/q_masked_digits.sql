-- Digits that were entered behind a mask are not stored (P11). No message here ever repeats a value.

-- The masked columns of this database's tables, with how many decimal digits of a value may be seen.
CREATE OR REPLACE VIEW retention.masked_column AS
SELECT t.table_name, c ->> 'name' AS name, (c ->> 'visibleDigits')::integer AS visible_digits
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'tables') AS d,
    LATERAL jsonb_array_elements(d -> 'columns') AS c, retention.managed AS t
WHERE t.table_name = d ->> 'name' AND t.active AND c ->> 'visibleDigits' IS NOT NULL;

-- Whether a value shows more digits than it may, wherever in it they stand: "1 2 3 4" is no mask.
CREATE OR REPLACE FUNCTION retention.unmasked_value(m retention.masked_column, alias text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('coalesce(%s.%I::text ~ %L, false)', alias, m.name, format('([0-9][^0-9]*){%s}', m.visible_digits + 1))
$$;

CREATE OR REPLACE FUNCTION retention.unmasked_condition(wanted text, alias text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce('(' || string_agg(retention.unmasked_value(m, alias), ' OR ' ORDER BY m.name) || ')', 'false')
    FROM retention.masked_column AS m WHERE m.table_name = wanted
$$;

CREATE OR REPLACE FUNCTION retention.is_known_masked(wanted text, month text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM retention.masked_month WHERE table_name = wanted AND partition = month
        AND rule = md5(retention.unmasked_condition(wanted, 'r')))
$$;

CREATE OR REPLACE FUNCTION retention.know_masked(wanted text, month text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO retention.masked_month (table_name, partition, rule) VALUES (wanted, month, md5(retention.unmasked_condition(wanted, 'r')))
    ON CONFLICT (table_name, partition) DO UPDATE SET rule = excluded.rule
$$;

CREATE OR REPLACE FUNCTION retention.refuse_unmasked() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'refused: % of % shows digits that must be masked', TG_ARGV[0], TG_TABLE_NAME
        USING ERRCODE = 'RTG00', DETAIL = 'DigitsUnmasked',
        HINT = 'Nothing of this statement was stored. Write mask characters, or nothing, in place of the digits.';
END
$$;

-- Row triggers whose condition is asked before anything is called: what is masked costs one comparison. An update is asked only
-- about what it changes: older values wait for the scan, and keep nobody from closing a case. New months get them by themselves.
CREATE OR REPLACE FUNCTION retention.converge_masked_digits() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t record;
    stale name;
    wanted_names text[];
BEGIN
    FOR t IN SELECT m.name, parent.oid AS relation, retention.unmasked_condition(m.name, 'NEW') AS of_new,
            (SELECT string_agg(format('(OLD.%I IS DISTINCT FROM NEW.%1$I AND %s)', c.name, retention.unmasked_value(c, 'NEW')), ' OR '
                ORDER BY c.name) FROM retention.masked_column AS c WHERE c.table_name = m.name) AS of_change,
            (SELECT string_agg(quote_ident(c.name), ', ' ORDER BY c.name) FROM retention.masked_column AS c WHERE c.table_name = m.name) AS columns
        FROM retention.managed_table AS m
        JOIN pg_class AS parent ON parent.relname = m.name AND parent.relnamespace = 'public'::regnamespace
    LOOP
        wanted_names := CASE WHEN t.of_new = 'false' THEN '{}'
            ELSE ARRAY['retention_masked_insert_' || left(md5(t.of_new), 8), 'retention_masked_update_' || left(md5(t.of_new), 8)] END;
        IF NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = t.relation AND g.tgname LIKE 'retention\_masked\_%'
                AND g.tgname <> ALL (wanted_names))
            AND NOT EXISTS (SELECT FROM (SELECT t.relation AS oid UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = t.relation) AS each
                CROSS JOIN unnest(wanted_names) AS w(name) WHERE NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = each.oid
                    AND g.tgname = w.name AND g.tgenabled = 'O' AND g.tgfoid = 'retention.refuse_unmasked'::regproc))
        THEN
            CONTINUE;
        END IF;
        FOR stale IN SELECT tgname FROM pg_trigger WHERE tgrelid = t.relation AND tgname LIKE 'retention\_masked\_%' LOOP
            EXECUTE format('DROP TRIGGER %I ON public.%I', stale, t.name);
        END LOOP;
        -- What came in meanwhile was not asked.
        DELETE FROM retention.masked_month WHERE table_name = t.name;
        IF wanted_names = '{}' THEN
            RETURN NEXT format('digits of %s need no mask any more', t.name);
            CONTINUE;
        END IF;
        EXECUTE format('CREATE TRIGGER %I AFTER INSERT ON public.%I FOR EACH ROW WHEN (%s)'
            ' EXECUTE FUNCTION retention.refuse_unmasked(%L)', wanted_names[1], t.name, t.of_new, t.columns);
        -- Anonymization may write a hash, which has digits; it is the owner's, and blanked by the next night.
        EXECUTE format('CREATE TRIGGER %I AFTER UPDATE OF %s ON public.%I FOR EACH ROW WHEN (current_user <> %L AND (%s))'
            ' EXECUTE FUNCTION retention.refuse_unmasked(%L)', wanted_names[2], t.columns, t.name, current_user, t.of_change, t.columns);
        RETURN NEXT format('digits of %s are refused unmasked', t.name);
    END LOOP;
END
$$;

-- What stands in a column that lost its digits: nothing, or where that is not allowed the empty text.
CREATE OR REPLACE FUNCTION retention.blank_expression(m retention.masked_column) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%I = CASE WHEN %s THEN %s ELSE r.%1$I END', m.name, retention.unmasked_value(m, 'r'),
        CASE WHEN NOT a.attnotnull THEN 'NULL' WHEN a.atttypid = 'jsonb'::regtype THEN '''""''::jsonb' ELSE '''''' END)
    FROM pg_attribute AS a WHERE a.attrelid = to_regclass(format('public.%I', m.table_name)) AND a.attname = m.name
$$;

-- Blanks the digits of these findings. Where one row will not be written, the others are, one by one; it is tried again by the
-- next run, which finds it under this one's number.
CREATE OR REPLACE FUNCTION retention.blank_findings(r retention.run, t retention.managed, ids bigint[], OUT blanked bigint, OUT failed bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    statement text := format('UPDATE public.%I AS r SET %s FROM retention.finding AS c WHERE c.finding_id = ANY ($1) AND %s',
        t.table_name, (SELECT string_agg(retention.blank_expression(m), ', ' ORDER BY m.name) FROM retention.masked_column AS m
            WHERE m.table_name = t.table_name), retention.claimed_row_condition(t.table_name));
    id bigint;
BEGIN
    blanked := 0;
    failed := 0;
    IF ids = '{}' THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE statement USING ids;
        GET DIAGNOSTICS blanked = ROW_COUNT;
        DELETE FROM retention.finding WHERE finding_id = ANY (ids);
        RETURN;
    EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
        blanked := 0;
    END;
    FOREACH id IN ARRAY ids LOOP
        BEGIN
            EXECUTE statement USING ARRAY[id];
            DELETE FROM retention.finding WHERE finding_id = id;
            blanked := blanked + 1;
        EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
            UPDATE retention.finding SET found_by = r.number WHERE finding_id = id;
            failed := failed + 1;
        END;
    END LOOP;
END
$$;
