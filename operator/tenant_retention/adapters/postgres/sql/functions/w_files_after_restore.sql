-- Files of the archive bucket after a restore: the index came back with the backup, and what happened to the bucket since then
-- is settled before anybody uses the database again (T6).

-- Takes the rows of a file back that was made after the backup; {key, category, table, bornFrom, bornTo, columns} as its manifest
-- tells. Most are in the table already, as the backup holds what moved after it: a row whose key is there stays as it is there.
-- In the same transaction the file is told as one to be deleted, so that no row is in two places, and none in none. Rows that came.
CREATE OR REPLACE FUNCTION retention.take_file_back(file jsonb, told_rows text[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed := retention.managed_of_category(file ->> 'table', file ->> 'category');
    born_from timestamptz := file ->> 'bornFrom';
    born_to timestamptz := file ->> 'bornTo';
    names text;
    cells text;
    checks jsonb;
    came bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM retention.restoring) THEN
        RAISE EXCEPTION 'no restore is under way' USING ERRCODE = 'RTI00', DETAIL = 'StepNotAllowed';
    END IF;
    IF EXISTS (SELECT FROM jsonb_array_elements(file -> 'columns') AS c WHERE NOT EXISTS (
        SELECT FROM pg_attribute AS a WHERE a.attrelid = to_regclass(format('public.%I', t.table_name)) AND a.attname = c ->> 'name'
            AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')) THEN
        RAISE EXCEPTION 'a file has columns that % has not', t.table_name USING ERRCODE = 'RTI00', DETAIL = 'ArchiveFileBroken';
    END IF;
    SELECT string_agg(quote_ident(c ->> 'name'), ', ' ORDER BY place), string_agg(retention.read_cell(c ->> 'name', c ->> 'type'), ', ' ORDER BY place)
        INTO names, cells FROM jsonb_array_elements(file -> 'columns') WITH ORDINALITY AS x(c, place);
    PERFORM retention.create_months(t.table_name, born_from, born_to + interval '1 microsecond');
    PERFORM retention.take_in_any(t.table_name, true);
    checks := retention.set_checks_aside(t.table_name);
    EXECUTE format('INSERT INTO public.%I (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM unnest($1) AS told_row,'
        ' LATERAL (SELECT told_row::jsonb AS told) AS j ON CONFLICT DO NOTHING', t.table_name, names, cells) USING told_rows;
    GET DIAGNOSTICS came = ROW_COUNT;
    PERFORM retention.put_checks_back(t.table_name, checks);
    PERFORM retention.take_in_any(t.table_name, false);
    INSERT INTO retention.archive_file (key, category, table_name, partition, run_id, state, born_from, born_to, columns)
        VALUES (file ->> 'key', t.category, t.table_name, '', gen_random_uuid(), 'Leaving', born_from, born_to, file -> 'columns');
    RETURN came;
END
$$;
