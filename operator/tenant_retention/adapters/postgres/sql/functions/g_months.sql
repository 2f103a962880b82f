-- Whole months: emptied by TRUNCATE, or taken out by DETACH and dropped in a later transaction. Several go in one transaction,
-- since each commit waits for the disk; what holds for all of them (run, rules, holds) is asked once, under locks that last.

-- What earlier versions did month by month.
DROP FUNCTION IF EXISTS retention.expire_partition(uuid, text, text, text, text), retention.finish_detached(uuid),
    retention.partition_of(text, text), retention.is_beyond_back(retention.managed, timestamptz, timestamptz);

-- Locks a month of a table; its range as it is under that lock. Only where `patient` is another's lock waited for: nobody who
-- waits for a month that this transaction holds is ever waited for (no deadlock).
CREATE OR REPLACE FUNCTION retention.lock_month(wanted_table text, wanted text, lock_mode text, patient boolean)
RETURNS retention.partition
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM retention.month_named(wanted_table, wanted);
    EXECUTE format('LOCK TABLE public.%I IN %s MODE%s', wanted, lock_mode, CASE WHEN patient THEN '' ELSE ' NOWAIT' END);
    -- Somebody may have taken it out, and put it back with another range, before the lock was ours.
    RETURN retention.month_named(wanted_table, wanted);
END
$$;

-- Whether rows of a month are held, wait for content or name objects: those go only when their objects are proven gone.
CREATE OR REPLACE FUNCTION retention.keeps_rows(t retention.managed, month text, born_from timestamptz, born_to timestamptz)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    conditions text[] := array_remove(ARRAY[retention.held_condition(t.table_name, 'r', born_from, born_to),
        retention.waiting_condition(t.table_name, 'r', born_from, born_to),
        CASE WHEN t.has_objects THEN 'NOT ' || retention.without_object_condition(t, 'r') ELSE 'false' END], 'false');
    found_one boolean := false;
BEGIN
    IF conditions <> '{}' THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I AS r WHERE %s)', month, array_to_string(conditions, ' OR '))
            INTO found_one;
    END IF;
    RETURN found_one;
END
$$;

-- Whether a month with rows must go row by row. Raises if rows in it may not be due at all.
CREATE OR REPLACE FUNCTION retention.goes_by_rows(t retention.managed, p retention.partition, through timestamptz)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT t.by_birth OR NOT retention.wholly_due(p.born_to, through) THEN
        RAISE EXCEPTION 'partition % holds rows that are not due', p.partition
            USING ERRCODE = 'RTI00', DETAIL = 'StepNotAllowed', HINT = 'Its due rows go by ranges.';
    END IF;
    RETURN retention.keeps_rows(t, p.partition, p.born_from, p.born_to);
END
$$;

-- Empties one month. Returns its rows, or -1 where they must go row by row.
CREATE OR REPLACE FUNCTION retention.truncate_month(t retention.managed, wanted text, through timestamptz, patient boolean)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p retention.partition := retention.lock_month(t.table_name, wanted, 'ACCESS EXCLUSIVE', patient);
    rows bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM public.%I', wanted) INTO rows;
    IF rows > 0 AND retention.goes_by_rows(t, p, through) THEN
        RETURN -1;
    END IF;
    EXECUTE format('TRUNCATE TABLE ONLY public.%I', wanted);
    RETURN rows;
END
$$;

-- Looks at a month that is to be detached, before its parent is locked and anybody is kept waiting. The lock keeps other
-- changes of the table and vacuum away, no reader and no writer: whoever writes into the month after this look is seen when it
-- is dropped, which counts and asks anew where nobody can reach it.
CREATE OR REPLACE FUNCTION retention.look_at_month(
    r retention.run, t retention.managed, wanted text, through timestamptz, droppable timestamptz, patient boolean,
    OUT p retention.partition, OUT rows bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_one boolean;
BEGIN
    rows := 0;
    IF NOT EXISTS (SELECT FROM retention.partition AS x WHERE x.table_name = t.table_name AND x.partition = wanted)
        AND EXISTS (SELECT FROM retention.run_partition AS x WHERE x.run_id = r.run_id AND x.category = t.category
            AND x.table_name = t.table_name AND x.partition = wanted)
    THEN
        -- This run detached it already; the reply was lost.
        RETURN;
    END IF;
    p := retention.lock_month(t.table_name, wanted, 'SHARE UPDATE EXCLUSIVE', patient);
    IF (p.born_to <= droppable) IS NOT TRUE THEN
        RAISE EXCEPTION 'partition % is not beyond % of %', wanted, t.back, t.table_name
            USING ERRCODE = 'RTI00', DETAIL = 'StepNotAllowed';
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', wanted) INTO found_one;
    IF NOT found_one THEN
        RETURN;
    ELSIF retention.goes_by_rows(t, p, through) THEN
        p := NULL;
        rows := -1;
    ELSE
        -- Counted when it is dropped; until then the start's count stands for it.
        rows := greatest(1, coalesce((SELECT total FROM retention.run_partition
            WHERE run_id = r.run_id AND table_name = t.table_name AND partition = wanted), 1));
    END IF;
END
$$;

-- Takes months that were looked at out of their table, in their order, and registers them, until the parent's lock, which stops
-- all its months, has lasted for 20 ms. Returns the rows of those that are done; what was not to be detached counts as done.
CREATE OR REPLACE FUNCTION retention.detach_months(
    r retention.run, t retention.managed, looked_at retention.partition[], rows bigint[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    locked timestamptz;
    p retention.partition;
    place integer := 0;
BEGIN
    FOREACH p IN ARRAY looked_at LOOP
        IF p.partition IS NOT NULL THEN
            EXIT WHEN place > 0 AND clock_timestamp() > locked + interval '20 milliseconds';
            BEGIN
                IF locked IS NULL THEN
                    EXECUTE format('LOCK TABLE ONLY public.%I IN ACCESS EXCLUSIVE MODE', t.table_name);
                    locked := clock_timestamp();
                END IF;
                -- Not waited for: whoever reads this month alone must not make the whole table wait.
                EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE NOWAIT', p.partition);
                INSERT INTO retention.detached_partition VALUES
                    (p.partition, t.table_name, t.category, p.born_from, p.born_to, rows[place + 1], r.run_id, now());
                EXECUTE format('ALTER TABLE public.%I DETACH PARTITION public.%I', t.table_name, p.partition);
            EXCEPTION WHEN OTHERS THEN
                IF place = 0 THEN
                    RAISE;
                END IF;
                EXIT;
            END;
        END IF;
        place := place + 1;
    END LOOP;
    RETURN rows[:place];
END
$$;

-- Whole months of one table, truncated or detached, as many as `milliseconds` allow and at least one. Returns the rows of each
-- month that is done, -1 where it must go row by row. What is wrong with a later month undoes none before it: what is done is
-- committed, and the next call begins with that month and says it.
CREATE OR REPLACE FUNCTION retention.expire_months(
    for_run uuid, wanted_category text, wanted_table text, months text[], kind text, milliseconds integer) RETURNS bigint[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce', wanted_category);
    t retention.managed := retention.managed_of_category(wanted_table, wanted_category);
    through timestamptz := retention.removable_through(for_run, wanted_category);
    until timestamptz := clock_timestamp() + make_interval(secs => milliseconds / 1000.0);
    droppable timestamptz := CASE kind WHEN 'Detach' THEN retention.droppable_through(t, r.clock) END;
    wanted text;
    look record;
    looked_at retention.partition[] := '{}';
    done bigint[] := '{}';
BEGIN
    -- The hold table first, then parent, then partition: the order everywhere.
    PERFORM retention.lock_holds();
    FOREACH wanted IN ARRAY months LOOP
        EXIT WHEN done <> '{}' AND clock_timestamp() > until;
        BEGIN
            IF kind = 'Detach' THEN
                look := retention.look_at_month(r, t, wanted, through, droppable, done = '{}');
                looked_at := looked_at || look.p;
                done := done || look.rows;
            ELSE
                done := done || retention.truncate_month(t, wanted, through, done = '{}');
            END IF;
        EXCEPTION WHEN OTHERS THEN
            IF done = '{}' THEN
                RAISE;
            END IF;
            EXIT;
        END;
    END LOOP;
    IF kind = 'Detach' THEN
        RETURN retention.detach_months(r, t, looked_at, done);
    END IF;
    UPDATE retention.run_category SET acted = acted + (SELECT coalesce(sum(rows), 0) FROM unnest(done) AS rows WHERE rows > 0)
        WHERE run_id = for_run AND category = wanted_category;
    RETURN done;
END
$$;

-- Drops detached months one after the other until `milliseconds` are over; no query of the table finds them any more. One
-- that somebody still reads is passed over, {partition, busy}: it must not keep the others. Empty when none is left.
CREATE OR REPLACE FUNCTION retention.finish_detached_months(for_run uuid, milliseconds integer) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any');
    began timestamptz;
    wanted text;
    done jsonb := '[]';
    one jsonb;
BEGIN
    IF r.mode <> 'Enforce' THEN
        RETURN done;
    END IF;
    PERFORM retention.lock_holds();
    FOR wanted IN SELECT partition FROM retention.detached_partition
        WHERE r.limited_to IS NULL OR category = ANY (r.limited_to) ORDER BY detached_at, partition LOOP
        BEGIN
            IF to_regclass(format('public.%I', wanted)) IS NOT NULL THEN
                -- The first one's lock is waited for, the others' are not: a queue of busy months costs one wait.
                EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE%s', wanted,
                    CASE WHEN began IS NULL THEN '' ELSE ' NOWAIT' END);
            END IF;
            one := retention.finish_detached(r, wanted);
        EXCEPTION WHEN lock_not_available THEN
            one := jsonb_build_object('partition', wanted, 'rows', 0, 'dropped', false, 'busy', true);
        END;
        began := coalesce(began, clock_timestamp());
        done := done || one;
        -- A month that came back has its parent's lock, which is not kept for another one.
        EXIT WHEN NOT (one ->> 'dropped')::boolean AND NOT (one ->> 'busy')::boolean
            OR clock_timestamp() > began + make_interval(secs => milliseconds / 1000.0);
    END LOOP;
    RETURN done;
END
$$;

-- Drops one detached month, locked by the caller after the holds, if it is still due and free of holds, of waiting rows and
-- of objects, else attaches it back. Returns {partition, rows, dropped, busy}.
CREATE OR REPLACE FUNCTION retention.finish_detached(r retention.run, wanted text) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    d retention.detached_partition;
    c retention.category;
    due boolean;
    kept text;
    found_one boolean := false;
BEGIN
    DELETE FROM retention.detached_partition WHERE partition = wanted RETURNING * INTO STRICT d;
    IF to_regclass(format('public.%I', d.partition)) IS NULL THEN
        RETURN jsonb_build_object('partition', d.partition, 'rows', 0, 'dropped', false, 'busy', false);
    END IF;
    SELECT * INTO STRICT c FROM retention.category WHERE name = d.category;
    -- Today's rules: what they no longer let go comes back.
    SELECT retention.wholly_due(d.born_to, remove) INTO due FROM retention.settings AS s,
        retention.cutoffs_of(c, s.margin_seconds, r.clock);
    kept := retention.held_condition(d.table_name, 'r', d.born_from, d.born_to) || ' OR '
        || retention.waiting_condition(d.table_name, 'r', d.born_from, d.born_to) || ' OR NOT '
        || retention.without_object_condition(retention.managed_or_refuse(d.table_name), 'r') || ' OR '
        || CASE WHEN due AND c.active AND c.state = 'Enforced' THEN 'false' ELSE 'true' END;
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I AS r WHERE %s)', d.partition, kept) INTO found_one;
    IF found_one THEN
        PERFORM retention.match_checks(d.partition, d.table_name);
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            d.table_name, d.partition, d.born_from, d.born_to);
        PERFORM retention.guard_relation(d.partition, d.table_name);
        RETURN jsonb_build_object('partition', d.partition, 'rows', d.rows, 'dropped', false, 'busy', false);
    END IF;
    EXECUTE format('SELECT count(*) FROM public.%I', d.partition) INTO d.rows;
    EXECUTE format('DROP TABLE public.%I', d.partition);
    UPDATE retention.run_category SET acted = acted + d.rows WHERE run_id = r.run_id AND category = d.category;
    RETURN jsonb_build_object('partition', d.partition, 'rows', d.rows, 'dropped', true, 'busy', false);
END
$$;
