-- What lies in this database and the profile does not know (M11): somebody made it by hand. Told by name, never touched.

CREATE OR REPLACE FUNCTION retention.uncovered() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH ours AS MATERIALIZED (
        -- Tables that left the profile are counted with their rows (retention.observe_left).
        SELECT c.oid, m.name AS table_name, m.active FROM retention.managed_table AS m
        JOIN pg_class AS c ON c.relname = m.name AND c.relnamespace = 'public'::regnamespace
    ), names AS (
        SELECT 'table' AS kind, format('%s.%s', n.nspname, c.relname) AS name
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'f', 'm') AND n.nspname <> 'retention' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            AND c.oid NOT IN (SELECT oid FROM ours)
            -- A table of somebody's is told once, not once for each of its partitions.
            AND NOT c.relispartition
            AND NOT EXISTS (SELECT FROM retention.detached_partition AS d WHERE n.nspname = 'public' AND d.partition = c.relname)
            -- A month that a run is writing anew; not what a killed one left.
            AND (n.nspname <> 'public' OR c.relname NOT IN (SELECT w.copy FROM retention.rewrite AS w)
                OR c.relname IN (SELECT w.copy FROM retention.abandoned_rewrites() AS w))
            AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
        UNION ALL
        SELECT 'column', format('%s.%s', o.table_name, a.attname)
        FROM ours AS o JOIN retention.managed_table AS t ON t.name = o.table_name
        JOIN pg_attribute AS a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE o.active AND a.attname <> t.born_at
            AND NOT EXISTS (SELECT FROM retention.wanted_columns AS w WHERE w.table_name = o.table_name AND w.name = a.attname)
    )
    SELECT jsonb_build_object(
        'tables', (SELECT count(*) FROM names WHERE kind = 'table'), 'columns', (SELECT count(*) FROM names WHERE kind = 'column'),
        -- By name as far as a message has room.
        'names', (SELECT coalesce(jsonb_agg(left(name, 128) ORDER BY kind DESC, name), '[]') FROM (
            SELECT * FROM names ORDER BY kind DESC, name LIMIT 20) AS first))
$$;
