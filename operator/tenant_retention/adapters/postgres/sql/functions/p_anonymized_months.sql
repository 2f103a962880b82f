-- Months that were proven to have nothing left: a night does not read years of rows for nothing. A write to such a month is
-- noticed, so a row that comes in late with an old birth is too.

-- Whether a month was proven to have nothing left, by these methods, and was not written since. Then it is not read again.
CREATE OR REPLACE FUNCTION retention.is_anonymized(month text, methods text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM retention.anonymized_month AS m JOIN pg_class AS c ON c.oid = m.relation
            JOIN pg_trigger AS g ON g.tgrelid = c.oid AND g.tgname = 'retention_month_write' AND g.tgenabled = 'A'
            WHERE m.partition = month AND m.methods = is_anonymized.methods AND m.proven_at IS NOT NULL
                AND c.relname = month AND c.relnamespace = 'public'::regnamespace)
        AND NOT EXISTS (SELECT FROM retention.month_write AS w WHERE w.partition = month)
$$;

-- Logs that a month which is watched was written. Always, unless this session sees that it was logged before: one that
-- fixed its view of the data earlier may see an entry that is gone by now.
CREATE OR REPLACE FUNCTION retention.note_month_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed'
        OR NOT EXISTS (SELECT FROM retention.month_write WHERE partition = TG_TABLE_NAME) THEN
        INSERT INTO retention.month_write (partition) VALUES (TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;

-- Has these events of a month logged, also those of a restore or a replica, which fire no ordinary trigger.
CREATE OR REPLACE FUNCTION retention.note_writes(month text, trigger_name text, events text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON public.%I FOR EACH ROW EXECUTE FUNCTION retention.note_month_write()',
        trigger_name, events, month);
    EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER %I', month, trigger_name);
END
$$;

-- From now on a write to this month is noticed. The lock waits for whoever is writing to it now; after it is granted no write
-- of before is unseen by the proof that follows, and every later one is logged. False where younger rows are to come still.
CREATE OR REPLACE FUNCTION retention.watch_month(for_run uuid, wanted_category text, wanted_table text, wanted text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    p retention.partition := retention.month_of_run(for_run, wanted_category, wanted_table, wanted);
BEGIN
    IF NOT retention.wholly_due(p.born_to, retention.anonymizable_through(for_run, wanted_category)) THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE public.%I IN SHARE ROW EXCLUSIVE MODE', wanted);
    PERFORM retention.note_writes(wanted, 'retention_month_write', 'INSERT OR UPDATE');
    DELETE FROM retention.month_write WHERE partition = wanted;
    INSERT INTO retention.anonymized_month (partition, table_name, relation, methods)
        VALUES (wanted, wanted_table, p.partition_oid, retention.methods_digest(wanted_table))
        ON CONFLICT (partition) DO UPDATE SET table_name = excluded.table_name, relation = excluded.relation,
            methods = excluded.methods, proven_at = NULL;
    -- Months that are gone.
    DELETE FROM retention.anonymized_month AS m WHERE m.table_name = wanted_table
        AND NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = m.relation);
    RETURN true;
END
$$;

-- Whether nothing in a watched month tells of a person any more; then it is not read again until somebody writes to it.
CREATE OR REPLACE FUNCTION retention.prove_month(for_run uuid, wanted_category text, wanted_table text, wanted text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    p retention.partition := retention.month_of_run(for_run, wanted_category, wanted_table, wanted);
    left_over boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I AS r WHERE %s)', wanted, retention.identifying_condition(wanted_table, 'r'))
        INTO left_over;
    IF left_over THEN
        RETURN false;
    END IF;
    UPDATE retention.anonymized_month SET proven_at = now() WHERE partition = wanted AND relation = p.partition_oid
        AND methods = retention.methods_digest(wanted_table);
    RETURN FOUND;
END
$$;
