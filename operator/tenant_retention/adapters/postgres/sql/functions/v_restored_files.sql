-- Files of the archive that are looked into or brought back, from a shell. What comes back leaves its file: a row is in one place.

CREATE OR REPLACE FUNCTION retention.archive_files_of(wanted_category text, wanted_from timestamptz, wanted_to timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT coalesce(jsonb_agg(retention.archive_file_as_json(f) ORDER BY f.born_from, f.file_id), '[]') FROM retention.archive_file AS f
    WHERE f.category = wanted_category AND f.state = 'Kept' AND coalesce(f.born_to >= wanted_from, true)
        AND coalesce(f.born_from < wanted_to, true)
$$;

-- Every name in the index with its state: whatever else lies in the bucket is no part of the archive.
CREATE OR REPLACE FUNCTION retention.archive_file_states() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_array(f.key, f.state)), '[]') FROM retention.archive_file AS f
$$;

-- Takes all rows of a file back, those of a pause, and lets the file go: the next run deletes it. The rows are not believed but
-- compared with what was deleted here. Raises, and takes none, where they are others or a key is used again. Rows that came back;
-- null where the file is past its keep: it stays, and goes with the next run.
CREATE OR REPLACE FUNCTION retention.restore_archive_file(wanted_file bigint, told_rows text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    f retention.archive_file;
    t retention.managed;
    month timestamptz;
    names text;
    cells text;
    came record;
BEGIN
    PERFORM FROM retention.settings FOR SHARE;
    PERFORM retention.refuse_while_restoring();
    SELECT * INTO f FROM retention.archive_file WHERE file_id = wanted_file FOR UPDATE;
    IF NOT FOUND OR f.state <> 'Kept' OR NOT EXISTS (SELECT FROM retention.archive_pause AS p WHERE p.category = f.category
        AND p.until > now() AND f.born_from >= p.born_from AND f.born_to < p.born_to) THEN
        RAISE EXCEPTION 'file % is not in the archive, or its births are not to come back', wanted_file
            USING ERRCODE = 'RTI00', DETAIL = 'StepNotAllowed';
    END IF;
    IF (SELECT f.born_to <= (retention.cutoffs_of(c, s.margin_seconds, now())).remove
        FROM retention.category AS c, retention.settings AS s WHERE c.name = f.category) THEN
        RETURN NULL;
    END IF;
    t := retention.managed_of_category(f.table_name, f.category);
    month := date_trunc('month', f.born_from);
    IF NOT EXISTS (SELECT FROM retention.partition AS p WHERE p.table_name = f.table_name AND p.born_from <= month AND p.born_to > month) THEN
        PERFORM retention.create_month(f.table_name, month);
    END IF;
    SELECT string_agg(quote_ident(c ->> 'name'), ', ' ORDER BY place), string_agg(retention.read_cell(c ->> 'name', c ->> 'type'), ', ' ORDER BY place)
        INTO names, cells FROM jsonb_array_elements(f.columns) WITH ORDINALITY AS x(c, place);
    EXECUTE format('WITH came AS (INSERT INTO public.%I AS r (%s) SELECT %s FROM unnest($1) AS told_row, LATERAL (SELECT told_row::jsonb AS told) AS j'
        ' ON CONFLICT DO NOTHING RETURNING %s AS h)'
        ' SELECT count(*) AS rows, coalesce(sum(h & 4294967295), 0) AS low, coalesce(sum((h >> 32) & 4294967295), 0) AS high FROM came',
        f.table_name, names, cells, retention.row_digest(f.columns)) INTO came USING told_rows;
    IF came.rows < f.rows AND cardinality(told_rows) = f.rows THEN
        RAISE EXCEPTION '% of % rows have keys that are used again', f.rows - came.rows, f.rows
            USING ERRCODE = 'RTI00', DETAIL = 'ArchiveConflict', HINT = 'None came back.';
    ELSIF (came.rows, came.low, came.high) IS DISTINCT FROM (f.rows, f.digest[1]::numeric, f.digest[2]::numeric) THEN
        RAISE EXCEPTION 'the rows are not those that were archived' USING ERRCODE = 'RTI00', DETAIL = 'ArchiveFileBroken',
            HINT = 'None came back.';
    END IF;
    UPDATE retention.archive_file SET state = 'Leaving', rows = 0 WHERE file_id = wanted_file;
    RETURN came.rows;
END
$$;
