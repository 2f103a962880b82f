-- Counting: one pass over each partition that is not empty, without looking at rows whose answer follows from the month.

-- How many rows have their clock at or before `bound`, as an expression over one partition.
CREATE OR REPLACE FUNCTION retention.count_term(
    clock text, by_birth boolean, born_from timestamptz, born_to timestamptz, bound timestamptz, condition text)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
    SELECT CASE
        WHEN bound IS NULL OR clock IS NULL OR (by_birth AND born_from > bound) THEN '0::bigint'
        WHEN by_birth AND born_to - interval '1 microsecond' <= bound AND condition = 'true' THEN 'count(*)'
        WHEN by_birth AND born_to - interval '1 microsecond' <= bound THEN format('count(*) FILTER (WHERE %s)', condition)
        ELSE format('count(*) FILTER (WHERE r.%I <= %L::timestamptz AND %s)', clock, bound, condition) END
$$;

-- One category at these cut-offs, partition by partition; partitions without rows are left out, detached ones included.
-- due, previously_due and overdue leave out what is held. Empty partitions beyond `back` come with a total of 0.
CREATE OR REPLACE FUNCTION retention.partition_counts(
    wanted text, remove timestamptz, previous timestamptz, overdue_at timestamptz, at timestamptz, only_through timestamptz)
RETURNS TABLE (table_name text, partition text, born_from timestamptz, born_to timestamptz, total bigint, due bigint,
    previously_due bigint, held bigint, overdue bigint, unusable bigint, oldest timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed;
    p record;
    kept text;
    not_future text;
    oldest_of_table timestamptz;
BEGIN
    FOR t IN SELECT * FROM retention.managed AS m WHERE m.category = wanted AND m.active ORDER BY m.position LOOP
        oldest_of_table := NULL;
        FOR p IN SELECT * FROM retention.partition AS x WHERE x.table_name = t.table_name
            AND (only_through IS NULL OR NOT t.by_birth OR x.born_from <= only_through) ORDER BY x.born_from
        LOOP
            table_name := t.table_name;
            partition := p.partition;
            born_from := p.born_from;
            born_to := p.born_to;
            IF pg_relation_size(p.partition_oid) = 0 THEN
                IF p.born_to <= date_trunc('month', retention.cutoff(at, t.back)) THEN
                    SELECT 0, 0, 0, 0, 0, 0, NULL INTO total, due, previously_due, held, overdue, unusable, oldest;
                    RETURN NEXT;
                END IF;
                CONTINUE;
            END IF;
            kept := retention.held_condition(t.table_name, 'r', p.born_from, p.born_to);
            not_future := CASE WHEN t.clock IS NULL THEN '0::bigint'
                WHEN t.by_birth AND p.born_to <= at THEN '0::bigint'
                ELSE format('count(*) FILTER (WHERE r.%I > %L::timestamptz)', t.clock, at + interval '1 day') END;
            EXECUTE format('SELECT count(*), %s, %s, %s, %s, %s FROM public.%I AS r',
                retention.count_term(t.clock, t.by_birth, p.born_from, p.born_to, remove,
                    CASE kept WHEN 'false' THEN 'true' ELSE 'NOT ' || kept END),
                retention.count_term(t.clock, t.by_birth, p.born_from, p.born_to, previous,
                    CASE kept WHEN 'false' THEN 'true' ELSE 'NOT ' || kept END),
                CASE kept WHEN 'false' THEN '0::bigint'
                    ELSE retention.count_term(t.clock, t.by_birth, p.born_from, p.born_to, remove, kept) END,
                retention.count_term(t.clock, t.by_birth, p.born_from, p.born_to, overdue_at,
                    CASE kept WHEN 'false' THEN 'true' ELSE 'NOT ' || kept END),
                not_future, p.partition)
                INTO total, due, previously_due, held, overdue, unusable;
            oldest := NULL;
            IF total > 0 AND t.clock IS NOT NULL AND (oldest_of_table IS NULL OR NOT t.by_birth) THEN
                EXECUTE format('SELECT min(r.%I) FROM public.%I AS r', t.clock, p.partition) INTO oldest;
                oldest_of_table := coalesce(oldest_of_table, oldest);
            END IF;
            IF total > 0 OR p.born_to <= date_trunc('month', retention.cutoff(at, t.back)) THEN
                RETURN NEXT;
            END IF;
        END LOOP;
    END LOOP;
    -- What a run detached and did not live to drop is still there.
    RETURN QUERY SELECT d.table_name, NULL::text, d.born_from, d.born_to, d.rows, 
        CASE WHEN d.born_to - interval '1 microsecond' <= remove THEN d.rows ELSE 0 END,
        CASE WHEN d.born_to - interval '1 microsecond' <= previous THEN d.rows ELSE 0 END, 0::bigint,
        CASE WHEN d.born_to - interval '1 microsecond' <= overdue_at THEN d.rows ELSE 0 END, 0::bigint, d.born_from
        FROM retention.detached_partition AS d WHERE d.category = wanted;
END
$$;
