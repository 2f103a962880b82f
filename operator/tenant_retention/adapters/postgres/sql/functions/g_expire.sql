-- Rows: whole months by TRUNCATE or DETACH and DROP, the rest by keyset ranges. Every function is one transaction of the
-- client's and believes nothing it is told but the names, which it looks up.

CREATE OR REPLACE FUNCTION retention.active_tables() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT coalesce(jsonb_agg(name ORDER BY position), '[]') FROM retention.managed_table WHERE active
$$;

CREATE OR REPLACE FUNCTION retention.ensure_partitions(for_run uuid, wanted text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any');
BEGIN
    IF r.mode <> 'Enforce' THEN
        RETURN 0;
    END IF;
    RETURN retention.create_partitions(wanted);
END
$$;

-- Whether all rows with births below `born_to` are due in this run.
CREATE OR REPLACE FUNCTION retention.wholly_due(born_to timestamptz, through timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(born_to - interval '1 microsecond' <= through, false)
$$;

-- Whether this run also removes all content around a month of its record, so that the month can be planned as a whole.
CREATE OR REPLACE FUNCTION retention.content_goes_too(for_run uuid, t retention.managed, from_birth timestamptz, to_birth timestamptz)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
    SELECT NOT EXISTS (SELECT FROM retention.category AS c
        LEFT JOIN retention.run_category AS rc ON rc.run_id = for_run AND rc.category = c.name
        WHERE c.content_of = t.category AND NOT retention.wholly_due(to_birth, rc.remove_through)
            AND EXISTS (SELECT FROM retention.run_partition AS p WHERE p.run_id = for_run AND p.category = c.name
                AND p.total > 0 AND p.born_from < to_birth AND p.born_to > from_birth))
$$;

-- The rows of a table that go by steps: all, or where rows name objects those that name none (the others go by claims).
CREATE OR REPLACE FUNCTION retention.without_object_condition(t retention.managed, alias text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    -- No store has an object without a name.
    SELECT CASE WHEN t.has_objects THEN format('(%1$I.%2$I IS NULL OR %1$I.%2$I::text = '''')', alias, t.key_column) ELSE 'true' END
$$;

-- How many due rows of a partition go by steps.
CREATE OR REPLACE FUNCTION retention.rows_by_steps(t retention.managed, p retention.run_partition, through timestamptz)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    rows bigint;
BEGIN
    IF NOT t.has_objects THEN
        RETURN p.due;
    ELSIF p.due = 0 THEN
        RETURN 0;
    END IF;
    EXECUTE format('SELECT count(*) FROM public.%I AS r WHERE %s AND %s AND NOT %s', p.partition,
        retention.due_condition(t, 'r', through), retention.without_object_condition(t, 'r'), retention.held_condition(t.table_name, 'r', p.born_from, p.born_to))
        INTO rows;
    RETURN rows;
END
$$;

CREATE OR REPLACE FUNCTION retention.partition_steps(for_run uuid, wanted_category text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any', wanted_category);
    through timestamptz := retention.removable_through(for_run, wanted_category);
    t retention.managed;
    p retention.run_partition;
    rows bigint;
    kind text;
    steps jsonb := '[]';
BEGIN
    FOR t IN SELECT * FROM retention.managed WHERE category = wanted_category AND active ORDER BY position LOOP
        FOR p IN SELECT * FROM retention.run_partition WHERE run_id = for_run AND table_name = t.table_name
            ORDER BY born_from
        LOOP
            rows := retention.rows_by_steps(t, p, through);
            IF p.total = 0 OR (t.by_birth AND retention.wholly_due(p.born_to, through) AND p.held = 0
                AND retention.content_goes_too(for_run, t, p.born_from, p.born_to))
            THEN
                kind := CASE WHEN retention.is_beyond_back(t, p.born_to, r.clock) THEN 'Detach'
                    WHEN rows > 0 THEN 'Truncate' END;
            ELSE
                kind := CASE WHEN rows > 0 THEN 'Range' END;
            END IF;
            IF kind IS NOT NULL THEN
                steps := steps || jsonb_build_object('kind', kind, 'category', wanted_category, 'table', p.table_name,
                    'partition', p.partition, 'rows', rows);
            END IF;
        END LOOP;
    END LOOP;
    RETURN steps;
END
$$;

-- Beyond `back`, and never the newest month of its table.
CREATE OR REPLACE FUNCTION retention.is_beyond_back(t retention.managed, to_birth timestamptz, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT to_birth <= date_trunc('month', retention.cutoff(at, t.back))
        AND EXISTS (SELECT FROM retention.partition WHERE table_name = t.table_name AND born_to > to_birth)
$$;

-- One whole month: truncated, or detached and registered. Returns the rows, or -1 where it must go row by row (held rows,
-- rows that wait for content, or rows whose objects are still there).
CREATE OR REPLACE FUNCTION retention.expire_partition(for_run uuid, wanted_category text, wanted_table text, wanted text, kind text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce', wanted_category);
    t retention.managed := retention.managed_of_category(wanted_table, wanted_category);
    through timestamptz := retention.removable_through(for_run, wanted_category);
    p record;
    condition text;
    found_one boolean;
    rows bigint;
BEGIN
    IF kind = 'Detach' AND NOT EXISTS (SELECT FROM retention.partition AS x
            WHERE x.table_name = wanted_table AND x.partition = wanted)
        AND EXISTS (SELECT FROM retention.run_partition AS x WHERE x.run_id = for_run AND x.category = wanted_category
            AND x.table_name = wanted_table AND x.partition = wanted)
    THEN
        -- This run detached it already; the reply was lost.
        RETURN 0;
    END IF;
    SELECT * INTO p FROM retention.partition_of(wanted_table, wanted);
    -- The hold table first, then parent, then partition: the order everywhere.
    PERFORM retention.lock_holds();
    IF kind = 'Detach' THEN
        IF NOT retention.is_beyond_back(t, p.born_to, r.clock) THEN
            RAISE EXCEPTION 'partition % is not beyond % of %', wanted, t.back, wanted_table
                USING ERRCODE = 'RTI00', DETAIL = 'StepNotAllowed';
        END IF;
    ELSE
        EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', wanted);
    END IF;
    IF kind = 'Detach' THEN
        -- Counted when it is dropped, where nobody can write into it; until then the start's count stands for it.
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', wanted) INTO found_one;
        rows := CASE WHEN found_one THEN greatest(1, coalesce((SELECT total FROM retention.run_partition
            WHERE run_id = for_run AND table_name = wanted_table AND partition = wanted), 1)) ELSE 0 END;
    ELSE
        EXECUTE format('SELECT count(*) FROM public.%I', wanted) INTO rows;
    END IF;
    IF rows > 0 THEN
        IF NOT t.by_birth OR NOT retention.wholly_due(p.born_to, through) THEN
            RAISE EXCEPTION 'partition % holds rows that are not due', wanted
                USING ERRCODE = 'RTI00', DETAIL = 'StepNotAllowed', HINT = 'Its due rows go by ranges.';
        END IF;
        -- Rows that name objects go only when their objects are proven gone.
        condition := retention.held_condition(wanted_table, 'r', p.born_from, p.born_to) || ' OR '
            || retention.waiting_condition(wanted_table, 'r', p.born_from, p.born_to) || ' OR NOT '
            || retention.without_object_condition(t, 'r');
        IF condition <> 'false OR false OR NOT true' THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM public.%I AS r WHERE %s)', wanted, condition) INTO found_one;
            IF found_one THEN
                RETURN -1;
            END IF;
        END IF;
    END IF;
    IF kind = 'Detach' THEN
        -- Looked at before anybody is kept waiting, since the parent's lock stops all its months: whoever writes into this one
        -- meanwhile is seen when it is dropped, which counts and asks anew where nobody can reach it.
        EXECUTE format('LOCK TABLE ONLY public.%I IN ACCESS EXCLUSIVE MODE', wanted_table);
        INSERT INTO retention.detached_partition VALUES
            (wanted, wanted_table, wanted_category, p.born_from, p.born_to, rows, for_run, now());
        EXECUTE format('ALTER TABLE public.%I DETACH PARTITION public.%I', wanted_table, wanted);
        RETURN rows;
    END IF;
    EXECUTE format('TRUNCATE TABLE ONLY public.%I', wanted);
    UPDATE retention.run_category SET acted = acted + rows WHERE run_id = for_run AND category = wanted_category;
    RETURN rows;
END
$$;

-- Several whole months of one table in one transaction, since each commit waits for the disk: the first one's lock is waited
-- for, a later one's is not, so that nobody who waits for one of ours is waited for (no deadlock), and no more begin once
-- `milliseconds` are over. Returns the rows of each month that was done; -1 as expire_partition.
CREATE OR REPLACE FUNCTION retention.expire_months(
    for_run uuid, wanted_category text, wanted_table text, months text[], kind text, milliseconds integer) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    began timestamptz := clock_timestamp();
    wanted text;
    done bigint[] := '{}';
BEGIN
    FOREACH wanted IN ARRAY months LOOP
        IF done <> '{}' THEN
            EXIT WHEN clock_timestamp() > began + make_interval(secs => milliseconds / 1000.0);
            BEGIN
                PERFORM retention.partition_of(wanted_table, wanted);
                EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE NOWAIT', wanted);
            EXCEPTION WHEN lock_not_available OR undefined_table OR SQLSTATE 'RTI00' THEN
                -- In use, or gone since: what is done is committed first, the next call says what is wrong.
                EXIT;
            END;
        END IF;
        done := done || retention.expire_partition(for_run, wanted_category, wanted_table, wanted, kind);
        -- The parent's lock keeps everybody waiting: it is given back before the next month is looked at.
        EXIT WHEN kind = 'Detach';
    END LOOP;
    RETURN done;
END
$$;

-- Drops detached months one after the other until `milliseconds` are over; no query of the table finds them any more. One
-- that somebody still reads is passed over, {partition, busy}: it must not keep the others. Empty when none is left.
CREATE OR REPLACE FUNCTION retention.finish_detached_months(for_run uuid, milliseconds integer) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any');
    began timestamptz;
    wanted text;
    done jsonb := '[]';
    one jsonb;
BEGIN
    IF r.mode <> 'Enforce' THEN
        RETURN done;
    END IF;
    PERFORM retention.lock_holds();
    FOR wanted IN SELECT partition FROM retention.detached_partition
        WHERE r.limited_to IS NULL OR category = ANY (r.limited_to) ORDER BY detached_at, partition LOOP
        BEGIN
            IF to_regclass(format('public.%I', wanted)) IS NOT NULL THEN
                -- The first one's lock is waited for, the others' are not: a queue of busy months costs one wait.
                EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE%s', wanted,
                    CASE WHEN began IS NULL THEN '' ELSE ' NOWAIT' END);
            END IF;
            one := retention.finish_detached(r, wanted);
        EXCEPTION WHEN lock_not_available THEN
            one := jsonb_build_object('partition', wanted, 'rows', 0, 'dropped', false, 'busy', true);
        END;
        began := coalesce(began, clock_timestamp());
        done := done || one;
        -- A month that came back has its parent's lock, which is not kept for another one.
        EXIT WHEN NOT (one ->> 'dropped')::boolean AND NOT (one ->> 'busy')::boolean
            OR clock_timestamp() > began + make_interval(secs => milliseconds / 1000.0);
    END LOOP;
    RETURN done;
END
$$;

-- Drops one detached month, locked by the caller after the holds, if it is still due and free of holds, of waiting rows and
-- of objects, else attaches it back. Returns {partition, rows, dropped, busy}.
-- Of an earlier version:
DROP FUNCTION IF EXISTS retention.finish_detached(uuid);
CREATE OR REPLACE FUNCTION retention.finish_detached(r retention.run, wanted text) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    d retention.detached_partition;
    c retention.category;
    due boolean;
    kept text;
    found_one boolean := false;
BEGIN
    DELETE FROM retention.detached_partition WHERE partition = wanted RETURNING * INTO STRICT d;
    IF to_regclass(format('public.%I', d.partition)) IS NULL THEN
        RETURN jsonb_build_object('partition', d.partition, 'rows', 0, 'dropped', false, 'busy', false);
    END IF;
    SELECT * INTO STRICT c FROM retention.category WHERE name = d.category;
    -- Today's rules: what they no longer let go comes back.
    SELECT retention.wholly_due(d.born_to, remove) INTO due FROM retention.settings AS s,
        retention.rule_cutoffs(c.minimum, c.keep, c.maximum, s.margin_seconds, r.clock);
    kept := retention.held_condition(d.table_name, 'r', d.born_from, d.born_to) || ' OR '
        || retention.waiting_condition(d.table_name, 'r', d.born_from, d.born_to) || ' OR NOT '
        || retention.without_object_condition(retention.managed_or_refuse(d.table_name), 'r') || ' OR '
        || CASE WHEN due AND c.active AND c.state = 'Enforced' THEN 'false' ELSE 'true' END;
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I AS r WHERE %s)', d.partition, kept) INTO found_one;
    IF found_one THEN
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            d.table_name, d.partition, d.born_from, d.born_to);
        PERFORM retention.guard_relation(d.partition, d.table_name);
        RETURN jsonb_build_object('partition', d.partition, 'rows', d.rows, 'dropped', false, 'busy', false);
    END IF;
    EXECUTE format('SELECT count(*) FROM public.%I', d.partition) INTO d.rows;
    EXECUTE format('DROP TABLE public.%I', d.partition);
    UPDATE retention.run_category SET acted = acted + d.rows WHERE run_id = r.run_id AND category = d.category;
    RETURN jsonb_build_object('partition', d.partition, 'rows', d.rows, 'dropped', true, 'busy', false);
END
$$;

-- About `batch` rows of one partition, in the order of their clock, after `resume_after`. Held rows and rows that wait for
-- content are passed over. Ranges end at a clock, so equal clocks go together.
CREATE OR REPLACE FUNCTION retention.expire_range(
    for_run uuid, wanted_category text, wanted_table text, wanted text, resume_after timestamptz, batch integer)
RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s'
SET enable_seqscan = off AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce', wanted_category);
    t retention.managed := retention.managed_of_category(wanted_table, wanted_category);
    through timestamptz := retention.removable_through(for_run, wanted_category);
    p record := retention.partition_of(wanted_table, wanted);
    range_start timestamptz := coalesce(resume_after, '-infinity');
    range_end timestamptz;
    due text := retention.due_condition(t, 'r', through);
    kept text;
    waiting text;
    deleted bigint;
    passed_over bigint := 0;
BEGIN
    IF through IS NULL OR t.clock IS NULL THEN
        RETURN jsonb_build_object('deleted', 0, 'resumeAfter', NULL);
    END IF;
    PERFORM retention.lock_holds();
    EXECUTE format('SELECT r.%1$I FROM public.%2$I AS r WHERE r.%1$I > $1 AND r.%1$I <= $2 ORDER BY r.%1$I OFFSET $3 LIMIT 1',
        t.clock, wanted) INTO range_end USING range_start, through, greatest(batch, 1) - 1;
    kept := retention.held_condition(wanted_table, 'r', p.born_from, p.born_to);
    waiting := retention.waiting_condition(wanted_table, 'r', p.born_from, p.born_to);
    EXECUTE format('DELETE FROM public.%I AS r WHERE r.%I > $1 AND r.%2$I <= $2 AND %3$s AND %4$s AND NOT %5$s AND NOT %6$s',
        wanted, t.clock, due, retention.without_object_condition(t, 'r'), kept, waiting) USING range_start, coalesce(range_end, through);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    IF waiting <> 'false' THEN
        EXECUTE format('SELECT count(*) FROM public.%I AS r WHERE r.%I > $1 AND r.%2$I <= $2 AND %3$s AND NOT %4$s',
            wanted, t.clock, due, kept) INTO passed_over USING range_start, coalesce(range_end, through);
    END IF;
    UPDATE retention.run_category SET acted = acted + deleted, skipped = skipped + passed_over
        WHERE run_id = for_run AND category = wanted_category;
    RETURN jsonb_build_object('deleted', deleted, 'resumeAfter', range_end);
END
$$;

CREATE OR REPLACE FUNCTION retention.managed_of_category(wanted_table text, wanted_category text) RETURNS retention.managed
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t retention.managed := retention.managed_or_refuse(wanted_table);
BEGIN
    IF t.category <> wanted_category OR NOT t.active THEN
        RAISE EXCEPTION 'table % is not one of category %', wanted_table, wanted_category
            USING ERRCODE = 'RTI00', DETAIL = 'UnknownTable';
    END IF;
    RETURN t;
END
$$;

CREATE OR REPLACE FUNCTION retention.partition_of(wanted_table text, wanted text, OUT born_from timestamptz, OUT born_to timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
BEGIN
    SELECT x.born_from, x.born_to INTO born_from, born_to FROM retention.partition AS x
        WHERE x.table_name = wanted_table AND x.partition = wanted;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is not a partition of %', wanted, wanted_table USING ERRCODE = 'RTI00', DETAIL = 'UnknownPartition';
    END IF;
END
$$;
