-- Loading a backup. What today's rules would refuse to take in comes back for a moment, in a closed database, and is taken away
-- again by today's rules before it is opened: rows that did not come back would leave their objects behind without a name.

-- On half of the tables no run may decide: what only a row names that is not loaded yet would go from the bucket (M8).
-- `wanted`: a run, which may be the restore's own replay; null: whoever it is. The caller holds the settings FOR SHARE, so that
-- none begins meanwhile.
CREATE OR REPLACE FUNCTION retention.refuse_while_restoring(wanted uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM retention.restoring WHERE wanted IS NULL OR replay IS DISTINCT FROM wanted) THEN
        RAISE EXCEPTION 'a backup is being restored into this database' USING ERRCODE = 'RTN00', DETAIL = 'RestoreUnderWay',
            HINT = 'If nobody is at it, give the same command again: tenant-retention restore. Runs go on after it.';
    END IF;
END
$$;

-- Whatever refuses an INSERT into the table is off, and on again in the same transaction; that a column must have a value stays off.
CREATE OR REPLACE FUNCTION retention.take_in_any(wanted text, anything boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    guard text;
    required text;
BEGIN
    -- Rows of before a column was required have no value in it, and the database that they came from let them be (M11).
    FOR required IN SELECT a.attname FROM pg_attribute AS a JOIN retention.managed AS t ON t.table_name = wanted
        WHERE anything AND a.attrelid = to_regclass(format('public.%I', wanted)) AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
            AND a.attname <> t.born_at AND a.attname <> ALL (t.primary_key)
    LOOP
        EXECUTE format('ALTER TABLE public.%I ALTER COLUMN %I DROP NOT NULL', wanted, required);
    END LOOP;
    FOR guard IN
        SELECT g.tgname FROM pg_trigger AS g JOIN pg_proc AS p ON p.oid = g.tgfoid
        WHERE g.tgrelid = to_regclass(format('public.%I', wanted)) AND NOT g.tgisinternal AND g.tgtype & 4 <> 0
            AND g.tgenabled IN ('O', 'D') AND p.pronamespace = 'retention'::regnamespace
    LOOP
        EXECUTE format('ALTER TABLE public.%I %s TRIGGER %I', wanted, CASE WHEN anything THEN 'DISABLE' ELSE 'ENABLE' END, guard);
    END LOOP;
END
$$;

-- The checks of a table, which is without them until they are put back in the same transaction. A living database keeps the rows
-- of before a check was added; COPY asks every check, valid or not.
CREATE OR REPLACE FUNCTION retention.set_checks_aside(wanted text) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found jsonb;
    each text;
BEGIN
    SELECT coalesce(jsonb_object_agg(conname, pg_get_expr(conbin, conrelid)), '{}') INTO found
        FROM pg_constraint WHERE conrelid = to_regclass(format('public.%I', wanted)) AND contype = 'c';
    FOR each IN SELECT jsonb_object_keys(found) LOOP
        EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT %I', wanted, each);
    END LOOP;
    RETURN found;
END
$$;

-- For what is written from now on; the operator validates by the looks that follow what it wants to be valid.
CREATE OR REPLACE FUNCTION retention.put_checks_back(wanted text, checks jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    each record;
BEGIN
    FOR each IN SELECT * FROM jsonb_each_text(checks) LOOP
        EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT %I CHECK (%s) NOT VALID', wanted, each.key, each.value);
    END LOOP;
END
$$;

-- Makes the months of these births, those from before `back` too: what a hold keeps is older than that.
CREATE OR REPLACE FUNCTION retention.create_months(wanted text, born_from timestamptz, born_to timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    month timestamptz;
BEGIN
    IF NOT (isfinite(born_from) AND isfinite(born_to)) THEN
        RETURN;
    END IF;
    FOR month IN
        WITH present AS MATERIALIZED (SELECT p.born_from, p.born_to FROM retention.partition AS p WHERE p.table_name = wanted)
        SELECT missing.month FROM generate_series(date_trunc('month', $2), $3 - interval '1 microsecond', interval '1 month') AS missing(month)
        WHERE NOT EXISTS (SELECT FROM present AS p
            WHERE p.born_from < missing.month + interval '1 month' AND p.born_to > missing.month)
    LOOP
        PERFORM retention.create_month(wanted, month);
    END LOOP;
END
$$;
