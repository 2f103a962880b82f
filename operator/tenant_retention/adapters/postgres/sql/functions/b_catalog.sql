-- What is managed, as the functions look at it.

-- What lies in an archive came there by its birth, and nobody closes it there: by clock Closed it counts from its birth, and where
-- it was closed, which `closing` says, from then if that is later (M8).
CREATE OR REPLACE VIEW retention.managed AS
SELECT t.name AS table_name, t.category, t.position, t.active, t.primary_key, t.born_at, t.back, t.ahead,
    t.session_column, t.unit_column, c.position AS category_position, c.state, c.content_of, c.minimum, c.keep, c.maximum,
    c.clock_event, coalesce(c.content_of, c.name) AS family,
    CASE WHEN c.clock_event IN ('Created', 'ObjectLastModified') OR (c.clock_event = 'Closed' AND s.is_archive) THEN t.born_at
        WHEN c.clock_event = 'Closed' THEN c.clock_column END AS clock,
    -- Logs that are rows count from their birth, those that are files from their last modification.
    c.clock_event IN ('Created', 'ObjectLastModified') AS by_birth,
    coalesce(c.object_table = t.name, false) AS has_objects, c.key_column, c.version_column,
    CASE WHEN c.clock_event = 'Closed' AND s.is_archive THEN c.clock_column END AS closing
FROM retention.managed_table AS t JOIN retention.category AS c ON c.name = t.category,
    (SELECT EXISTS (SELECT FROM retention.settings WHERE purpose = 'Archive') AS is_archive) AS s;

-- Every partition of a managed table with its range of births, read from the catalog: also one that somebody made by hand.
-- Inside the functions TimeZone is UTC and DateStyle ISO, so that the printed bounds are read back as they were.
CREATE OR REPLACE VIEW retention.partition AS
SELECT parent.relname::text AS table_name, child.oid AS partition_oid, child.relname::text AS partition,
    coalesce(substring(bound FROM 'FROM \(''([^'']+)''\)')::timestamptz, '-infinity') AS born_from,
    coalesce(substring(bound FROM 'TO \(''([^'']+)''\)')::timestamptz, 'infinity') AS born_to
FROM retention.managed_table AS t
JOIN pg_catalog.pg_class AS parent
    ON parent.relname = t.name AND parent.relnamespace = 'public'::regnamespace AND parent.relkind = 'p'
JOIN pg_catalog.pg_inherits AS i ON i.inhparent = parent.oid
JOIN pg_catalog.pg_class AS child ON child.oid = i.inhrelid
CROSS JOIN LATERAL pg_catalog.pg_get_expr(child.relpartbound, child.oid) AS bound;

-- The same, and the months that are detached and not yet dropped: their rows may come back.
CREATE OR REPLACE VIEW retention.partition_or_detached AS
SELECT table_name, partition_oid, partition, born_from, born_to FROM retention.partition
UNION ALL
SELECT d.table_name, c.oid, d.partition, d.born_from, d.born_to FROM retention.detached_partition AS d
JOIN pg_catalog.pg_class AS c ON c.relname = d.partition AND c.relnamespace = 'public'::regnamespace;

-- At most 63 bytes, which PostgreSQL counts, not characters: it would cut the suffix off, and all months would have one name.
CREATE OR REPLACE FUNCTION retention.bounded_name(name text, suffix text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN octet_length(name || suffix) <= 63 THEN name || suffix
    ELSE (SELECT left(name, max(n)) FROM generate_series(0, 52 - octet_length(suffix)) AS n
            WHERE octet_length(left(name, n)) <= 52 - octet_length(suffix))
        || '_' || left(encode(sha256(convert_to(name, 'UTF8')), 'hex'), 10) || suffix
    END
$$;

-- The row of retention.managed for a table; refuses names that are not managed.
CREATE OR REPLACE FUNCTION retention.managed_or_refuse(wanted text) RETURNS retention.managed
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_table retention.managed;
BEGIN
    SELECT * INTO found_table FROM retention.managed WHERE table_name = wanted;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table % is not managed here', wanted USING ERRCODE = 'RTI00', DETAIL = 'UnknownTable';
    END IF;
    RETURN found_table;
END
$$;

-- Rows whose period has ended at `bound`. Nothing ends before it began: a case that says it was closed before its own birth
-- counts from its birth, else a written-back closing would get round the minimum (M8).
CREATE OR REPLACE FUNCTION retention.due_condition(t retention.managed, alias text, bound timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT CASE WHEN bound IS NULL OR t.clock IS NULL THEN 'false'
        WHEN t.by_birth THEN format('%I.%I <= %L::timestamptz', alias, t.clock, bound)
        WHEN t.closing IS NOT NULL THEN format('(%I.%I <= %L::timestamptz AND (%1$I.%4$I IS NULL OR %1$I.%4$I <= %3$L::timestamptz))',
            alias, t.clock, bound, t.closing)
        ELSE format('(%I.%I <= %L::timestamptz AND %1$I.%4$I <= %3$L::timestamptz)', alias, t.clock, bound, t.born_at) END
$$;

-- The opposite, also for rows whose clock has not started; written so that months can be left out.
CREATE OR REPLACE FUNCTION retention.undue_condition(t retention.managed, alias text, bound timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT CASE WHEN bound IS NULL OR t.clock IS NULL THEN 'true'
        WHEN t.by_birth THEN format('%I.%I > %L::timestamptz', alias, t.clock, bound)
        ELSE retention.due_condition(t, alias, bound) || ' IS NOT TRUE' END
$$;
