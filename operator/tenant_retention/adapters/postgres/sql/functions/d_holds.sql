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

CREATE OR REPLACE FUNCTION retention.column_type_of(wanted text, wanted_column text) RETURNS oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT atttypid FROM pg_attribute WHERE attrelid = to_regclass(format('public.%I', wanted)) AND attname = wanted_column
$$;

-- The kinds of live holds that may select rows of a table directly, by what they name, with the births that each kind spans.
-- What the table cannot tell is answered for keeping: without a session column any category of the family counts, and so it
-- does where the hold names the session: then record and content are held together, however far apart they were born (X3).
-- Without a unit column (here or in its session's record) a hold on a unit holds all; where the record tells the unit of a
-- category that does not, it is the record that is selected. `categories`: those that fit.
-- Of a person record and content are held together too, since they may tell of different people; see may_be_persons.
-- `of_name`: of the LegalHold of this name alone; null: of all. So in every function below.
DROP FUNCTION IF EXISTS retention.hold_kinds(retention.managed);
DROP FUNCTION IF EXISTS retention.hold_kinds(retention.managed, text);
CREATE OR REPLACE FUNCTION retention.hold_kinds(t retention.managed, of_name text DEFAULT NULL)
RETURNS TABLE (by_session boolean, by_unit boolean, by_birth boolean, salt bytea, categories text[],
    born_from timestamptz, born_to timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT h.session IS NOT NULL, h.unit IS NOT NULL, coalesce(h.born_from, h.born_to) IS NOT NULL, h.salt, fit.categories,
        min(coalesce(h.born_from, '-infinity')), max(coalesce(h.born_to, 'infinity'))
    FROM retention.hold AS h CROSS JOIN LATERAL (
        SELECT CASE WHEN h.session IS NOT NULL OR h.salt IS NOT NULL OR t.session_column IS NULL
                THEN ARRAY(SELECT DISTINCT m.category FROM retention.managed AS m WHERE m.family = t.family ORDER BY 1)
            WHEN h.unit IS NOT NULL AND t.unit_column IS NOT NULL
                THEN ARRAY(SELECT DISTINCT m.category FROM retention.managed AS m WHERE m.family = t.family
                    AND (m.category = t.category OR m.session_column IS NOT NULL AND m.unit_column IS NULL) ORDER BY 1)
            ELSE ARRAY[t.category] END
        AS categories) AS fit
    WHERE h.released_at IS NULL AND (of_name IS NULL OR h.name = of_name)
        AND (h.category IS NULL OR h.category = ANY (fit.categories))
        AND (h.session IS NULL OR t.session_column IS NOT NULL)
        -- Of a person's row whose unit is not told it does not matter which one it is.
        AND (h.unit IS NULL OR h.salt IS NOT NULL OR t.unit_column IS NOT NULL OR t.session_column IS NULL OR NOT EXISTS (
            SELECT FROM retention.managed AS m
            WHERE m.family = t.family AND m.unit_column IS NOT NULL AND m.session_column IS NOT NULL))
        AND (h.salt IS NULL OR (SELECT retention.may_be_persons(t)))
    GROUP BY 1, 2, 3, 4, 5
$$;

-- The condition under which a hold of one kind selects the row `alias` directly. Only columns that the kind names are compared:
-- then many holds are one look-up for each row, and not one comparison each.
DROP FUNCTION IF EXISTS retention.selected_condition(retention.managed, text, boolean, boolean, boolean, text[]);
DROP FUNCTION IF EXISTS retention.selected_condition(retention.managed, text, boolean, boolean, boolean, text[], text);
CREATE OR REPLACE FUNCTION retention.selected_condition(t retention.managed, alias text,
    by_session boolean, by_unit boolean, by_birth boolean, salt bytea, categories text[], of_name text DEFAULT NULL)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT string_agg(CASE WHEN digest IS NOT NULL AND NOT by_session AND NOT by_birth AND NOT (by_unit AND t.unit_column IS NOT NULL)
        -- Nothing else of the row is compared: the digests of all holds are read once, and not looked up for each row.
        THEN format('coalesce(%s IN (SELECT h.person FROM retention.hold AS h WHERE h.person IS NOT NULL AND %s), false)', digest, named)
        ELSE format('EXISTS (SELECT FROM retention.hold AS h WHERE %s AND h.person %s)', named,
            CASE WHEN salt IS NULL THEN 'IS NULL' ELSE coalesce('= ' || digest, 'IS NOT NULL') END) END, ' OR ')
    FROM unnest(CASE WHEN salt IS NOT NULL THEN retention.person_digests(t, alias, salt) ELSE ARRAY[NULL]::text[] END) AS digest,
        (SELECT format('h.released_at IS NULL AND (h.category IS NULL OR h.category = ANY (%L::text[]))', categories)
        || coalesce(' AND h.name = ' || quote_literal(of_name), '')
        || CASE WHEN by_session THEN format(' AND h.session = %I.%I::text', alias, t.session_column) ELSE ' AND h.session IS NULL' END
        || CASE WHEN by_unit AND t.unit_column IS NOT NULL THEN format(' AND h.unit = %I.%I::text', alias, t.unit_column)
            ELSE ' AND h.unit IS ' || CASE WHEN by_unit THEN 'NOT NULL' ELSE 'NULL' END END
        || CASE WHEN by_birth THEN format(' AND coalesce(h.born_from, h.born_to) IS NOT NULL'
            ' AND (h.born_from IS NULL OR %1$I.%2$I >= h.born_from) AND (h.born_to IS NULL OR %1$I.%2$I < h.born_to)', alias, t.born_at)
            ELSE ' AND h.born_from IS NULL AND h.born_to IS NULL' END) AS c(named)
$$;

-- The condition under which another row of the session of `alias` is selected, in one table of its family, month by month so
-- that months without rows, or out of reach of every hold, are not even opened; 'false' where none is left. A hold that names
-- only the session selects all of its rows itself; one that names more as well is asked for the session first. Of `few` rows
-- each looks into the session's index, by itself so that nothing else is taken for a better index; else the planner may read
-- a month once, and where the types differ it has to.
DROP FUNCTION IF EXISTS retention.held_through_condition(
    retention.managed, text, retention.managed, timestamptz, timestamptz, boolean);
CREATE OR REPLACE FUNCTION retention.held_through_condition(t retention.managed, alias text, relative retention.managed,
    wanted_from timestamptz, wanted_to timestamptz, few boolean, of_name text DEFAULT NULL)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT coalesce(string_agg(CASE WHEN k.by_session THEN format('(EXISTS (SELECT FROM retention.hold AS h'
        ' WHERE h.released_at IS NULL%s AND h.session = %I.%I::text) AND (%s))',
        coalesce(' AND h.name = ' || quote_literal(of_name), ''), alias, t.session_column, k.months) ELSE k.months END, ' OR '),
        'false')
    FROM (SELECT s.by_session, string_agg(format(
            CASE WHEN NOT s.alike
                THEN 'EXISTS (SELECT FROM public.%1$I AS relative WHERE relative.%2$I::text = %3$I.%4$I::text%5$s AND (%6$s))'
            WHEN few OR s.by_session
                THEN 'EXISTS (SELECT FROM (SELECT * FROM public.%1$I AS relative WHERE relative.%2$I = %3$I.%4$I OFFSET 0) AS relative'
                ' WHERE (%6$s)%5$s OFFSET 0)'
            ELSE 'EXISTS (SELECT FROM public.%1$I AS relative WHERE relative.%2$I = %3$I.%4$I%5$s AND (%6$s))' END,
            s.partition, relative.session_column, alias, t.session_column,
            CASE WHEN s.born_from < wanted_from THEN format(' AND relative.%I >= %L::timestamptz', relative.born_at, wanted_from) ELSE '' END
            || CASE WHEN s.born_to > wanted_to THEN format(' AND relative.%I < %L::timestamptz', relative.born_at, wanted_to) ELSE '' END,
            s.selected), ' OR ') AS months
        FROM (SELECT x.by_session, p.partition, p.born_from, p.born_to, string_agg(retention.selected_condition(
                relative, 'relative', x.by_session, x.by_unit, x.by_birth, x.salt, x.categories, of_name), ' OR ') AS selected,
                retention.column_type_of(t.table_name, t.session_column)
                    = retention.column_type_of(relative.table_name, relative.session_column) AS alike
            FROM retention.hold_kinds(relative, of_name) AS x
            -- A month that is detached and not yet dropped may be held, and then comes back.
            JOIN retention.partition_or_detached AS p ON p.table_name = relative.table_name
                AND p.born_from < least(x.born_to, wanted_to) AND p.born_to > greatest(x.born_from, wanted_from)
            WHERE (NOT x.by_session OR x.by_unit OR x.by_birth OR x.salt IS NOT NULL) AND pg_relation_size(p.partition_oid) > 0
            GROUP BY x.by_session, p.partition, p.born_from, p.born_to) AS s
        GROUP BY s.by_session) AS k
$$;

-- The condition under which a row is held: 'false' where nothing is on hold. Holding a record holds its content, holding
-- content holds its record and so the whole session (X3). Births from..to bound where the session's other rows are sought,
-- and the reach on both sides, since content may carry its own time. It is made for the holds and months that are there now:
-- ask for it after lock_holds wherever something is deleted by it. `few`: it is asked for a batch of rows, and what it costs
-- grows with them and not with the archive; false: for a month or more. It must stand above a partitioned table, in a query
-- around a subquery with OFFSET 0: as a filter of the table itself it would be set up anew for each month.
DROP FUNCTION IF EXISTS retention.directly_held_condition(text, text);
DROP FUNCTION IF EXISTS retention.held_condition(text, text, timestamptz, timestamptz);
DROP FUNCTION IF EXISTS retention.held_condition(text, text, timestamptz, timestamptz, boolean);
CREATE OR REPLACE FUNCTION retention.held_condition(wanted text, alias text, born_from timestamptz, born_to timestamptz,
    few boolean DEFAULT false, of_name text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed;
    conditions text[];
BEGIN
    IF NOT EXISTS (SELECT FROM retention.hold WHERE released_at IS NULL) THEN
        RETURN 'false';
    END IF;
    t := retention.managed_or_refuse(wanted);
    conditions := ARRAY(SELECT retention.selected_condition(t, alias, k.by_session, k.by_unit, k.by_birth, k.salt, k.categories, of_name)
        FROM retention.hold_kinds(t, of_name) AS k
        WHERE k.born_from <= held_condition.born_to AND k.born_to > held_condition.born_from);
    IF t.session_column IS NOT NULL THEN
        conditions := conditions || ARRAY(
            SELECT retention.held_through_condition(t, alias, m, held_condition.born_from - retention.session_reach(),
                held_condition.born_to + retention.session_reach(), few, of_name)
            FROM retention.managed AS m WHERE m.family = t.family AND m.session_column IS NOT NULL);
    END IF;
    conditions := array_remove(conditions, 'false');
    RETURN CASE WHEN conditions = '{}' THEN 'false' ELSE '(' || array_to_string(conditions, ' OR ') || ')' END;
END
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
