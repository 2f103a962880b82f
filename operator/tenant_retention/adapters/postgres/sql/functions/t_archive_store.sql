-- The archive's own side: rows come in, and are shown to be here.

-- A table of this archive by the names of a step; refuses a database that is none, and a category that nothing is archived of.
CREATE OR REPLACE FUNCTION retention.archived_table(for_run uuid, wanted_category text, wanted_table text) RETURNS retention.managed
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'categories') AS c
        WHERE s.purpose = 'Archive' AND c ->> 'name' = wanted_category AND c ->> 'archiveAfter' IS NOT NULL) THEN
        RAISE EXCEPTION 'nothing of category % is archived here', wanted_category USING ERRCODE = 'RTI00', DETAIL = 'NotAnArchive';
    END IF;
    PERFORM retention.assert_run(for_run, 'Enforce', wanted_category);
    RETURN retention.managed_of_category(wanted_table, wanted_category);
END
$$;

-- Inserts rows of one table, told as JSON; which of them came in or were there already is asked afterwards (told_here). Where
-- one is refused by a check, the others come in one by one.
CREATE OR REPLACE FUNCTION retention.insert_told(t retention.managed, told text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    names text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = to_regclass(format('public.%I', t.table_name)) AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
    taking text := format('INSERT INTO public.%1$I (%2$s) SELECT %2$s FROM unnest($1) AS told(row),'
        ' LATERAL jsonb_populate_record(NULL::public.%1$I, told.row::jsonb) ON CONFLICT DO NOTHING', t.table_name, names);
    month timestamptz;
    one text;
BEGIN
    -- Rows that are older than what a new database of these rules begins with.
    FOR month IN
        SELECT DISTINCT m.month FROM unnest(told) AS row,
            LATERAL (SELECT date_trunc('month', (row::jsonb ->> t.born_at)::timestamptz) AS month) AS m
        WHERE NOT EXISTS (SELECT FROM retention.partition AS p WHERE p.table_name = t.table_name
            AND p.born_from < m.month + interval '1 month' AND p.born_to > m.month)
    LOOP
        PERFORM retention.create_month(t.table_name, month);
    END LOOP;
    BEGIN
        EXECUTE taking USING told;
    EXCEPTION WHEN integrity_constraint_violation OR data_exception OR SQLSTATE 'RTG00' THEN
        FOREACH one IN ARRAY told LOOP
            BEGIN
                EXECUTE taking USING ARRAY[one];
            EXCEPTION WHEN integrity_constraint_violation OR data_exception OR SQLSTATE 'RTG00' THEN
                -- Not shown to be here afterwards: it stays where it is, and is told as a failure there.
                CONTINUE;
            END;
        END LOOP;
    END;
END
$$;

-- Which of these rows are here with the same values, by position from 0. What a row does not say is NULL here.
CREATE OR REPLACE FUNCTION retention.told_here(t retention.managed, told text[]) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET enable_seqscan = off AS $$
DECLARE
    same text := (SELECT string_agg(format('kept.%1$I = named.%1$I', k), ' AND ') FROM unnest(t.primary_key || t.born_at) AS k);
    places jsonb;
BEGIN
    EXECUTE format('SELECT coalesce(jsonb_agg(told.place - 1), ''[]'') FROM unnest($1) WITH ORDINALITY AS told(row, place),'
        ' LATERAL jsonb_populate_record(NULL::public.%1$I, told.row::jsonb) AS named JOIN public.%1$I AS kept ON %2$s'
        ' WHERE retention.said(told.row::jsonb) = retention.said(to_jsonb(kept))', t.table_name, same) INTO places USING told;
    RETURN places;
END
$$;

CREATE OR REPLACE FUNCTION retention.said(told jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_object_agg(key, value) FROM jsonb_each(told) WHERE value <> 'null'
$$;

-- What a live database sends; nothing younger than archiveAfter. Judged by the time now, and a minute, by which clocks may differ:
-- this run may have begun long before that of the live database, and one row between two cut-offs must not keep others out.
CREATE OR REPLACE FUNCTION retention.take_archived(for_run uuid, wanted_category text, wanted_table text, told text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    t retention.managed := retention.archived_table(for_run, wanted_category, wanted_table);
    through timestamptz := (SELECT retention.cutoff(clock_timestamp() + interval '1 minute', c ->> 'archiveAfter')
        FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'categories') AS c WHERE c ->> 'name' = wanted_category);
BEGIN
    IF EXISTS (SELECT FROM unnest(told) AS row WHERE (row::jsonb ->> t.born_at)::timestamptz > through) THEN
        RAISE EXCEPTION 'refused: rows of % are younger than archiveAfter', wanted_table
            USING ERRCODE = 'RTI00', DETAIL = 'YoungerThanArchiveAfter';
    END IF;
    PERFORM retention.insert_told(t, told);
END
$$;

CREATE OR REPLACE FUNCTION retention.archived_here(for_run uuid, wanted_category text, wanted_table text, told text[]) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed := retention.archived_table(for_run, wanted_category, wanted_table);
BEGIN
    RETURN retention.told_here(t, told);
END
$$;
