-- Legal holds and the wait of a record for its content, as conditions over one table's rows.

-- A hold that is being placed waits for this transaction or is seen by it. A session that fixed its view of the data before
-- (REPEATABLE READ) would be let in after the hold and still not see it: it is refused, whoever it is (X3).
CREATE OR REPLACE FUNCTION retention.lock_holds() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'refused: deletion needs transactions that are READ COMMITTED'
            USING ERRCODE = 'RTG00', DETAIL = 'IsolationLevel', HINT = 'Nothing was deleted. Use the default isolation level.';
    END IF;
    LOCK TABLE retention.hold IN SHARE MODE;
END
$$;

-- How far the births of a session's rows may lie apart for them to be found together: a chat over weeks is. Content should carry
-- its record's birth; looking everywhere would cost a probe of every month for every row. Holds on a session know no distance.
CREATE OR REPLACE FUNCTION retention.session_reach() RETURNS interval
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT interval '92 days' $$;

-- Whether a hold selects rows of this table directly; `alias` names the row. What the table cannot tell is answered for
-- keeping: without a session column any category of the family counts, and so it does where the hold names the session: then
-- record and content are held together, however far apart they were born (X3). Without a unit column (here or in its session's
-- record) a hold on a unit holds all.
CREATE OR REPLACE FUNCTION retention.directly_held_condition(wanted text, alias text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t retention.managed := retention.managed_or_refuse(wanted);
    categories text[];
    by_session text := 'h.session IS NULL';
    by_unit text := 'true';
BEGIN
    SELECT CASE WHEN t.session_column IS NULL THEN array_agg(DISTINCT category) ELSE ARRAY[t.category] END
        INTO categories FROM retention.managed WHERE family = t.family;
    IF t.session_column IS NOT NULL THEN
        by_session := format('(h.session IS NULL OR h.session = %I.%I::text)', alias, t.session_column);
    END IF;
    IF t.unit_column IS NOT NULL THEN
        by_unit := format('(h.unit IS NULL OR h.unit = %I.%I::text)', alias, t.unit_column);
    ELSIF t.session_column IS NOT NULL AND EXISTS (SELECT FROM retention.managed
        WHERE family = t.family AND unit_column IS NOT NULL AND session_column IS NOT NULL) THEN
        by_unit := 'h.unit IS NULL';
    END IF;
    RETURN format('EXISTS (SELECT FROM retention.hold AS h WHERE h.released_at IS NULL'
        ' AND (h.category IS NULL OR h.category = ANY (%L::text[]) OR (h.session IS NOT NULL AND h.category = ANY (%L::text[])))'
        ' AND %s AND (h.born_from IS NULL OR %4$I.%5$I >= h.born_from) AND (h.born_to IS NULL OR %4$I.%5$I < h.born_to))',
        categories, ARRAY(SELECT DISTINCT category FROM retention.managed WHERE family = t.family),
        by_session || ' AND ' || by_unit, alias, t.born_at);
END
$$;

-- The condition under which a row is held: 'false' where nothing is on hold. Holding a record holds its content, holding
-- content holds its record and so the whole session (X3). Births from..to bound where the session's other rows are sought,
-- and the reach on both sides, since content may carry its own time.
CREATE OR REPLACE FUNCTION retention.held_condition(wanted text, alias text, born_from timestamptz, born_to timestamptz)
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed := retention.managed_or_refuse(wanted);
    relative record;
    condition text;
BEGIN
    IF NOT EXISTS (SELECT FROM retention.hold WHERE released_at IS NULL) THEN
        RETURN 'false';
    END IF;
    condition := retention.directly_held_condition(wanted, alias);
    IF t.session_column IS NOT NULL THEN
        FOR relative IN
            SELECT m.table_name, m.session_column, m.born_at, m.table_name AS relation FROM retention.managed AS m
                WHERE m.family = t.family AND m.session_column IS NOT NULL
            -- A month that is detached and not yet dropped may be held, and then comes back.
            UNION ALL SELECT m.table_name, m.session_column, m.born_at, p.partition FROM retention.managed AS m
                JOIN retention.detached_partition USING (table_name)
                JOIN retention.partition_or_detached AS p USING (table_name, partition)
                WHERE m.family = t.family AND m.session_column IS NOT NULL
        LOOP
            condition := condition || format(
                -- coalesce: a row without a session is not held by others, and must not become undecided.
                ' OR coalesce(%I.%I::text IN (SELECT relative.%I::text FROM public.%I AS relative'
                ' WHERE relative.%3$I IS NOT NULL AND relative.%5$I >= %6$L::timestamptz'
                ' AND relative.%5$I < %7$L::timestamptz AND %8$s), false)',
                alias, t.session_column, relative.session_column, relative.relation, relative.born_at,
                born_from - retention.session_reach(), born_to + retention.session_reach(),
                retention.directly_held_condition(relative.table_name, 'relative'));
        END LOOP;
    END IF;
    RETURN '(' || condition || ')';
END
$$;

CREATE OR REPLACE FUNCTION retention.column_type_of(wanted text, wanted_column text) RETURNS oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT atttypid FROM pg_attribute WHERE attrelid = to_regclass(format('public.%I', wanted)) AND attname = wanted_column
$$;

-- The condition under which a row of a record category waits for content of its session (P4): 'false' where there is no
-- content around these births. Rows without a session are linked by their equal birth. Month by month, so that each is one
-- probe of an index, and months without rows are none.
CREATE OR REPLACE FUNCTION retention.waiting_condition(wanted text, alias text, born_from timestamptz, born_to timestamptz)
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed := retention.managed_or_refuse(wanted);
    content record;
    conditions text[] := '{}';
    same_birth text;
BEGIN
    FOR content IN SELECT m.born_at, m.session_column, p.partition, p.born_from < waiting_condition.born_to
            AND p.born_to > waiting_condition.born_from AS of_these_births,
            retention.column_type_of(m.table_name, m.session_column) = retention.column_type_of(wanted, t.session_column) AS alike
        FROM retention.managed AS m JOIN retention.partition_or_detached AS p USING (table_name) WHERE m.content_of = t.category
            AND p.born_from < waiting_condition.born_to + retention.session_reach()
            AND p.born_to > waiting_condition.born_from - retention.session_reach()
            AND pg_relation_size(p.partition_oid) > 0
    LOOP
        IF t.session_column IS NOT NULL AND content.session_column IS NOT NULL THEN
            conditions := conditions || format(
                -- A cast keeps an index from being used, and every row would have the whole month read.
                CASE WHEN content.alike THEN 'EXISTS (SELECT FROM public.%I AS content WHERE content.%I = %I.%I)'
                ELSE 'EXISTS (SELECT FROM public.%I AS content WHERE content.%I::text = %I.%I::text)' END,
                content.partition, content.session_column, alias, t.session_column);
            same_birth := format('%I.%I IS NULL AND content.%I IS NULL', alias, t.session_column, content.session_column);
        ELSE
            same_birth := 'true';
        END IF;
        -- A question of its own: one EXISTS with an OR inside would be answered row by row.
        IF content.of_these_births THEN
            conditions := conditions || format('EXISTS (SELECT FROM public.%I AS content WHERE content.%I = %I.%I AND %s)',
                content.partition, content.born_at, alias, t.born_at, same_birth);
        END IF;
    END LOOP;
    RETURN CASE WHEN conditions = '{}' THEN 'false' ELSE '(' || array_to_string(conditions, ' OR ') || ')' END;
END
$$;
