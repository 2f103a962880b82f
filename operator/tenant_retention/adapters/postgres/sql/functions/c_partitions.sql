-- Partitions by UTC month.

-- Puts the guards on one table or partition: statement level, since a statement sees only the guards of what it names.
CREATE OR REPLACE FUNCTION retention.guard_relation(relation text, managed_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER retention_guard_delete AFTER DELETE ON public.%I REFERENCING OLD TABLE AS old_rows'
        ' FOR EACH STATEMENT EXECUTE FUNCTION retention.guard_delete(%L)', relation, managed_name);
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER retention_guard_truncate BEFORE TRUNCATE ON public.%I'
        ' FOR EACH STATEMENT EXECUTE FUNCTION retention.guard_truncate(%L)', relation, managed_name);
    PERFORM retention.guard_content(relation, managed_name);
END
$$;

-- Gives a month that comes back the checks that its table got while it was detached: without them ATTACH refuses it.
CREATE OR REPLACE FUNCTION retention.match_checks(month text, managed_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT p.conname, p.convalidated, pg_get_expr(p.conbin, p.conrelid) AS expression, c.oid IS NULL AS missing
        FROM pg_constraint AS p LEFT JOIN pg_constraint AS c
            ON c.conrelid = to_regclass(format('public.%I', month)) AND c.contype = 'c' AND c.conname = p.conname
        WHERE p.conrelid = to_regclass(format('public.%I', managed_name)) AND p.contype = 'c'
            AND (c.oid IS NULL OR (p.convalidated AND NOT c.convalidated))
    LOOP
        IF wanted.missing THEN
            EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT %I CHECK (%s)%s', month, wanted.conname, wanted.expression,
                CASE WHEN wanted.convalidated THEN '' ELSE ' NOT VALID' END);
        ELSE
            EXECUTE format('ALTER TABLE public.%I VALIDATE CONSTRAINT %I', month, wanted.conname);
        END IF;
    END LOOP;
END
$$;

-- What every month has, since settings of a partitioned table do not reach its partitions. A night takes a few rows out of a
-- large month: by the server's defaults they would stay in its file until a fifth of the month is gone, and a deleted
-- person's data with them. Vacuum passes over pages in which nothing was deleted, so a small share is cheap.
CREATE OR REPLACE FUNCTION retention.vacuum_settings() RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY['autovacuum_enabled=true', 'autovacuum_vacuum_scale_factor=0.02', 'autovacuum_analyze_scale_factor=0.05']
$$;

CREATE OR REPLACE FUNCTION retention.set_vacuum(month text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE public.%I SET (%s)', month, array_to_string(retention.vacuum_settings(), ', '));
END
$$;

-- Makes one month of a table. Made apart and attached: ATTACH locks the parent weakly, where CREATE TABLE ... PARTITION OF
-- would stop everybody.
CREATE OR REPLACE FUNCTION retention.create_month(wanted text, month timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    partition_name text := retention.bounded_name(wanted, '_p' || to_char(month, 'YYYYMM'));
BEGIN
    EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS'
        ' INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING GENERATED)', partition_name, wanted);
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        wanted, partition_name, month, month + interval '1 month');
    PERFORM retention.guard_relation(partition_name, wanted);
    PERFORM retention.set_vacuum(partition_name);
END
$$;

-- Makes the missing months from `back` to `ahead`; returns how many. A month that any partition touches is left alone.
CREATE OR REPLACE FUNCTION retention.create_partitions(wanted text) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed := retention.managed_or_refuse(wanted);
    month timestamptz;
    made integer := 0;
    other text := (SELECT c.relname FROM pg_partitioned_table AS p JOIN pg_class AS c ON c.oid = p.partdefid
        WHERE p.partrelid = to_regclass(format('public.%I', wanted)));
BEGIN
    IF other IS NOT NULL THEN
        -- It would have to be searched under a lock for every month, and what it took in keeps that month from being made.
        RAISE EXCEPTION '% has a DEFAULT partition, %, beside which no month is made: move its rows elsewhere and detach it',
            wanted, other USING ERRCODE = 'invalid_object_definition';
    END IF;
    FOR month IN
        WITH present AS MATERIALIZED (SELECT p.born_from, p.born_to FROM retention.partition AS p WHERE p.table_name = wanted)
        SELECT missing.month FROM generate_series(
            date_trunc('month', retention.cutoff(now(), t.back)),
            date_trunc('month', retention.period_end(now(), retention.months_of(t.ahead), retention.days_of(t.ahead))),
            interval '1 month') AS missing(month)
        WHERE NOT EXISTS (SELECT FROM present AS p
            WHERE p.born_from < missing.month + interval '1 month' AND p.born_to > missing.month)
        ORDER BY 1
    LOOP
        PERFORM retention.create_month(wanted, month);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

-- Months that somebody else made, or whose settings somebody changed.
CREATE OR REPLACE FUNCTION retention.converge_vacuum() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    month text;
BEGIN
    FOR month IN
        SELECT p.partition FROM retention.partition AS p JOIN pg_class AS c ON c.oid = p.partition_oid
        WHERE c.relkind = 'r' AND NOT coalesce(c.reloptions, '{}') @> retention.vacuum_settings()
        ORDER BY p.table_name, p.born_from
    LOOP
        PERFORM retention.set_vacuum(month);
        RETURN NEXT format('autovacuum of %s set', month);
    END LOOP;
END
$$;
