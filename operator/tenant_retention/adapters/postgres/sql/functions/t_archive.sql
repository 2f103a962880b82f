-- The live side of the archive (D3, T5): which rows move, and what goes after the archive has shown to keep it. Nothing is
-- believed: hold, min, age and the row itself are looked at again in the transaction that deletes.

-- The categories whose rows move at an age; none in the archive itself.
CREATE OR REPLACE VIEW retention.archive_rule AS
SELECT c ->> 'name' AS category, c ->> 'archiveAfter' AS after
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'categories') AS c
WHERE c ->> 'database' = s.purpose AND retention.is_archivable(c) AND c ->> 'archiveAfter' IS NOT NULL;

-- The latest birth that this run moves in a category, never above today's minimum; null: none moves.
CREATE OR REPLACE FUNCTION retention.archivable_through(for_run uuid, wanted_category text) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
    SELECT least(retention.cutoff(r.clock, rule.after), retention.cutoff(r.clock, c.minimum))
    FROM retention.run_category AS rc JOIN retention.run AS r USING (run_id) JOIN retention.archive_rule AS rule USING (category)
    JOIN retention.category AS c ON c.name = rc.category AND c.active
    WHERE rc.run_id = for_run AND rc.category = wanted_category
$$;

-- Rows that move. What keep does not keep any more is deleted here and now, or waits for an approval; what is to lose the
-- person does so first, and what shows digits behind a mask those (P11: no file can be blanked); what was brought back stays for
-- its time.
CREATE OR REPLACE FUNCTION retention.archivable_condition(for_run uuid, t retention.managed, alias text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    clock timestamptz := (SELECT r.clock FROM retention.run AS r WHERE r.run_id = for_run);
    remove timestamptz := (SELECT (retention.cutoffs_of(c, s.margin_seconds, clock)).remove
        FROM retention.category AS c, retention.settings AS s WHERE c.name = t.category);
    lose timestamptz := (SELECT least(retention.cutoff(clock, rule.after), retention.cutoff(clock, t.minimum))
        FROM retention.anonymize_rule AS rule WHERE rule.category = t.category);
BEGIN
    RETURN retention.due_condition(t, alias, retention.archivable_through(for_run, t.category))
        || CASE WHEN remove IS NULL THEN '' ELSE ' AND NOT ' || retention.due_condition(t, alias, remove) END
        || CASE WHEN lose IS NULL THEN '' ELSE format(' AND NOT (%s AND %s)', retention.due_condition(t, alias, lose),
            retention.identifying_condition(t.table_name, alias)) END
        || ' AND NOT ' || retention.unmasked_condition(t.table_name, alias)
        || (SELECT coalesce(string_agg(format(' AND NOT (%1$I.%2$I >= %3$L::timestamptz AND %1$I.%2$I < %4$L::timestamptz)',
            alias, t.born_at, p.born_from, p.born_to), ''), '')
            FROM retention.archive_pause AS p WHERE p.category = t.category AND p.until > clock)
        -- What a request listed is done where it was found.
        || (SELECT CASE asked WHEN 'false' THEN '' ELSE ' AND NOT ' || asked END FROM retention.requested_condition(t.table_name, alias) AS asked);
END
$$;

-- The months with rows to move, children first, oldest first; held rows are not among them. Asked again it counts what is left.
CREATE OR REPLACE FUNCTION retention.archive_steps(for_run uuid, wanted_category text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any', wanted_category);
    through timestamptz := retention.archivable_through(for_run, wanted_category);
    t retention.managed;
    p retention.partition;
    rows bigint;
    movable bigint := 0;
    steps jsonb := '[]';
BEGIN
    IF through IS NULL THEN
        RETURN steps;
    END IF;
    FOR t IN SELECT * FROM retention.managed WHERE category = wanted_category AND active ORDER BY position LOOP
        FOR p IN SELECT * FROM retention.partition AS x WHERE x.table_name = t.table_name AND x.born_from <= through
            AND pg_relation_size(x.partition_oid) > 0 ORDER BY x.born_from
        LOOP
            EXECUTE format('SELECT count(*) FROM (SELECT r.* FROM public.%I AS r WHERE %s OFFSET 0) AS r WHERE NOT %s', p.partition,
                retention.archivable_condition(for_run, t, 'r'), retention.held_condition(t.table_name, 'r', p.born_from, p.born_to))
                INTO rows;
            IF rows > 0 THEN
                steps := steps || jsonb_build_object('category', wanted_category, 'table', t.table_name, 'partition', p.partition,
                    'bornFrom', p.born_from, 'rows', rows);
                movable := movable + rows;
            END IF;
        END LOOP;
    END LOOP;
    UPDATE retention.run_category SET archive_due = archived + movable WHERE run_id = for_run AND category = wanted_category;
    RETURN steps;
END
$$;

-- Which rows of one month move now, born after `range_start`: as a condition, with holds and the wait for content apart.
CREATE OR REPLACE FUNCTION retention.archivable_in(for_run uuid, t retention.managed, p retention.partition, OUT free text, OUT waiting text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
BEGIN
    free := format('r.%I > $1 AND r.%1$I <= $2 AND %s AND NOT %s', t.born_at, retention.archivable_condition(for_run, t, 'r'),
        retention.held_condition(t.table_name, 'r', p.born_from, p.born_to, few => true));
    waiting := retention.waiting_condition(t.table_name, 'r', p.born_from, p.born_to);
END
$$;

-- What every step of a month begins with: the run, the table and the month are looked at, and which rows move now is told as
-- conditions (archivable_in). No `through`: none moves.
CREATE OR REPLACE FUNCTION retention.archivable_month(for_run uuid, wanted_category text, wanted_table text, wanted text,
    OUT t retention.managed, OUT p retention.partition, OUT through timestamptz, OUT free text, OUT waiting text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
BEGIN
    PERFORM retention.assert_run(for_run, 'Enforce', wanted_category);
    t := retention.managed_of_category(wanted_table, wanted_category);
    p := retention.month_named(wanted_table, wanted);
    through := retention.archivable_through(for_run, wanted_category);
    SELECT c.free, c.waiting INTO free, waiting FROM retention.archivable_in(for_run, t, p) AS c WHERE through IS NOT NULL;
END
$$;

-- Counts rows that wait for their content, seen in one month up to a place: once, however often it is told.
CREATE OR REPLACE FUNCTION retention.count_waiting(for_run uuid, wanted_category text, wanted text, place text, passed_over bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    UPDATE retention.run_category AS rc
        SET archive_waiting = rc.archive_waiting + coalesce(passed_over, 0), archive_counted = concat_ws(' ', wanted, place)
        WHERE rc.run_id = for_run AND rc.category = wanted_category AND rc.archive_counted IS DISTINCT FROM concat_ws(' ', wanted, place)
$$;

-- Earlier ones went by births alone, and took all equal ones at once.
DROP FUNCTION IF EXISTS retention.archive_rows(uuid, text, text, text, timestamptz, integer),
    retention.archive_moved(uuid, text, text, text, timestamptz, timestamptz, text[], bigint);

-- A row's place in its month: its birth and its key, as names and as types of the place's members.
CREATE OR REPLACE FUNCTION retention.place_columns(t retention.managed, OUT names text, OUT types text[], OUT told text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT string_agg(format('r.%I', k.name), ', ' ORDER BY k.n), array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY k.n),
        format('jsonb_build_array(%s)::text', string_agg(format('r.%I::text', k.name), ', ' ORDER BY k.n))
    FROM unnest(t.born_at || t.primary_key) WITH ORDINALITY AS k(name, n)
    JOIN pg_attribute AS a ON a.attrelid = to_regclass(format('public.%I', t.table_name)) AND a.attname = k.name
$$;

-- Rows whose place is on that side of `place` (a JSON array of texts; null: every row): `>` after it, `<=` up to it.
CREATE OR REPLACE FUNCTION retention.placed_condition(t retention.managed, side text, place text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT CASE WHEN place IS NULL THEN 'true'
        -- The birth alone, too, by which rows are found.
        ELSE format('(r.%I %s= %L::timestamptz AND ROW(%s) %s ROW(%s))', t.born_at, left(side, 1), place::jsonb ->> 0, c.names, side,
            (SELECT string_agg(format('%L::%s', place::jsonb ->> (n - 1)::integer, type), ', ' ORDER BY n)
                FROM unnest(c.types) WITH ORDINALITY AS x(type, n))) END
    FROM retention.place_columns(t) AS c
$$;

-- What one batch may have of text: it goes as one JSON document, and lies in the memory of who moves it.
CREATE OR REPLACE FUNCTION retention.archive_batch_bytes() RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT 8 * 1024 * 1024 $$;

-- Up to `batch` rows of one month with what they are, in the order of births and keys, and no more than archive_batch_bytes of
-- them, but one. A record whose content is here stays here (P4).
CREATE OR REPLACE FUNCTION retention.archive_rows(
    for_run uuid, wanted_category text, wanted_table text, wanted text, resume_after text, batch integer)
RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO'
SET enable_seqscan = off AS $$
DECLARE
    month record;
    place record;
    found_row record;
    told text[] := '{}';
    seen bigint := 0;
    bytes bigint := 0;
    last_place text;
    found_rows jsonb;
    passed_over bigint := 0;
BEGIN
    SELECT * INTO month FROM retention.archivable_month(for_run, wanted_category, wanted_table, wanted);
    IF month.through IS NOT NULL THEN
        SELECT * INTO place FROM retention.place_columns(month.t);
        FOR found_row IN EXECUTE format('SELECT %1$s AS place, CASE WHEN NOT (%2$s) THEN to_jsonb(r)::text END AS row'
            ' FROM (SELECT r.* FROM public.%3$I AS r WHERE %4$s AND %5$s ORDER BY %6$s LIMIT $3) AS r ORDER BY %6$s', place.told,
            month.waiting, wanted, month.free, retention.placed_condition(month.t, '>', resume_after), place.names)
            USING '-infinity'::timestamptz, month.through, greatest(batch, 1)
        LOOP
            bytes := bytes + coalesce(octet_length(found_row.row), 0);
            IF seen > 0 AND bytes > retention.archive_batch_bytes() THEN
                EXIT;
            END IF;
            seen := seen + 1;
            last_place := found_row.place;
            IF found_row.row IS NULL THEN
                passed_over := passed_over + 1;
            ELSE
                told := told || found_row.row;
            END IF;
        END LOOP;
        IF seen < greatest(batch, 1) AND bytes <= retention.archive_batch_bytes() THEN
            last_place := NULL;
        END IF;
        SELECT jsonb_agg(jsonb_build_object('row', n.row, 'digest', encode(sha256(convert_to(n.row, 'UTF8')), 'hex')) ORDER BY n.place)
            INTO found_rows FROM unnest(told) WITH ORDINALITY AS n(row, place);
    END IF;
    RETURN jsonb_build_object('rows', coalesce(found_rows, '[]'), 'after', resume_after, 'through', last_place, 'waiting', passed_over);
END
$$;

-- Deletes what the archive has shown to keep: by what the rows were when they were read, so that one that was written since stays.
CREATE OR REPLACE FUNCTION retention.archive_moved(for_run uuid, wanted_category text, wanted_table text, wanted text,
    after_place text, through_place text, kept text[], passed_over bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s'
SET enable_seqscan = off AS $$
DECLARE
    month record;
    moved bigint := 0;
BEGIN
    -- The run before the holds, as every step of a run takes them; the holds before what they decide about is read.
    PERFORM retention.assert_run(for_run, 'Enforce', wanted_category);
    PERFORM retention.lock_holds();
    SELECT * INTO month FROM retention.archivable_month(for_run, wanted_category, wanted_table, wanted);
    IF month.through IS NOT NULL THEN
        EXECUTE format('DELETE FROM public.%I AS r WHERE %s AND %s AND %s AND NOT %s'
            ' AND encode(sha256(convert_to(to_jsonb(r)::text, ''UTF8'')), ''hex'') = ANY ($3)', wanted, month.free,
            retention.placed_condition(month.t, '>', after_place), retention.placed_condition(month.t, '<=', through_place), month.waiting)
            USING '-infinity'::timestamptz, month.through, kept;
        GET DIAGNOSTICS moved = ROW_COUNT;
    END IF;
    PERFORM retention.count_waiting(for_run, wanted_category, wanted, coalesce(through_place, 'all'), passed_over);
    UPDATE retention.run_category SET archived = archived + moved WHERE run_id = for_run AND category = wanted_category;
    RETURN moved;
END
$$;
