-- The indexes that the functions need on a managed table: by its clocks, its sessions and its objects' keys. One that comes to a
-- table with months is only declared here, which takes no time and does not count until every month has it; the months are read
-- afterwards, one by one and without keeping writers waiting (adapters/postgres/indexes.py), never under the locks of an upgrade.
CREATE OR REPLACE FUNCTION retention.index_name(relation text, wanted_column text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT retention.bounded_name(relation, '_by_' || left(md5(wanted_column), 8))
$$;

CREATE OR REPLACE FUNCTION retention.converge_indexes(t retention.managed, relation oid) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT columns.name, retention.index_name(t.table_name, columns.name) AS index_name
        FROM (SELECT t.born_at UNION SELECT t.session_column
            UNION SELECT unnest(clock_columns) FROM retention.managed_table WHERE name = t.table_name
            -- Whether another row names the same object is asked for every object that goes.
            UNION SELECT name FROM retention.wanted_columns
                WHERE t.has_objects AND table_name = t.table_name AND name = t.key_column) AS columns(name)
        WHERE columns.name IS NOT NULL
    LOOP
        IF NOT EXISTS (SELECT FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
            WHERE i.indrelid = relation AND c.relname = wanted.index_name) THEN
            EXECUTE format('CREATE INDEX %I ON ONLY public.%I (%I)', wanted.index_name, t.table_name, wanted.name);
            RETURN NEXT format('index on %s.%s created', t.table_name, wanted.name);
        END IF;
    END LOOP;
END
$$;

-- The months that such an index has still to be made for, and what a build that was cut off left of it there.
CREATE OR REPLACE VIEW retention.index_to_build AS
SELECT index.relname::text AS index_name, a.attname::text AS column_name, month.relname::text AS month,
    retention.index_name(month.relname::text, a.attname::text) AS name,
    CASE WHEN left_over.oid IS NULL THEN 'Missing' WHEN NOT left_index.indisvalid THEN 'Broken' ELSE 'Apart' END AS state
FROM retention.managed_table AS t
JOIN pg_index AS i ON i.indrelid = to_regclass(format('public.%I', t.name)) AND NOT i.indisvalid
JOIN pg_class AS index ON index.oid = i.indexrelid AND index.relkind = 'I'
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
JOIN pg_inherits AS h ON h.inhparent = i.indrelid AND NOT h.inhdetachpending
JOIN pg_class AS month ON month.oid = h.inhrelid
LEFT JOIN pg_class AS left_over ON left_over.relnamespace = month.relnamespace
    AND left_over.relname = retention.index_name(month.relname::text, a.attname::text)
LEFT JOIN pg_index AS left_index ON left_index.indexrelid = left_over.oid
WHERE t.active AND index.relname = retention.index_name(t.name, a.attname::text) AND NOT EXISTS (
    SELECT FROM pg_inherits AS attached JOIN pg_index AS x ON x.indexrelid = attached.inhrelid
    WHERE attached.inhparent = index.oid AND x.indrelid = month.oid);
