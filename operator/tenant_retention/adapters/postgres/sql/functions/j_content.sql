-- Content: claim the row, delete the object, delete the row; each a transaction, so that a kill leaves a claim and no loss.

-- The condition that finds a claim's row again, by its primary key in the key's own types.
CREATE OR REPLACE FUNCTION retention.claimed_row_condition(wanted text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('r.%I = c.born_at', t.born_at) || string_agg(
        format(' AND r.%I = (c.row_key ->> %L)::%s', k, k, format_type(a.atttypid, a.atttypmod)), '' ORDER BY n)
    FROM retention.managed AS t, unnest(t.primary_key) WITH ORDINALITY AS keys(k, n)
    JOIN pg_attribute AS a ON a.attrelid = to_regclass(format('public.%I', wanted)) AND a.attname = k
    WHERE t.table_name = wanted GROUP BY t.born_at
$$;

CREATE OR REPLACE FUNCTION retention.row_key_expression(wanted text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'jsonb_build_object(' || string_agg(format('%L, r.%I::text', k, k), ', ' ORDER BY n) || ')'
    FROM retention.managed AS t, unnest(t.primary_key) WITH ORDINALITY AS keys(k, n) WHERE t.table_name = wanted
$$;

-- Whether a row that stays in this run names the object as well, as an expression: an object is as young as the youngest row
-- that names it (M8), and held with any of them (X3). A row without a version means every version of its key; `in_part`: only
-- whether a staying row means one version where `object_version`, being NULL, means all of them. The rows are found by the
-- object's key, in every month, and only then asked whether they stay: both for the few objects of a batch, OFFSET 0 says so.
CREATE OR REPLACE FUNCTION retention.named_by_others(for_run uuid, object_key text, object_version text, in_part boolean)
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    other retention.managed;
    undue text;
    found text;
    asked text;
    held text;
    staying text;
    conditions text[] := '{}';
BEGIN
    FOR other IN SELECT * FROM retention.managed WHERE has_objects LOOP
        undue := retention.undue_condition(other, 'other', retention.removable_through(for_run, other.category));
        found := retention.removable_finding(for_run, other.category, other.table_name, 'other');
        undue := CASE found WHEN 'false' THEN undue ELSE format('(%s AND NOT %s)', undue, found) END;
        asked := retention.asked_to_go_condition(other.table_name, 'other', (SELECT clock FROM retention.run WHERE run_id = for_run));
        undue := CASE asked WHEN 'false' THEN undue ELSE format('(%s AND NOT %s)', undue, asked) END;
        held := retention.held_condition(other.table_name, 'other', '-infinity', 'infinity', few => true);
        staying := format('(%s OR %s)', undue, held);
        conditions := conditions || retention.respelled_condition(other, object_key, staying) || format(
            'EXISTS (SELECT FROM (SELECT * FROM public.%I AS other WHERE other.%I::text = %s%s OFFSET 0) AS other'
            ' WHERE %s AND (%s) OFFSET 0)',
            other.table_name, other.key_column, object_key,
            -- Where nothing is on hold only rows that are not due stay: then the other months are not even opened.
            CASE WHEN held = 'false' THEN ' AND ' || undue ELSE '' END, staying,
            CASE WHEN in_part THEN format('%s IS NULL AND nullif(other.%I::text, '''') IS NOT NULL', object_version, other.version_column)
            ELSE retention.same_version_condition(object_version, format('nullif(other.%I::text, '''')', other.version_column)) END);
    END LOOP;
    RETURN '(' || array_to_string(conditions, ' OR ') || ')';
END
$$;

-- Takes over what earlier runs claimed and left: due still and not held, or with a row that is gone already. What this run
-- claimed and never answered for is given again: the reply was lost. A claim on what a staying row names by now is dropped.
CREATE OR REPLACE FUNCTION retention.take_over_claims(
    for_run uuid, t retention.managed, through timestamptz, batch integer) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    taken bigint[];
BEGIN
    IF NOT EXISTS (SELECT FROM retention.claim AS c
        WHERE c.category = t.category AND (c.run_id <> for_run OR c.state = 'Claimed')) THEN
        RETURN '{}';
    END IF;
    EXECUTE format(
        'WITH left_over AS (SELECT c.claim_id, %6$s AS shared FROM retention.claim AS c LEFT JOIN public.%1$I AS r ON %2$s'
        ' WHERE c.category = %3$L AND (c.run_id <> $1 OR c.state = ''Claimed'')'
        ' AND (r.%4$I IS NULL OR ((%5$s OR %10$s OR (c.cause <> ''Age'' AND (%8$s OR %9$s))) AND NOT %7$s))'
        ' ORDER BY c.claim_id LIMIT $2),'
        ' dropped AS (DELETE FROM retention.claim AS c USING left_over AS l WHERE c.claim_id = l.claim_id AND l.shared),'
        ' taken AS (UPDATE retention.claim AS c SET run_id = $1, state = ''Claimed'', error = NULL FROM left_over AS l'
        ' WHERE c.claim_id = l.claim_id AND NOT l.shared RETURNING c.claim_id)'
        ' SELECT coalesce(array_agg(claim_id), ''{}'') FROM taken',
        t.table_name, retention.claimed_row_condition(t.table_name), t.category, t.born_at,
        retention.due_condition(t, 'r', through), retention.named_by_others(for_run, 'c.object_key', 'c.object_version', false),
        retention.held_condition(t.table_name, 'r', '-infinity', 'infinity', few => true),
        retention.denied_condition(t.table_name, 'r', '-infinity', 'infinity'), retention.unapproved_condition(t.table_name, 'r',
            (SELECT clock FROM retention.run WHERE run_id = for_run)),
        retention.asked_to_go_condition(t.table_name, 'r', (SELECT clock FROM retention.run WHERE run_id = for_run)))
        INTO taken USING for_run, batch;
    RETURN taken;
END
$$;

-- The next due rows, in the order of their clock, from where this run looked last: what it passed over then, being held or
-- locked or named by a row that stays, it does not look at in every batch again. Rows that come in behind wait for the next run.
CREATE OR REPLACE FUNCTION retention.claim_new(for_run uuid, t retention.managed, through timestamptz, batch integer)
RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO'
-- Row after row until the batch is full, and not all that is due first.
SET enable_sort = off AS $$
DECLARE
    claimed bigint[];
    looked_through timestamptz := (SELECT coalesce(rc.claimed_through, '-infinity') FROM retention.run_category AS rc
        WHERE rc.run_id = for_run AND rc.category = t.category);
BEGIN
    IF through IS NULL OR t.clock IS NULL OR batch <= 0 THEN
        RETURN '{}';
    END IF;
    EXECUTE format(
        'WITH due AS (SELECT r.%1$I AS born_at, %2$s AS row_key, r.%3$I::text AS object_key, nullif(r.%4$I::text, '''') AS object_version,'
        ' r.%6$I AS clock FROM (SELECT * FROM public.%5$I AS r WHERE %7$s AND r.%6$I >= %14$L::timestamptz AND NOT %12$s'
        ' ORDER BY r.%6$I OFFSET 0) AS r'
        ' WHERE NOT EXISTS (SELECT FROM retention.claim AS c WHERE c.table_name = %5$L AND %9$s OFFSET 0)'
        ' AND NOT %13$s AND NOT %8$s AND NOT %11$s ORDER BY r.%6$I LIMIT $2),'
        ' claimed AS (INSERT INTO retention.claim (run_id, category, table_name, born_at, row_key, object_key, object_version)'
        ' SELECT $1, %10$L, %5$L, born_at, row_key, object_key, object_version FROM due RETURNING claim_id)'
        -- From this instant on: not all of its rows may have found room.
        ' SELECT (SELECT coalesce(array_agg(claim_id), ''{}'') FROM claimed), (SELECT max(clock) FROM due)',
        t.born_at, retention.row_key_expression(t.table_name), t.key_column, t.version_column, t.table_name, t.clock,
        retention.due_condition(t, 'r', through), retention.held_condition(t.table_name, 'r', '-infinity', 'infinity', few => true),
        retention.claimed_row_condition(t.table_name), t.category,
        retention.named_by_others(for_run, format('r.%I::text', t.key_column), format('nullif(r.%I::text, '''')', t.version_column), false),
        retention.without_object_condition(t, 'r'), retention.row_locked_condition(t), looked_through)
        INTO claimed, looked_through USING for_run, batch;
    UPDATE retention.run_category AS rc SET claimed_through = looked_through
        WHERE rc.run_id = for_run AND rc.category = t.category AND looked_through IS NOT NULL;
    RETURN claimed;
END
$$;

-- Due rows whose object a staying row names as well go alone; the object goes with that row. Not where it means one version
-- only: then the others would be left over unseen, and the row stays as debt until that row is due.
CREATE OR REPLACE FUNCTION retention.expire_shared(for_run uuid, t retention.managed, through timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    object_key text := format('r.%I::text', t.key_column);
    object_version text := format('nullif(r.%I::text, '''')', t.version_column);
    due text := format('%s AND NOT %s', retention.due_condition(t, 'r', through), retention.without_object_condition(t, 'r'));
    alone text := format('NOT %s AND %s AND NOT %s',
        retention.held_condition(t.table_name, 'r', '-infinity', 'infinity', few => true),
        retention.named_by_others(for_run, object_key, object_version, false),
        retention.named_by_others(for_run, object_key, object_version, true));
    found_one boolean;
    deleted bigint;
BEGIN
    -- Asked first, in a form that is set up once and not for each month: hardly ever is there one.
    EXECUTE format('SELECT EXISTS (SELECT FROM (SELECT * FROM public.%I AS r WHERE %s OFFSET 0) AS r WHERE %s)',
        t.table_name, due, alone) INTO found_one;
    IF NOT found_one THEN
        RETURN;
    END IF;
    EXECUTE format('DELETE FROM public.%I AS r WHERE %s AND %s', t.table_name, due, alone);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    UPDATE retention.run_category AS rc SET acted = rc.acted + deleted
        WHERE deleted > 0 AND rc.run_id = for_run AND rc.category = t.category;
END
$$;

-- Whether the bucket is known to keep a row's object: a lock from a longer minimum than today's outlives it. Not claimed, since
-- the bucket would refuse every night; the row waits and is counted.
CREATE OR REPLACE FUNCTION retention.row_locked_condition(t retention.managed) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('EXISTS (SELECT FROM retention.object_lock AS l WHERE l.category = %L AND l.locked_until > clock_timestamp()'
        ' AND l.object = retention.object_digest(r.%I::text, nullif(r.%I::text, '''')) OFFSET 0)',
        t.category, t.key_column, t.version_column)
$$;

CREATE OR REPLACE FUNCTION retention.note_locked_out(for_run uuid, t retention.managed, through timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    waiting bigint := 0;
BEGIN
    IF EXISTS (SELECT FROM retention.object_lock WHERE category = t.category AND locked_until > clock_timestamp()) THEN
        EXECUTE format('SELECT count(*) FROM public.%I AS r WHERE %s AND NOT %s AND NOT %s AND %s', t.table_name,
            retention.due_condition(t, 'r', through), retention.without_object_condition(t, 'r'),
            retention.held_condition(t.table_name, 'r', '-infinity', 'infinity'), retention.row_locked_condition(t))
            INTO waiting;
    END IF;
    UPDATE retention.run_category SET locked_out = waiting
        WHERE run_id = for_run AND category = t.category AND locked_out <> waiting;
END
$$;

CREATE OR REPLACE FUNCTION retention.claim_content(for_run uuid, wanted_category text, batch integer) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s'
SET enable_seqscan = off AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce', wanted_category);
    through timestamptz := retention.removable_through(for_run, wanted_category);
    t retention.managed;
    ids bigint[];
    answer jsonb;
BEGIN
    SELECT * INTO t FROM retention.managed WHERE category = wanted_category AND has_objects AND active;
    IF NOT FOUND THEN
        RETURN '[]';
    END IF;
    PERFORM retention.lock_holds();
    ids := retention.take_over_claims(for_run, t, through, batch);
    ids := ids || retention.claim_new(for_run, t, through, batch - cardinality(ids));
    ids := ids || retention.claim_found(for_run, t, batch - cardinality(ids));
    ids := ids || retention.claim_requested(r, t, batch - cardinality(ids));
    IF ids = '{}' THEN
        PERFORM retention.expire_shared(for_run, t, through);
        PERFORM retention.note_locked_out(for_run, t, through);
    END IF;
    SELECT coalesce(jsonb_agg(jsonb_build_object('claimId', claim_id, 'key', object_key, 'version', object_version)
        ORDER BY claim_id), '[]')
        INTO answer FROM retention.claim WHERE claim_id = ANY (ids);
    RETURN answer;
END
$$;

CREATE OR REPLACE FUNCTION retention.confirm_of_table(for_run uuid, t retention.managed, ids bigint[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    held text := retention.held_condition(t.table_name, 'r', '-infinity', 'infinity', few => true);
    now_held bigint := 0;
    accepted bigint;
    deleted bigint;
    unwanted bigint;
    asked bigint;
BEGIN
    -- What was found and is accepted since has its minimum again (M8): its row stays, and the run's evidence tells the failure.
    EXECUTE format('DELETE FROM retention.claim AS c WHERE c.claim_id = ANY ($1) AND c.cause <> ''Age'' AND EXISTS ('
        'SELECT FROM (SELECT * FROM public.%I AS r WHERE %s OFFSET 0) AS r WHERE %s OFFSET 0)',
        t.table_name, retention.claimed_row_condition(t.table_name), retention.young_condition(t.table_name, 'r')) USING ids;
    GET DIAGNOSTICS accepted = ROW_COUNT;
    IF held <> 'false' THEN
        -- The object is gone, the hold came too late for it: its row stays, and the run's evidence says so.
        EXECUTE format('UPDATE retention.claim AS c SET state = ''HeldAfterRemoval'' WHERE c.claim_id = ANY ($1)'
            -- Told twice, because a reply was lost, it counts once.
            ' AND c.state <> ''HeldAfterRemoval'' AND EXISTS ('
            'SELECT FROM (SELECT * FROM public.%I AS r WHERE %s OFFSET 0) AS r WHERE %s OFFSET 0)',
            t.table_name, retention.claimed_row_condition(t.table_name), held) USING ids;
        GET DIAGNOSTICS now_held = ROW_COUNT;
    END IF;
    EXECUTE format('WITH gone AS (DELETE FROM public.%I AS r USING retention.claim AS c'
        ' WHERE c.claim_id = ANY ($1) AND c.state <> ''HeldAfterRemoval'' AND %s'
        -- A row that names another object by now is claimed anew: that object is still there.
        ' AND r.%I::text = c.object_key AND nullif(r.%I::text, '''') IS NOT DISTINCT FROM c.object_version RETURNING c.cause)'
        ' SELECT count(*) FILTER (WHERE cause = ''Age''), count(*) FILTER (WHERE cause = ''Finding''),'
        ' count(*) FILTER (WHERE cause = ''Request'') FROM gone',
        t.table_name, retention.claimed_row_condition(t.table_name), t.key_column, t.version_column)
        INTO deleted, unwanted, asked USING ids;
    PERFORM retention.forget_claimed(t, ids);
    DELETE FROM retention.claim WHERE claim_id = ANY (ids) AND state <> 'HeldAfterRemoval';
    UPDATE retention.run_category AS rc SET acted = rc.acted + deleted, objects = rc.objects + deleted, held = rc.held + now_held,
            cleared = rc.cleared + unwanted, request_deleted = rc.request_deleted + asked, failed = rc.failed + accepted
        WHERE rc.run_id = for_run AND rc.category = t.category;
    RETURN deleted + unwanted + asked;
END
$$;

CREATE OR REPLACE FUNCTION retention.confirm_claims(for_run uuid, ids bigint[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s'
SET enable_seqscan = off AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce');
    t retention.managed;
    deleted bigint := 0;
BEGIN
    PERFORM retention.lock_holds();
    FOR t IN SELECT * FROM retention.managed WHERE table_name IN (
        SELECT table_name FROM retention.claim WHERE claim_id = ANY (ids) AND run_id = for_run)
    LOOP
        deleted := deleted + retention.confirm_of_table(for_run, t, ARRAY(SELECT claim_id FROM retention.claim
            WHERE claim_id = ANY (ids) AND run_id = for_run AND table_name = t.table_name));
    END LOOP;
    RETURN deleted;
END
$$;

CREATE OR REPLACE FUNCTION retention.release_claims(for_run uuid, failures jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce');
BEGIN
    WITH released AS (
        UPDATE retention.claim AS c SET state = 'Failed', error = left(f ->> 1, 64)
        FROM jsonb_array_elements(failures) AS f
        WHERE c.claim_id = (f ->> 0)::bigint AND c.run_id = for_run AND c.state = 'Claimed' RETURNING c.category)
    UPDATE retention.run_category AS rc SET failed = rc.failed + n.failed
        FROM (SELECT category, count(*) AS failed FROM released GROUP BY category) AS n
        WHERE rc.run_id = for_run AND rc.category = n.category;
END
$$;
