-- What goes by steps: which steps a category has, and rows by keyset ranges; whole months are in g_months.sql. Every function
-- is one transaction of the client's and believes nothing it is told but the names, which it looks up.

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
    droppable timestamptz;
    rows bigint;
    kind text;
    steps jsonb := '[]';
BEGIN
    FOR t IN SELECT * FROM retention.managed WHERE category = wanted_category AND active ORDER BY position LOOP
        droppable := retention.droppable_through(t, r.clock);
        FOR p IN SELECT * FROM retention.run_partition WHERE run_id = for_run AND table_name = t.table_name
            ORDER BY born_from
        LOOP
            rows := retention.rows_by_steps(t, p, through);
            IF p.total = 0 OR (t.by_birth AND retention.wholly_due(p.born_to, through) AND p.held = 0
                AND retention.content_goes_too(for_run, t, p.born_from, p.born_to))
            THEN
                kind := CASE WHEN p.born_to <= droppable THEN 'Detach'
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

-- Months that end by then are beyond `back`; never the newest month of the table.
CREATE OR REPLACE FUNCTION retention.droppable_through(t retention.managed, at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT least(date_trunc('month', retention.cutoff(at, t.back)), max(born_to) - interval '1 microsecond')
    FROM retention.partition WHERE table_name = t.table_name
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
    p retention.partition := retention.month_of_run(for_run, wanted_category, wanted_table, wanted);
    t retention.managed := retention.managed_or_refuse(wanted_table);
    through timestamptz := retention.removable_through(for_run, wanted_category);
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
    -- The client holds it until the next batch. What is older goes with this one.
    range_end := retention.readable(range_end);
    kept := retention.held_condition(wanted_table, 'r', p.born_from, p.born_to, few => true);
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

-- A month of a table with its range of births; refuses names that are none.
CREATE OR REPLACE FUNCTION retention.month_named(wanted_table text, wanted text) RETURNS retention.partition
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    p retention.partition;
BEGIN
    SELECT * INTO p FROM retention.partition AS x WHERE x.table_name = wanted_table AND x.partition = wanted;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is not a partition of %', wanted, wanted_table USING ERRCODE = 'RTI00', DETAIL = 'UnknownPartition';
    END IF;
    RETURN p;
END
$$;

-- The month that a step of a run names: refuses what is not this session's enforcing run, its category, a table of that, or a
-- month of the table.
CREATE OR REPLACE FUNCTION retention.month_of_run(for_run uuid, wanted_category text, wanted_table text, wanted text)
RETURNS retention.partition
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM retention.assert_run(for_run, 'Enforce', wanted_category);
    PERFORM retention.managed_of_category(wanted_table, wanted_category);
    RETURN retention.month_named(wanted_table, wanted);
END
$$;
