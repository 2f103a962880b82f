-- Rows that move into files of the archive bucket (D3, T6), and files that leave it. The order is: named here, stored and read back
-- by the run, and then, in one transaction, its rows deleted here and the file told as their place. The run's word for what the file
-- holds is not believed but compared: the rows that are deleted must be those that were read for it, to the last digit.

-- A table's columns with the profile's word for their type, in the order in which files have them.
CREATE OR REPLACE FUNCTION retention.archived_columns(wanted_table text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_agg(jsonb_build_object('name', a.attname, 'type', CASE a.atttypid
        WHEN 'integer'::regtype THEN 'Integer' WHEN 'bigint'::regtype THEN 'BigInteger' WHEN 'numeric'::regtype THEN 'Numeric'
        WHEN 'boolean'::regtype THEN 'Boolean' WHEN 'timestamptz'::regtype THEN 'Timestamp' WHEN 'date'::regtype THEN 'Date'
        WHEN 'uuid'::regtype THEN 'Uuid' WHEN 'jsonb'::regtype THEN 'Json' WHEN 'bytea'::regtype THEN 'Bytes'
        ELSE 'Text' END) ORDER BY a.attnum)
    FROM pg_attribute AS a WHERE a.attrelid = to_regclass(format('public.%I', wanted_table)) AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated = ''
$$;

-- A cell of `r` as domain/archive_files.py spells it.
CREATE OR REPLACE FUNCTION retention.spelled_cell(name text, type text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format(CASE type
        WHEN 'Timestamp' THEN 'CASE r.%1$I WHEN ''infinity'' THEN 9223372036854775807 WHEN ''-infinity'' THEN -9223372036854775807'
            ' ELSE (extract(epoch FROM r.%1$I) * 1000000)::bigint END'
        WHEN 'Date' THEN 'CASE r.%1$I WHEN ''infinity'' THEN 2147483647 WHEN ''-infinity'' THEN -2147483647 ELSE r.%1$I - date ''1970-01-01'' END'
        WHEN 'Uuid' THEN 'replace(r.%1$I::text, ''-'', '''')' WHEN 'Bytes' THEN 'encode(r.%1$I, ''hex'')'
        WHEN 'Integer' THEN 'r.%1$I' WHEN 'BigInteger' THEN 'r.%1$I' WHEN 'Boolean' THEN 'r.%1$I' ELSE 'r.%1$I::text' END, name)
$$;

-- The same backwards: the cell `name` of a JSON object `told`.
CREATE OR REPLACE FUNCTION retention.read_cell(name text, type text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format(CASE type
        WHEN 'Timestamp' THEN 'CASE (told ->> %1$L)::bigint WHEN 9223372036854775807 THEN timestamptz ''infinity'''
            ' WHEN -9223372036854775807 THEN timestamptz ''-infinity'' ELSE timestamptz ''1970-01-01 00:00:00+00'''
            ' + make_interval(hours => 24) * ((told ->> %1$L)::bigint / 86400000000)'
            ' + interval ''1 microsecond'' * ((told ->> %1$L)::bigint %% 86400000000) END'
        WHEN 'Date' THEN 'CASE (told ->> %1$L)::integer WHEN 2147483647 THEN date ''infinity'' WHEN -2147483647 THEN date ''-infinity'''
            ' ELSE date ''1970-01-01'' + (told ->> %1$L)::integer END'
        WHEN 'Uuid' THEN '(told ->> %1$L)::uuid' WHEN 'Bytes' THEN 'decode(told ->> %1$L, ''hex'')'
        WHEN 'Integer' THEN '(told ->> %1$L)::integer' WHEN 'BigInteger' THEN '(told ->> %1$L)::bigint'
        WHEN 'Boolean' THEN '(told ->> %1$L)::boolean' WHEN 'Numeric' THEN '(told ->> %1$L)::numeric'
        WHEN 'Json' THEN '(told ->> %1$L)::jsonb' ELSE 'told ->> %1$L' END, name)
$$;

-- A digest of the row `r`, of 64 bits, over what a file has of it. It is kept for years: PostgreSQL's own hashes may be others in
-- its next version, or on another processor.
CREATE OR REPLACE FUNCTION retention.row_digest(columns jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('(''x'' || left(encode(sha256(convert_to(ROW(%s)::text, ''UTF8'')), ''hex''), 16))::bit(64)::bigint', string_agg(format('r.%I', c ->> 'name'), ', ' ORDER BY place))
    FROM jsonb_array_elements(columns) WITH ORDINALITY AS x(c, place)
$$;

-- Names the next file of a month: the first rows that may move and were born after `resume_after`, of one UTC day, about `batch` of
-- them; equal births come together. Null where none are left; then rows that wait for their content are counted.
CREATE OR REPLACE FUNCTION retention.name_archive_file(
    for_run uuid, wanted_category text, wanted_table text, wanted text, resume_after timestamptz, batch integer) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET enable_seqscan = off AS $$
DECLARE
    month record;
    born_at text;
    first_birth timestamptz;
    last_birth timestamptz;
    passed_over bigint;
    f retention.archive_file;
BEGIN
    SELECT * INTO month FROM retention.archivable_month(for_run, wanted_category, wanted_table, wanted);
    IF month.through IS NULL THEN
        RETURN NULL;
    END IF;
    born_at := (month.t).born_at;
    EXECUTE format('SELECT r.%1$I FROM public.%2$I AS r WHERE %3$s AND NOT %4$s ORDER BY r.%1$I LIMIT 1', born_at, wanted,
        month.free, month.waiting) INTO first_birth USING coalesce(resume_after, '-infinity'), month.through;
    IF first_birth IS NULL THEN
        IF month.waiting <> 'false' THEN
            EXECUTE format('SELECT count(*) FROM public.%I AS r WHERE %s AND %s', wanted, month.free, month.waiting)
                INTO passed_over USING '-infinity'::timestamptz, month.through;
            PERFORM retention.count_waiting(for_run, wanted_category, wanted, 'all', passed_over);
        END IF;
        RETURN NULL;
    END IF;
    last_birth := least(month.through, date_trunc('day', first_birth) + interval '1 day' - interval '1 microsecond');
    EXECUTE format('SELECT r.%1$I FROM public.%2$I AS r WHERE %3$s AND NOT %4$s ORDER BY r.%1$I OFFSET $3 LIMIT 1', born_at, wanted,
        month.free, month.waiting) INTO f.born_to
        USING first_birth - interval '1 microsecond', last_birth, greatest(batch, 1) - 1;
    IF f.born_to IS NULL THEN
        EXECUTE format('SELECT r.%1$I FROM public.%2$I AS r WHERE %3$s AND NOT %4$s ORDER BY r.%1$I DESC LIMIT 1', born_at, wanted,
            month.free, month.waiting) INTO f.born_to USING first_birth - interval '1 microsecond', last_birth;
    END IF;
    INSERT INTO retention.archive_file (key, category, table_name, partition, run_id, state, born_from, born_to, columns)
        VALUES (format('%s/%s/%s/%s.parquet', wanted_category, wanted_table, to_char(first_birth, 'YYYY-MM-DD'), gen_random_uuid()),
            wanted_category, wanted_table, wanted, for_run, 'Named', first_birth, f.born_to,
            retention.archived_columns(wanted_table))
        RETURNING * INTO f;
    RETURN retention.archive_file_as_json(f);
END
$$;

CREATE OR REPLACE FUNCTION retention.archive_file_as_json(f retention.archive_file) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT jsonb_build_object('fileId', f.file_id, 'key', f.key, 'category', f.category, 'table', f.table_name, 'bornFrom', f.born_from,
        'bornTo', f.born_to, 'columns', f.columns, 'rows', f.rows, 'sha256', f.sha256)
$$;

-- The file that a run named; refuses any other.
CREATE OR REPLACE FUNCTION retention.named_file(for_run uuid, wanted_file bigint) RETURNS retention.archive_file
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    f retention.archive_file;
BEGIN
    SELECT * INTO f FROM retention.archive_file WHERE file_id = wanted_file AND run_id = for_run FOR UPDATE;
    IF NOT FOUND OR f.state = 'Leaving' THEN
        RAISE EXCEPTION 'file % was not named by this run', wanted_file USING ERRCODE = 'RTI00', DETAIL = 'StepNotAllowed';
    END IF;
    PERFORM retention.assert_run(for_run, 'Enforce', f.category);
    RETURN f;
END
$$;

-- The rows that a named file is for, spelled for it, each with its digest in two halves. The caller says the columns' types.
CREATE OR REPLACE FUNCTION retention.archive_file_rows(for_run uuid, wanted_file bigint) RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET enable_seqscan = off AS $$
DECLARE
    f retention.archive_file := retention.named_file(for_run, wanted_file);
    t retention.managed := retention.managed_of_category(f.table_name, f.category);
    p retention.partition := retention.month_named(f.table_name, f.partition);
    condition record;
    cells text := (SELECT string_agg(retention.spelled_cell(c ->> 'name', c ->> 'type'), ', ' ORDER BY place)
        FROM jsonb_array_elements(f.columns) WITH ORDINALITY AS x(c, place));
BEGIN
    SELECT * INTO condition FROM retention.archivable_in(for_run, t, p);
    RETURN QUERY EXECUTE format('SELECT %s, h & 4294967295, (h >> 32) & 4294967295 FROM public.%I AS r, LATERAL (SELECT %s AS h) AS d'
        ' WHERE %s AND NOT %s ORDER BY r.%I', cells, f.partition, retention.row_digest(f.columns), condition.free, condition.waiting, t.born_at)
        USING f.born_from - interval '1 microsecond', f.born_to;
END
$$;

-- Deletes the rows of a file that is stored and was read back, and makes it their place. Raises RowsChanged, and deletes nothing,
-- where they are not exactly those that it was made of: one was written, held or anonymized since. Rows that moved.
CREATE OR REPLACE FUNCTION retention.keep_archive_file(
    for_run uuid, wanted_file bigint, told_rows bigint, told_sha256 text, low bigint, high bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s'
SET enable_seqscan = off AS $$
DECLARE
    f retention.archive_file := retention.named_file(for_run, wanted_file);
    t retention.managed;
    p retention.partition;
    condition record;
    gone record;
BEGIN
    IF f.state = 'Kept' THEN
        -- Told twice, because a reply was lost.
        RETURN f.rows;
    END IF;
    t := retention.managed_of_category(f.table_name, f.category);
    p := retention.month_named(f.table_name, f.partition);
    PERFORM retention.lock_holds();
    SELECT * INTO condition FROM retention.archivable_in(for_run, t, p);
    EXECUTE format('WITH gone AS (DELETE FROM public.%I AS r WHERE %s AND NOT %s RETURNING %s AS h, %s AS session, %s AS unit)'
        ' SELECT count(*) AS rows, coalesce(sum(h & 4294967295), 0) AS low, coalesce(sum((h >> 32) & 4294967295), 0) AS high,'
        ' coalesce(array_agg(DISTINCT retention.name_hash(session)) FILTER (WHERE session IS NOT NULL), ''{}'') AS sessions,'
        ' coalesce(array_agg(DISTINCT retention.name_hash(unit)) FILTER (WHERE unit IS NOT NULL), ''{}'') AS units FROM gone',
        f.partition, condition.free, condition.waiting, retention.row_digest(f.columns),
        coalesce('r.' || quote_ident(t.session_column), 'NULL') || '::text', coalesce('r.' || quote_ident(t.unit_column), 'NULL') || '::text')
        INTO gone USING f.born_from - interval '1 microsecond', f.born_to;
    IF (gone.rows, gone.low, gone.high) IS DISTINCT FROM (told_rows, low::numeric, high::numeric) OR told_rows = 0 THEN
        RAISE EXCEPTION 'rows of % changed while they were archived', f.table_name
            USING ERRCODE = 'RTN00', DETAIL = 'RowsChanged', HINT = 'Nothing was deleted.';
    END IF;
    UPDATE retention.archive_file SET state = 'Kept', rows = gone.rows, sha256 = told_sha256, digest = ARRAY[low, high],
        sessions = gone.sessions, units = gone.units,
        identified = NOT EXISTS (SELECT FROM retention.anonymize_rule AS rule WHERE rule.category = f.category)
        WHERE file_id = wanted_file;
    UPDATE retention.run_category SET archived = archived + gone.rows WHERE run_id = for_run AND category = f.category;
    RETURN gone.rows;
END
$$;

-- A named file that will not be kept: its rows are where they were.
CREATE OR REPLACE FUNCTION retention.give_up_archive_file(for_run uuid, wanted_file bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    f retention.archive_file := retention.named_file(for_run, wanted_file);
BEGIN
    UPDATE retention.archive_file SET state = 'Leaving' WHERE file_id = f.file_id AND state = 'Named';
END
$$;

-- The files of a category that have to be deleted now, up to `batch`: those that are due and not held, those that nobody ended to
-- make, and those of before that are not proven gone. Let go in this transaction, with the holds.
CREATE OR REPLACE FUNCTION retention.leaving_archive_files(for_run uuid, wanted_category text, after_file bigint, batch integer) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce', wanted_category);
    through timestamptz := retention.removable_through(for_run, wanted_category);
    files jsonb;
BEGIN
    PERFORM retention.lock_holds();
    UPDATE retention.archive_file AS f SET state = 'Leaving' WHERE f.category = wanted_category
        AND (f.state = 'Named' AND f.run_id <> for_run OR f.state = 'Kept' AND f.born_to <= through AND NOT retention.file_is_held(f));
    SELECT coalesce(jsonb_agg(retention.archive_file_as_json(f) ORDER BY f.file_id), '[]') INTO files FROM (
        SELECT * FROM retention.archive_file AS f WHERE f.category = wanted_category AND f.state = 'Leaving'
            AND f.file_id > coalesce(after_file, 0)
            -- Asked again: rules or holds may have changed since a run let it go and could not delete it (M8).
            AND (f.rows = 0 OR f.born_to <= through AND NOT retention.file_is_held(f)) ORDER BY f.file_id LIMIT batch) AS f;
    RETURN files;
END
$$;

-- Files that are proven gone. Rows that went with them. A hold that came while they were being deleted came too late for them: the
-- run's evidence tells how many rows it may mean, and the category has failed, so that somebody looks (X3).
CREATE OR REPLACE FUNCTION retention.archive_files_gone(for_run uuid, wanted_category text, files bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce', wanted_category);
    went bigint;
    held_late bigint;
BEGIN
    PERFORM retention.lock_holds();
    WITH gone AS (DELETE FROM retention.archive_file AS f WHERE f.category = wanted_category AND f.state = 'Leaving'
        AND f.file_id = ANY (files) RETURNING f.rows, retention.file_is_held(f) AS is_held)
    SELECT coalesce(sum(rows), 0), coalesce(sum(rows) FILTER (WHERE is_held), 0) INTO went, held_late FROM gone;
    UPDATE retention.run_category SET acted = acted + went, held = held + held_late
        WHERE run_id = for_run AND category = wanted_category;
    IF held_late > 0 THEN
        PERFORM retention.record_failure(for_run, wanted_category, 'HeldAfterRemoval');
    END IF;
    RETURN went;
END
$$;

-- Which of these files, [{key, table, bornTo, storedAt}, ...] as their manifests tell, may be deleted although no index names them:
-- their newest row is due by this run's own cut-off, and nothing at all is on hold, as nobody here knows what else they hold (M8,
-- X3). One that was stored before this database's first run was another one's, which was lost and may be restored with its holds.
CREATE OR REPLACE FUNCTION retention.unnamed_files_due(for_run uuid, wanted_category text, told jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce', wanted_category);
    through timestamptz := retention.removable_through(for_run, wanted_category);
BEGIN
    PERFORM retention.lock_holds();
    RETURN (SELECT coalesce(jsonb_agg(f -> 'key'), '[]') FROM jsonb_array_elements(told) AS f
        WHERE (f ->> 'bornTo')::timestamptz <= through
            AND (f ->> 'storedAt')::timestamptz >= (SELECT date_trunc('second', min(started_at)) FROM retention.run) AND NOT EXISTS (SELECT FROM retention.hold WHERE released_at IS NULL)
            AND EXISTS (SELECT FROM retention.managed AS t WHERE t.table_name = f ->> 'table' AND t.category = wanted_category)
            AND NOT EXISTS (SELECT FROM retention.archive_file AS x WHERE x.key = f ->> 'key'));
END
$$;
