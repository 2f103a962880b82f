-- Anonymization by age: what is due, month by month, and the keyset batches that change it. The decision is the same as for
-- deletion (born at or before one cut-off), and so are holds and the wait for content.

-- The latest clock that this run anonymizes in a category now: the run's own cut-off, never below today's minimum.
CREATE OR REPLACE FUNCTION retention.anonymizable_through(for_run uuid, wanted_category text) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN rc.anonymize_through IS NULL THEN NULL
        ELSE least(rc.anonymize_through, retention.cutoff(r.clock, c.minimum)) END
    FROM retention.run_category AS rc JOIN retention.run AS r USING (run_id)
    JOIN retention.anonymize_rule AS rule USING (category)
    JOIN retention.category AS c ON c.name = rc.category AND c.active AND c.state = 'Enforced'
    WHERE rc.run_id = for_run AND rc.category = wanted_category
$$;

-- Rows that are due for it, and not for deletion by the same run.
CREATE OR REPLACE FUNCTION retention.anonymizable_condition(
    t retention.managed, alias text, remove timestamptz, through timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT retention.due_condition(t, alias, through) || CASE WHEN remove IS NULL THEN ''
        ELSE format(' AND NOT %s', retention.due_condition(t, alias, remove)) END
        || ' AND ' || retention.identifying_condition(t.table_name, alias)
$$;

CREATE OR REPLACE FUNCTION retention.methods_digest(wanted text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT md5(retention.identifying_condition(wanted, 'r'))
$$;

-- The same over a category's tables: with other methods than those that were executed everything is newly due.
CREATE OR REPLACE FUNCTION retention.methods_digest_of(wanted_category text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT md5(coalesce(string_agg(retention.methods_digest(table_name), ' ' ORDER BY table_name), ''))
    FROM retention.managed WHERE category = wanted_category AND active
$$;

-- One month at these cut-offs. due and previously_due leave out what is held.
CREATE OR REPLACE FUNCTION retention.anonymizable_count(
    t retention.managed, p retention.partition, remove timestamptz, through timestamptz, previous timestamptz,
    OUT due bigint, OUT previously_due bigint, OUT held bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    held_rows text := retention.held_condition(t.table_name, 'r', p.born_from, p.born_to);
BEGIN
    EXECUTE format('SELECT count(*) FILTER (WHERE NOT "is held"), count(*) FILTER (WHERE NOT "is held" AND %s),'
        ' count(*) FILTER (WHERE "is held") FROM (SELECT r.*, %s AS "is held" FROM public.%I AS r WHERE %s OFFSET 0) AS r',
        retention.due_condition(t, 'r', previous), held_rows, p.partition,
        retention.anonymizable_condition(t, 'r', remove, through)) INTO due, previously_due, held;
END
$$;

-- One category, month by month; months in which nothing can be due, and those that were proven, are not even read.
CREATE OR REPLACE FUNCTION retention.anonymizable_counts(
    wanted text, remove timestamptz, through timestamptz, previous timestamptz)
RETURNS TABLE (table_name text, partition text, due bigint, previously_due bigint, held bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed;
    p retention.partition;
    methods text;
BEGIN
    FOR t IN SELECT * FROM retention.managed AS m WHERE m.category = wanted AND m.active ORDER BY m.position LOOP
        methods := retention.methods_digest(t.table_name);
        IF t.clock IS NULL OR retention.identifying_condition(t.table_name, 'r') = 'false' THEN
            CONTINUE;
        END IF;
        FOR p IN SELECT * FROM retention.partition AS x WHERE x.table_name = t.table_name ORDER BY x.born_from LOOP
            IF pg_relation_size(p.partition_oid) = 0 OR coalesce(p.born_from > through, true)
                OR (t.by_birth AND retention.wholly_due(p.born_to, remove)) OR retention.is_anonymized(p.partition, methods) THEN
                CONTINUE;
            END IF;
            SELECT n.* INTO due, previously_due, held FROM retention.anonymizable_count(t, p, remove, through, previous) AS n;
            table_name := p.table_name;
            partition := p.partition;
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$$;

-- Counts a category into the run, as if the guard were clear: anonymize_surplus is what is newly due. Called where the run
-- begins, after retention.count_for_run. What cannot be counted is not begun, and told as a failure of this category alone.
CREATE OR REPLACE FUNCTION retention.count_anonymizing(r retention.run, c retention.category) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    through timestamptz := (SELECT least(retention.cutoff(r.clock, rule.after), retention.cutoff(r.clock, c.minimum))
        FROM retention.anonymize_rule AS rule WHERE rule.category = c.name);
    previous timestamptz;
    remove timestamptz := (SELECT remove_through FROM retention.run_category WHERE run_id = r.run_id AND category = c.name);
BEGIN
    IF through IS NULL THEN
        RETURN;
    END IF;
    SELECT least(retention.cutoff(r.clock, e.anonymize_after), through) INTO previous FROM retention.executed_rule AS e
        WHERE e.category = c.name AND e.clock_event = c.clock_event AND e.clock_column IS NOT DISTINCT FROM c.clock_column
            AND e.tables @> c.tables AND e.anonymize_methods = retention.methods_digest_of(c.name) AND e.anonymize_after IS NOT NULL;
    WITH kept AS (
        INSERT INTO retention.run_anonymize (run_id, category, table_name, partition, due, previously_due, held)
        SELECT r.run_id, c.name, n.* FROM retention.anonymizable_counts(c.name, remove, through, previous) AS n
        RETURNING due, previously_due, held
    ), sums AS (
        SELECT coalesce(sum(due), 0) AS due, coalesce(sum(due - previously_due), 0) AS surplus, coalesce(sum(held), 0) AS held
        FROM kept
    )
    UPDATE retention.run_category AS rc SET anonymize_through = through, anonymize_previous = previous,
        anonymize_due = sums.due, anonymize_surplus = sums.surplus, anonymize_held = sums.held
        FROM sums WHERE rc.run_id = r.run_id AND rc.category = c.name;
EXCEPTION WHEN data_exception THEN
    PERFORM retention.record_failure(r.run_id, c.name, 'NotCountable');
END
$$;

-- Where the guard stopped a category: what it keeps is not deleted after all, and loses the person as the rules executed last say.
CREATE OR REPLACE FUNCTION retention.recount_anonymizing(wanted uuid, tripped text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM retention.run_anonymize WHERE run_id = wanted AND category = tripped;
    INSERT INTO retention.run_anonymize (run_id, category, table_name, partition, due, previously_due, held)
        SELECT wanted, tripped, n.* FROM retention.run_category AS rc CROSS JOIN LATERAL retention.anonymizable_counts(
            tripped, rc.remove_through, rc.anonymize_through, rc.anonymize_through) AS n
        WHERE rc.run_id = wanted AND rc.category = tripped;
    UPDATE retention.run_category SET (anonymize_due, anonymize_held) = (SELECT coalesce(sum(due), 0), coalesce(sum(held), 0)
            FROM retention.run_anonymize WHERE run_id = wanted AND category = tripped)
        WHERE run_id = wanted AND category = tripped;
EXCEPTION WHEN data_exception THEN
    PERFORM retention.record_failure(wanted, tripped, 'NotCountable');
END
$$;

-- The months in which something is due, children first, oldest first; the same for a dry run and the real one (X7).
CREATE OR REPLACE FUNCTION retention.anonymize_steps(for_run uuid, wanted_category text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any', wanted_category);
    through timestamptz := retention.anonymizable_through(for_run, wanted_category);
BEGIN
    RETURN (SELECT coalesce(jsonb_agg(jsonb_build_object('category', wanted_category, 'table', n.table_name,
            'partition', n.partition, 'rows', n.due, 'rewrite', retention.is_rewritten(t, p, n, through)) ORDER BY t.position, p.born_from), '[]')
        FROM retention.run_anonymize AS n JOIN retention.managed AS t ON t.table_name = n.table_name AND t.active
        JOIN retention.partition AS p ON p.table_name = n.table_name AND p.partition = n.partition
        WHERE n.run_id = for_run AND n.category = wanted_category AND n.due > 0);
END
$$;

-- About `batch` rows of one month, in the order of their clock, after `resume_after`. Held rows and rows that wait for content
-- of their session are passed over, and come in the next run.
CREATE OR REPLACE FUNCTION retention.anonymize_range(
    for_run uuid, wanted_category text, wanted_table text, wanted text, resume_after timestamptz, batch integer)
RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s'
SET enable_seqscan = off AS $$
DECLARE
    p retention.partition := retention.month_of_run(for_run, wanted_category, wanted_table, wanted);
    t retention.managed := retention.managed_or_refuse(wanted_table);
    through timestamptz := retention.anonymizable_through(for_run, wanted_category);
    range_start timestamptz := coalesce(resume_after, '-infinity');
    range_end timestamptz;
    due text;
    waiting text;
    changed bigint;
    passed_over bigint := 0;
BEGIN
    IF through IS NULL OR t.clock IS NULL THEN
        RETURN jsonb_build_object('anonymized', 0, 'resumeAfter', NULL);
    END IF;
    PERFORM retention.lock_holds();
    due := retention.anonymizable_condition(t, 'r', NULL, through);
    EXECUTE format('SELECT r.%1$I FROM public.%2$I AS r WHERE r.%1$I > $1 AND r.%1$I <= $2 AND %3$s'
        ' ORDER BY r.%1$I OFFSET $3 LIMIT 1', t.clock, wanted, due) INTO range_end
        USING range_start, through, greatest(batch, 1) - 1;
    range_end := retention.readable(range_end);
    waiting := retention.waiting_condition(wanted_table, 'r', p.born_from, p.born_to);
    due := format('r.%I > $1 AND r.%1$I <= $2 AND %s AND NOT %s', t.clock, due,
        retention.held_condition(wanted_table, 'r', p.born_from, p.born_to, few => true));
    IF waiting <> 'false' THEN
        EXECUTE format('SELECT count(*) FROM public.%I AS r WHERE %s AND %s', wanted, due, waiting) INTO passed_over
            USING range_start, coalesce(range_end, through);
    END IF;
    changed := retention.anonymize_all_it_can(for_run, t, wanted, format('%s AND NOT %s', due, waiting),
        range_start, coalesce(range_end, through));
    UPDATE retention.run_category SET anonymized = anonymized + changed, anonymize_waiting = anonymize_waiting + passed_over
        WHERE run_id = for_run AND category = wanted_category;
    RETURN jsonb_build_object('anonymized', changed, 'resumeAfter', range_end);
END
$$;

-- Whether a table has a column that is hashed, and so needs the key.
CREATE OR REPLACE FUNCTION retention.needs_key(wanted text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM retention.anonymized_column AS c
        WHERE c.table_name = wanted AND retention.safe_method(c) IN ('Hash', 'HashAsWritten'))
$$;

CREATE OR REPLACE FUNCTION retention.anonymizing_statement(t retention.managed, wanted text, condition text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('UPDATE public.%I AS r SET %s%s WHERE %s', wanted,
        (SELECT string_agg(format('%I = %s', c.name, retention.anonymized_value(c, retention.safe_method(c), 'r')), ', ')
            FROM retention.anonymized_column AS c WHERE c.table_name = t.table_name),
        CASE WHEN retention.needs_key(t.table_name) THEN ' FROM retention.anonymization_key AS k' ELSE '' END, condition)
$$;

-- Changes the rows of one month that a condition names. The key is joined to, never written into a statement: statements
-- stand in logs and in pg_stat_activity.
CREATE OR REPLACE FUNCTION retention.anonymize_where(
    t retention.managed, wanted text, condition text, range_start timestamptz, range_end timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    changed bigint;
BEGIN
    IF retention.needs_key(t.table_name) THEN
        -- Destroyed since the rules were written: a new one.
        PERFORM retention.make_anonymization_key();
        -- Until this transaction ends nobody destroys it.
        LOCK TABLE retention.anonymization_key IN ACCESS SHARE MODE;
    END IF;
    EXECUTE retention.anonymizing_statement(t, wanted, condition) USING range_start, range_end;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;

-- The same; where a check of the table refuses one of them (a row of before it, or a new value), row by row: the others must
-- not wait for that one. It stays due and is told as a failure of its category.
CREATE OR REPLACE FUNCTION retention.anonymize_all_it_can(
    for_run uuid, t retention.managed, wanted text, condition text, range_start timestamptz, range_end timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    one_of_them text := retention.anonymizing_statement(t, wanted, format('r.ctid = $3 AND (%s)', condition));
    place tid;
    done bigint;
    changed bigint := 0;
BEGIN
    BEGIN
        RETURN retention.anonymize_where(t, wanted, condition, range_start, range_end);
    EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
        -- The key that it made and the lock on it went with it.
        PERFORM retention.anonymize_where(t, wanted, 'false', range_start, range_end);
    END;
    FOR place IN EXECUTE format('SELECT r.ctid FROM public.%I AS r WHERE %s', wanted, condition) USING range_start, range_end LOOP
        BEGIN
            EXECUTE one_of_them USING range_start, range_end, place;
            GET DIAGNOSTICS done = ROW_COUNT;
            changed := changed + done;
        EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
            PERFORM retention.record_failure(for_run, t.category, 'NotAnonymizable');
        END;
    END LOOP;
    RETURN changed;
END
$$;

-- What is still due after a run, held rows left out, in files too.
CREATE OR REPLACE FUNCTION retention.anonymize_residue(rc retention.run_category) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(n.due), 0)::bigint + (retention.identified_in_files(rc.category, rc.remove_through, rc.anonymize_through)).due
    FROM retention.anonymizable_counts(rc.category, rc.remove_through, rc.anonymize_through, NULL) AS n
$$;
