-- Months of which much is anonymized are rewritten: copied with the new values, indexed, and put in place of the old one. That is
-- several times faster than updates, and leaves no dead rows. Nobody waits meanwhile: instead of a lock the watch on the month
-- (p_anonymized_months.sql) proves at the end that nothing was written to it since; if something was, the copy is thrown away
-- and the rows are updated instead. Only the exchange itself takes a lock, for a moment.

-- Months with fewer rows to change are updated: an exchange stops everybody for a moment.
CREATE OR REPLACE FUNCTION retention.rewrite_floor() RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT 10000::bigint $$;

-- Whether a month is a plain table of ours, with nothing on it that a copy would lose.
CREATE OR REPLACE FUNCTION retention.can_be_copied(relation oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.relkind = 'r' AND c.relpersistence = 'p' AND NOT c.relrowsecurity AND NOT c.relhasrules AND c.relreplident = 'd'
        AND c.reltablespace = 0 AND c.relacl IS NULL AND c.relowner = (SELECT relowner FROM pg_class WHERE oid = 'retention.run'::regclass)
        AND NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgparentid = 0
            AND g.tgname NOT IN ('retention_guard_delete', 'retention_guard_truncate', 'retention_month_write', 'retention_month_delete',
                'retention_consent_insert', 'retention_consent_update'))
        AND NOT EXISTS (SELECT FROM pg_constraint AS f WHERE f.contype = 'f' AND c.oid IN (f.conrelid, f.confrelid))
        AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND (a.attidentity <> '' OR a.attacl IS NOT NULL))
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.refobjid = c.oid AND d.classid = 'pg_rewrite'::regclass)
        AND NOT EXISTS (SELECT FROM pg_publication_rel AS p WHERE p.prrelid = c.oid)
    FROM pg_class AS c WHERE c.oid = relation
$$;

-- Whether a month goes as a whole: all of it is due, more than a fifth of it tells of a person, and nothing in it is held or waits.
CREATE OR REPLACE FUNCTION retention.is_rewritten(
    t retention.managed, p retention.partition, n retention.run_anonymize, through timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.by_birth AND retention.wholly_due(p.born_to, through) AND n.held = 0 AND n.due >= retention.rewrite_floor()
        AND n.due * 5 > (SELECT total FROM retention.run_partition AS r
            WHERE r.run_id = n.run_id AND r.table_name = n.table_name AND r.partition = n.partition)
        AND retention.can_be_copied(p.partition_oid)
$$;

-- Whether a row of a month is held, or waits for content of its session. Asked while no hold can be placed.
CREATE OR REPLACE FUNCTION retention.must_stay(p retention.partition) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    held text := retention.held_condition(p.table_name, 'r', p.born_from, p.born_to);
    waiting text := retention.waiting_condition(p.table_name, 'r', p.born_from, p.born_to);
    found_one boolean := false;
BEGIN
    IF held <> 'false' OR waiting <> 'false' THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM (SELECT * FROM public.%I AS r OFFSET 0) AS r WHERE %s OR %s)',
            p.partition, held, waiting) INTO found_one;
    END IF;
    RETURN found_one;
END
$$;

-- The rewrite of this month, for this session or another one of its run: two sessions copy at a time. The rules are asked for
-- again where the months are exchanged.
CREATE OR REPLACE FUNCTION retention.rewrite_of(for_run uuid, wanted text) RETURNS retention.rewrite
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w retention.rewrite;
BEGIN
    SELECT x.* INTO w FROM retention.rewrite AS x JOIN retention.run AS r USING (run_id)
        WHERE x.partition = wanted AND r.run_id = for_run AND r.finished_at IS NULL AND r.login = session_user;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is not being rewritten in run %', wanted, for_run USING ERRCODE = 'RTI00', DETAIL = 'UnknownPartition';
    END IF;
    RETURN w;
END
$$;

-- Throws a copy away, and what watched for deletions.
CREATE OR REPLACE FUNCTION retention.drop_rewrite(w retention.rewrite) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS public.%I', w.copy);
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = w.relation AND tgname = 'retention_month_delete') THEN
        BEGIN
            EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE NOWAIT', w.partition);
            EXECUTE format('DROP TRIGGER retention_month_delete ON public.%I', w.partition);
        EXCEPTION WHEN lock_not_available THEN
            -- Somebody reads the month: it stays, and makes no more of a deletion than that the month is looked at again.
            NULL;
        END;
    END IF;
    DELETE FROM retention.rewrite WHERE partition = w.partition;
END
$$;

-- Copies that a run which was killed left: gone before anything else is done, since nobody else would delete from them.
CREATE OR REPLACE FUNCTION retention.discard_rewrites(for_run uuid) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce');
    w retention.rewrite;
    dropped integer := 0;
BEGIN
    FOR w IN SELECT * FROM retention.rewrite LOOP
        PERFORM retention.drop_rewrite(w);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

-- Begins: the month is watched from now on, for deletions too, and its empty copy is there. {blocks} to copy; {blocks: null}
-- where it is done already; null where it goes by ranges.
CREATE OR REPLACE FUNCTION retention.rewrite_begin(for_run uuid, wanted_category text, wanted_table text, wanted text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    p retention.partition := retention.month_of_run(for_run, wanted_category, wanted_table, wanted);
    t retention.managed := retention.managed_or_refuse(wanted_table);
    n retention.run_anonymize;
    w retention.rewrite;
BEGIN
    IF retention.is_anonymized(wanted, retention.methods_digest(wanted_table)) THEN
        RETURN jsonb_build_object('blocks', NULL);
    END IF;
    SELECT * INTO w FROM retention.rewrite WHERE partition = wanted;
    IF FOUND THEN
        PERFORM retention.drop_rewrite(w);
    END IF;
    SELECT * INTO n FROM retention.run_anonymize WHERE run_id = for_run AND table_name = wanted_table AND partition = wanted;
    PERFORM retention.lock_holds();
    IF NOT coalesce(retention.is_rewritten(t, p, n, retention.anonymizable_through(for_run, wanted_category)), false)
        OR retention.must_stay(p)
        OR NOT retention.watch_month(for_run, wanted_category, wanted_table, wanted)
    THEN
        RETURN NULL;
    END IF;
    PERFORM retention.note_writes(wanted, 'retention_month_delete', 'DELETE');
    w.copy := retention.bounded_name(wanted, '_rewrite');
    EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL EXCLUDING INDEXES,'
        ' CONSTRAINT retention_month CHECK (%3$I >= %4$L AND %3$I < %5$L))', w.copy, wanted, t.born_at, p.born_from, p.born_to);
    INSERT INTO retention.rewrite (partition, table_name, category, copy, run_id, relation, filenode, blocks, due)
        SELECT wanted, wanted_table, wanted_category, w.copy, for_run, c.oid, pg_relation_filenode(c.oid),
            pg_relation_size(c.oid) / current_setting('block_size')::bigint, n.due
        FROM pg_class AS c WHERE c.oid = p.partition_oid RETURNING * INTO w;
    IF retention.needs_key(wanted_table) THEN
        PERFORM retention.make_anonymization_key();
    END IF;
    RETURN jsonb_build_object('blocks', w.blocks);
END
$$;

-- Copies the rows of these blocks with their new values. Told twice it does so once.
CREATE OR REPLACE FUNCTION retention.rewrite_copy(for_run uuid, wanted text, from_block bigint, to_block bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    w retention.rewrite := retention.rewrite_of(for_run, wanted);
    columns text;
    new_values text;
    with_key boolean := retention.needs_key(w.table_name);
    copied bigint;
BEGIN
    IF w.copied_through <> from_block THEN
        RETURN;
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), string_agg(CASE WHEN c.name IS NULL
            THEN format('r.%I', a.attname) ELSE retention.anonymized_value(c, retention.safe_method(c), 'r') END, ', ' ORDER BY a.attnum)
        INTO columns, new_values
        FROM pg_attribute AS a LEFT JOIN retention.anonymized_column AS c ON c.table_name = w.table_name AND c.name = a.attname
        WHERE a.attrelid = w.relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
    IF with_key THEN
        -- Without a key the join below would copy nothing. It may have been destroyed since the copy was begun: a new one.
        PERFORM retention.make_anonymization_key();
        LOCK TABLE retention.anonymization_key IN ACCESS SHARE MODE;
    END IF;
    EXECUTE format('INSERT INTO public.%I (%s) SELECT %s FROM public.%I AS r%s WHERE r.ctid >= %L::tid AND r.ctid < %L::tid',
        w.copy, columns, new_values, wanted, CASE WHEN with_key THEN ', retention.anonymization_key AS k' ELSE '' END,
        format('(%s,0)', from_block), format('(%s,0)', to_block));
    GET DIAGNOSTICS copied = ROW_COUNT;
    UPDATE retention.rewrite AS x SET copied_through = to_block, rows = x.rows + copied WHERE x.partition = wanted;
EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
    -- A row that a check refuses, or its new value: never complete, so that the month is updated instead, but for that row.
    UPDATE retention.rewrite AS x SET copied_through = -1 WHERE x.partition = wanted;
END
$$;

-- The copy gets the month's indexes and keys, and statistics of its births.
CREATE OR REPLACE FUNCTION retention.rewrite_index(for_run uuid, wanted text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    w retention.rewrite := retention.rewrite_of(for_run, wanted);
    i record;
BEGIN
    IF w.indexed OR w.copied_through < w.blocks THEN
        RETURN;
    END IF;
    FOR i IN SELECT pg_get_constraintdef(k.oid) AS as_constraint, pg_get_indexdef(x.indexrelid) AS as_index,
            format('CREATE %sINDEX %I ON public.%I ', CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END, c.relname, wanted) AS beginning
        FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indexrelid
        LEFT JOIN pg_constraint AS k ON k.conindid = x.indexrelid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u', 'x')
        WHERE x.indrelid = w.relation ORDER BY x.indisprimary DESC, c.relname
    LOOP
        IF i.as_constraint IS NOT NULL THEN
            EXECUTE format('ALTER TABLE public.%I ADD %s', w.copy, i.as_constraint);
        ELSIF starts_with(i.as_index, i.beginning) THEN
            EXECUTE format('CREATE %sINDEX ON public.%I %s', CASE WHEN i.as_index LIKE 'CREATE UNIQUE%' THEN 'UNIQUE ' ELSE '' END,
                w.copy, substr(i.as_index, length(i.beginning) + 1));
        ELSE
            RAISE EXCEPTION 'an index of % cannot be copied: %', wanted, i.as_index USING ERRCODE = 'RTI00', DETAIL = 'Unforeseen';
        END IF;
    END LOOP;
    -- Clocks alone, as in retention.refresh_statistics; autovacuum does the rest within a minute.
    EXECUTE format('ANALYZE public.%I (%I)', w.copy, (SELECT m.born_at FROM retention.managed AS m WHERE m.table_name = w.table_name));
    UPDATE retention.rewrite SET indexed = true WHERE partition = wanted;
END
$$;

-- Whether nothing was written to a month since its copy was begun: nothing was logged, and what logs is what the transaction
-- that began it made. Whoever disables a trigger, or makes another of that name, leaves his own transaction's number on it.
CREATE OR REPLACE FUNCTION retention.is_unwritten(w retention.rewrite) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NOT EXISTS (SELECT FROM retention.month_write AS x WHERE x.partition = w.partition)
        AND EXISTS (SELECT FROM retention.anonymized_month AS m WHERE m.partition = w.partition AND m.relation = w.relation
            AND m.methods = retention.methods_digest(w.table_name) AND 2 = (SELECT count(*) FROM pg_trigger AS g
                WHERE g.tgrelid = w.relation AND g.tgname IN ('retention_month_write', 'retention_month_delete')
                    AND g.tgenabled = 'A' AND g.xmin = m.xmin))
$$;

-- Puts the copy in place of the month, if the month is as it was when it was copied, and nothing in it is held or waits by now;
-- else throws the copy away. The parent is locked first, by a session that holds nothing an application waits for, and with a
-- timeout below the time after which the server looks for deadlocks: whoever has to give way, it is this session.
CREATE OR REPLACE FUNCTION retention.rewrite_swap(for_run uuid, wanted_category text, wanted_table text, wanted text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '500ms' AS $$
DECLARE
    p retention.partition := retention.month_of_run(for_run, wanted_category, wanted_table, wanted);
    w retention.rewrite;
    must_stay boolean;
    rows_now bigint;
    before text := retention.bounded_name(wanted, '_before');
BEGIN
    SELECT * INTO w FROM retention.rewrite WHERE partition = wanted AND run_id = for_run;
    IF NOT FOUND THEN
        -- Told twice: the first time it was done.
        RETURN CASE WHEN retention.is_anonymized(wanted, retention.methods_digest(wanted_table)) THEN 0 END;
    END IF;
    PERFORM retention.lock_holds();
    -- Before the locks: years of rows are not read while others wait. No hold comes in any more; what is written is noted.
    must_stay := retention.must_stay(p);
    EXECUTE format('SELECT count(*) FROM public.%I', wanted) INTO rows_now;
    -- The parent alone, and this month: whoever works on another month by its name is not waited for.
    EXECUTE format('LOCK TABLE ONLY public.%I IN ACCESS EXCLUSIVE MODE', wanted_table);
    EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', wanted);
    IF must_stay OR rows_now <> w.rows OR NOT w.indexed OR w.copied_through < w.blocks OR w.relation <> p.partition_oid
        OR pg_relation_filenode(p.partition_oid) <> w.filenode OR NOT retention.can_be_copied(p.partition_oid)
        OR NOT retention.is_unwritten(w) OR NOT retention.wholly_due(p.born_to, retention.anonymizable_through(for_run, wanted_category))
    THEN
        PERFORM retention.drop_rewrite(w);
        RETURN NULL;
    END IF;
    EXECUTE format('ALTER TABLE public.%I DETACH PARTITION public.%I', wanted_table, wanted);
    EXECUTE format('ALTER TABLE public.%I RENAME TO %I', wanted, before);
    EXECUTE format('ALTER TABLE public.%I RENAME TO %I', w.copy, wanted);
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        wanted_table, wanted, p.born_from, p.born_to);
    EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT retention_month', wanted);
    PERFORM retention.guard_relation(wanted, wanted_table);
    PERFORM retention.set_vacuum(wanted);
    PERFORM retention.note_writes(wanted, 'retention_month_write', 'INSERT OR UPDATE');
    UPDATE retention.anonymized_month SET relation = format('public.%I', wanted)::regclass, proven_at = now() WHERE partition = wanted;
    EXECUTE format('DROP TABLE public.%I', before);
    DELETE FROM retention.rewrite WHERE partition = wanted;
    UPDATE retention.run_category SET anonymized = anonymized + w.due WHERE run_id = for_run AND category = wanted_category;
    RETURN w.due;
END
$$;
