-- Counting: one pass over each partition that is not empty, without looking at rows whose answer follows from the month.

-- How many rows are due at `bound`, as an expression over one partition.
CREATE OR REPLACE FUNCTION retention.count_term(
    t retention.managed, born_from timestamptz, born_to timestamptz, bound timestamptz, condition text)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
    SELECT CASE
        WHEN bound IS NULL OR t.clock IS NULL OR born_from > bound THEN '0::bigint'
        WHEN t.by_birth AND born_to - interval '1 microsecond' <= bound AND condition = 'true' THEN 'count(*)'
        WHEN t.by_birth AND born_to - interval '1 microsecond' <= bound THEN format('count(*) FILTER (WHERE %s)', condition)
        ELSE format('count(*) FILTER (WHERE %s AND %s)', retention.due_condition(t, 'r', bound), condition) END
$$;

-- Rows of a partition of over 8 MB by its size and the density that ANALYZE found; NULL where it must be counted.
CREATE OR REPLACE FUNCTION retention.estimated_rows(partition_oid oid) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN relpages > 0 AND reltuples > 0 AND pg_relation_size(oid) > 8 * 1024 * 1024
        THEN (reltuples / relpages * (pg_relation_size(oid) / current_setting('block_size')::bigint))::bigint END
    FROM pg_class WHERE oid = partition_oid
$$;

-- One partition at these cut-offs. due, previously_due and overdue leave out what is held.
CREATE OR REPLACE FUNCTION retention.partition_count(
    t retention.managed, p retention.partition, remove timestamptz, previous timestamptz, overdue_at timestamptz,
    at timestamptz, OUT total bigint, OUT due bigint, OUT previously_due bigint, OUT held bigint, OUT overdue bigint,
    OUT unusable bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    held_rows text;
    source text;
    free text;
    future text := '0::bigint';
BEGIN
    -- A large month in which nothing can be due is not worth a scan: its size tells how many rows it has.
    IF t.clock IS NULL
        OR (t.by_birth AND p.born_to <= at AND p.born_from > coalesce(greatest(remove, previous, overdue_at), '-infinity'))
    THEN
        SELECT retention.estimated_rows(p.partition_oid), 0, 0, 0, 0, 0
            INTO total, due, previously_due, held, overdue, unusable;
        IF total IS NOT NULL THEN
            RETURN;
        END IF;
    END IF;
    held_rows := retention.held_condition(t.table_name, 'r', p.born_from, p.born_to);
    source := format('public.%I', p.partition);
    IF held_rows <> 'false' THEN
        -- Asked once for each row, and where the planner knows how often: in a count's filter it would take it for once.
        source := format('(SELECT r.*, %s AS "is held" FROM %s AS r OFFSET 0)', held_rows, source);
        held_rows := 'r."is held"';
    END IF;
    free := CASE held_rows WHEN 'false' THEN 'true' ELSE 'NOT ' || held_rows END;
    IF t.clock IS NOT NULL AND NOT (t.by_birth AND p.born_to <= at) THEN
        future := format('count(*) FILTER (WHERE r.%I > %L::timestamptz)', t.clock, at + interval '1 day');
    END IF;
    EXECUTE format('SELECT count(*), %s, %s, %s, %s, %s FROM %s AS r',
        retention.count_term(t, p.born_from, p.born_to, remove, free),
        retention.count_term(t, p.born_from, p.born_to, previous, free),
        CASE held_rows WHEN 'false' THEN '0::bigint'
            ELSE retention.count_term(t, p.born_from, p.born_to, remove, held_rows) END,
        retention.count_term(t, p.born_from, p.born_to, overdue_at, free), future, source)
        INTO total, due, previously_due, held, overdue, unusable;
END
$$;

-- One table at these cut-offs, partition by partition; partitions without rows are left out, detached ones included (with no
-- partition name). Empty partitions beyond `back` come with a total of 0: they are to be dropped.
CREATE OR REPLACE FUNCTION retention.counts_of_table(
    t retention.managed, remove timestamptz, previous timestamptz, overdue_at timestamptz, at timestamptz,
    only_through timestamptz)
RETURNS TABLE (table_name text, partition text, born_from timestamptz, born_to timestamptz, total bigint, due bigint,
    previously_due bigint, held bigint, overdue bigint, unusable bigint, oldest timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    p retention.partition;
    oldest_of_table timestamptz;
BEGIN
    FOR p IN SELECT * FROM retention.partition AS x WHERE x.table_name = t.table_name
        AND (only_through IS NULL OR NOT t.by_birth OR x.born_from <= only_through) ORDER BY x.born_from
    LOOP
        SELECT p.table_name, p.partition, p.born_from, p.born_to, 0, 0, 0, 0, 0, 0, NULL
            INTO table_name, partition, born_from, born_to, total, due, previously_due, held, overdue, unusable, oldest;
        IF pg_relation_size(p.partition_oid) > 0 THEN
            SELECT n.* INTO total, due, previously_due, held, overdue, unusable
                FROM retention.partition_count(t, p, remove, previous, overdue_at, at) AS n;
        END IF;
        -- Months come in order, so the first one with rows has the oldest birth, unless it is DEFAULT, which has any.
        IF total > 0 AND t.clock IS NOT NULL AND (oldest_of_table IS NULL OR NOT t.by_birth) THEN
            EXECUTE format('SELECT min(r.%I) FROM public.%I AS r', t.clock, p.partition) INTO oldest;
            IF oldest IS NOT NULL THEN
                -- Nothing ends before it began (retention.due_condition): one odd row is not the oldest of all.
                oldest := retention.readable(greatest(oldest, p.born_from));
            END IF;
            oldest_of_table := coalesce(oldest_of_table, CASE WHEN p.born_to < 'infinity' THEN oldest END);
        END IF;
        IF total > 0 OR p.born_to <= date_trunc('month', retention.cutoff(at, t.back)) THEN
            RETURN NEXT;
        END IF;
    END LOOP;
    -- What a run detached and did not live to drop is still there.
    RETURN QUERY SELECT d.table_name, NULL::text, d.born_from, d.born_to, d.rows,
        CASE WHEN d.born_to - interval '1 microsecond' <= remove THEN d.rows ELSE 0 END,
        CASE WHEN d.born_to - interval '1 microsecond' <= previous THEN d.rows ELSE 0 END, 0::bigint,
        CASE WHEN d.born_to - interval '1 microsecond' <= overdue_at THEN d.rows ELSE 0 END, 0::bigint, retention.readable(d.born_from)
        FROM retention.detached_partition AS d WHERE d.table_name = t.table_name;
    -- So is what a killed run copied; of a month that is gone by now it is overdue.
    RETURN QUERY SELECT w.table_name, NULL::text, x.born_from, x.born_to, w.rows, 0::bigint, 0::bigint, 0::bigint,
        CASE WHEN coalesce(x.born_to, '-infinity') - interval '1 microsecond' <= overdue_at THEN w.rows ELSE 0 END, 0::bigint,
        retention.readable(coalesce(x.born_from, '-infinity'))
        FROM retention.abandoned_rewrites() AS w LEFT JOIN retention.partition AS x ON x.partition = w.partition
        WHERE w.table_name = t.table_name AND w.rows > 0;
    -- And so is what lies in files of the archive bucket.
    RETURN QUERY SELECT * FROM retention.counts_of_files(t, remove, previous, overdue_at);
END
$$;

-- One category at these cut-offs: all its tables of today's profile.
CREATE OR REPLACE FUNCTION retention.partition_counts(
    wanted text, remove timestamptz, previous timestamptz, overdue_at timestamptz, at timestamptz, only_through timestamptz)
RETURNS TABLE (table_name text, partition text, born_from timestamptz, born_to timestamptz, total bigint, due bigint,
    previously_due bigint, held bigint, overdue bigint, unusable bigint, oldest timestamptz)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT n.* FROM retention.managed AS t
    CROSS JOIN LATERAL retention.counts_of_table(t, remove, previous, overdue_at, at, only_through) AS n
    WHERE t.category = wanted AND t.active ORDER BY t.position, n.born_from
$$;
