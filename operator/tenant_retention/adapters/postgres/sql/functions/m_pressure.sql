-- What a run asks between its batches so that others do not suffer (RETENTION 2), and statistics after it took much (section 4).

-- The server's write-ahead log and how far its standbys are behind, in bytes, for a login without any privilege: active
-- slots tell everybody; pg_stat_replication tells the owner only where it was granted pg_read_all_stats. Null: none is seen.
CREATE OR REPLACE FUNCTION retention.pressure() RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE jsonb_build_object(
        'walBytes', (here - '0/0')::bigint,
        'transactions', pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
        'largestWal', (SELECT setting::bigint * 1024 * 1024 FROM pg_settings WHERE name = 'max_wal_size'),
        'lagBytes', greatest(
            (SELECT max(here - restart_lsn)::bigint FROM pg_replication_slots WHERE active AND slot_type = 'physical'),
            (SELECT max(here - replay_lsn)::bigint FROM pg_stat_replication WHERE state = 'streaming'))) END
    FROM (SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn() END AS here) AS now_at
$$;

-- ANALYZE as the owner, where this run took a tenth of a category and at least 10,000 rows: autovacuum never looks at a
-- partitioned table as a whole. Only the columns whose values go by age: with all of them it was half of a run's time.
-- Returns whether it did.
CREATE OR REPLACE FUNCTION retention.refresh_statistics(for_run uuid, wanted_category text, wanted_table text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce', wanted_category);
    t retention.managed := retention.managed_of_category(wanted_table, wanted_category);
BEGIN
    IF NOT EXISTS (SELECT FROM retention.run_category AS rc WHERE rc.run_id = for_run AND rc.category = wanted_category
        AND rc.acted >= 10000 AND rc.acted * 10 >= rc.total)
    THEN
        RETURN false;
    END IF;
    EXECUTE format('ANALYZE public.%I (%s)', t.table_name,
        (SELECT string_agg(DISTINCT quote_ident(name), ', ') FROM unnest(ARRAY[t.born_at, t.clock]) AS name));
    RETURN true;
END
$$;
