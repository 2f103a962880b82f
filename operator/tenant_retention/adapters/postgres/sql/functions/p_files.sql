-- Files that go by their last modification (M5): the run lists them, the database decides. It fixes the cut-offs, counts what the
-- run saw, asks the guard, and lets files go batch by batch, each batch in one transaction with the holds.

-- From which last modification on files of a category are held; null: none is. What a file holds was written before its last
-- modification, so only a hold's beginning bounds it; sessions, units and persons are not known of files: a unit's hold holds them
-- all, and a person's those of the categories that it names.
CREATE OR REPLACE FUNCTION retention.files_held_from(wanted text) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT min(coalesce(born_from, '-infinity')) FROM retention.hold
    WHERE released_at IS NULL AND session IS NULL AND (category = wanted OR category IS NULL AND person IS NULL)
$$;

-- Where the spans in which the run counts must end, so that every count is exact.
CREATE OR REPLACE FUNCTION retention.file_edges(f retention.run_files, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT jsonb_agg(DISTINCT edge) FROM unnest(ARRAY[f.remove_through, f.previous_through, f.overdue_through,
        -- What is held begins at its instant: it is the first one of the next span.
        CASE WHEN f.held_from > '-infinity' THEN f.held_from - interval '1 microsecond' END, at + interval '1 day']) AS edge
    WHERE edge IS NOT NULL
$$;

-- At the beginning of a run: what will be decided of files, whatever the run sees.
CREATE OR REPLACE FUNCTION retention.begin_files(
    r retention.run, c retention.category, remove timestamptz, previous timestamptz, overdue timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO retention.run_files (run_id, category, prefix, remove_through, previous_through, overdue_through, held_from)
    VALUES (r.run_id, c.name, c.file_prefix, remove, previous, overdue, retention.files_held_from(c.name))
$$;

-- What was seen last: the operator counts debt on from it by time alone. spans: [[oldest, newest, files], ...].
CREATE OR REPLACE FUNCTION retention.keep_inventory(wanted_prefix text, wanted_category text, spans jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO retention.file_inventory (prefix, category, measured_at) VALUES (wanted_prefix, wanted_category, now())
        ON CONFLICT (prefix) DO UPDATE SET category = excluded.category, measured_at = excluded.measured_at;
    DELETE FROM retention.file_span WHERE prefix = wanted_prefix;
    INSERT INTO retention.file_span (prefix, oldest, newest, files)
        SELECT wanted_prefix, (s ->> 0)::timestamptz, (s ->> 1)::timestamptz, (s ->> 2)::bigint FROM jsonb_array_elements(spans) AS s;
END
$$;

-- The rows that this run's approvals may still remove.
CREATE OR REPLACE FUNCTION retention.promised_rows(wanted uuid) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT sum(approved - least(acted, approved)
            + CASE found_guard WHEN 'Approved' THEN greatest(found_before - cleared, 0) ELSE 0 END) FROM retention.run_category WHERE run_id = wanted), 0)
        + coalesce((SELECT sum(approved - least(claimed, approved)) FROM retention.run_files WHERE run_id = wanted), 0)
$$;

-- Takes the count of a category's files, asks the guard for them, and returns the category's counts with them. `store_clock`: what
-- the bucket's server says it is now.
CREATE OR REPLACE FUNCTION retention.count_files(for_run uuid, wanted_category text, store_clock timestamptz, spans jsonb)
RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any');
    f retention.run_files := retention.files_of_run(for_run, wanted_category);
    previously bigint;
    asks boolean;
BEGIN
    IF store_clock IS NULL OR abs(extract(epoch FROM clock_timestamp() - store_clock)) > 60 THEN
        RAISE EXCEPTION 'the clocks of the bucket''s server and of the database differ by over a minute (% and %)',
            coalesce(store_clock::text, 'none'), clock_timestamp()
            USING ERRCODE = 'RTN00', DETAIL = 'ClockSkew', HINT = 'Put the clocks right.';
    ELSIF f.total IS NOT NULL THEN
        -- Told twice, because a reply was lost.
        RETURN retention.run_categories_as_json(for_run, wanted_category);
    END IF;
    SELECT coalesce(sum(files), 0), min(oldest), coalesce(sum(files) FILTER (WHERE newest <= f.remove_through AND free), 0),
        coalesce(sum(files) FILTER (WHERE newest <= f.previous_through AND free), 0),
        coalesce(sum(files) FILTER (WHERE newest <= f.remove_through AND NOT free), 0),
        coalesce(sum(files) FILTER (WHERE newest <= f.overdue_through AND free), 0),
        coalesce(sum(files) FILTER (WHERE oldest > r.clock + interval '1 day'), 0)
        INTO f.total, f.oldest, f.candidates, previously, f.held, f.overdue, f.anomalies
        FROM (SELECT (s ->> 0)::timestamptz AS oldest, (s ->> 1)::timestamptz AS newest, (s ->> 2)::bigint AS files,
            coalesce((s ->> 1)::timestamptz < f.held_from, true) AS free FROM jsonb_array_elements(spans) AS s) AS seen;
    f.surplus := f.candidates - previously;
    asks := f.surplus > retention.guard_floor()
        AND f.surplus * 100 > f.total * (SELECT guard_percent FROM retention.settings);
    IF asks AND coalesce(retention.room_of_approval(r.rules_digest) - retention.promised_rows(for_run) >= f.surplus, false) THEN
        f.guard := 'Approved';
        f.approved := f.surplus;
    ELSIF asks THEN
        f.guard := 'Tripped';
        f.remove_through := f.previous_through;
        f.candidates := f.candidates - f.surplus;
    END IF;
    UPDATE retention.run_files SET total = f.total, oldest = f.oldest, candidates = f.candidates, held = f.held, overdue = f.overdue,
        anomalies = f.anomalies, surplus = CASE WHEN f.guard = 'Tripped' THEN f.surplus ELSE 0 END, guard = f.guard,
        approved = f.approved, remove_through = f.remove_through, residue = f.candidates, total_left = f.total,
        oldest_left = f.oldest WHERE run_id = for_run AND category = wanted_category;
    PERFORM retention.keep_inventory(f.prefix, wanted_category, spans);
    PERFORM retention.note_anomalies(wanted_category, f.anomalies + rc.anomalies) FROM retention.run_category AS rc
        WHERE rc.run_id = for_run AND rc.category = wanted_category;
    RETURN retention.run_categories_as_json(for_run, wanted_category);
END
$$;

CREATE OR REPLACE FUNCTION retention.files_of_run(for_run uuid, wanted_category text) RETURNS retention.run_files
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    f retention.run_files;
BEGIN
    SELECT x.* INTO f FROM retention.run_files AS x JOIN retention.category AS c ON c.name = x.category AND c.file_prefix = x.prefix
        WHERE x.run_id = for_run AND x.category = wanted_category AND c.active AND c.state = 'Enforced' FOR UPDATE OF x;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'category % has no files in this run', wanted_category
            USING ERRCODE = 'RTI00', DETAIL = 'CategoryUnknown';
    END IF;
    RETURN f;
END
$$;

-- Which of these files ([key, version, last modification], ...) no row names, by position from 0, and when each was modified last:
-- before it was locked, where it was, since a store may call the locking a modification, and it would never get old.
CREATE OR REPLACE FUNCTION retention.own_files(for_run uuid, wanted_category text, files jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Any');
    unnamed jsonb;
BEGIN
    unnamed := retention.unnamed_objects((SELECT coalesce(jsonb_agg(jsonb_build_array(file ->> 0, NULL) ORDER BY place), '[]')
        FROM jsonb_array_elements(files) WITH ORDINALITY AS listed(file, place)));
    RETURN (SELECT coalesce(jsonb_agg(jsonb_build_array(place - 1, least((file ->> 2)::timestamptz, l.modified_at)) ORDER BY place), '[]')
        FROM jsonb_array_elements(files) WITH ORDINALITY AS listed(file, place)
        -- Without a version of its own an object may be another one than was locked.
        LEFT JOIN retention.object_lock AS l ON l.category = wanted_category
            AND l.object = retention.object_digest(file ->> 0, file ->> 1) AND coalesce(file ->> 1, 'null') <> 'null'
        WHERE unnamed @> to_jsonb(place - 1));
END
$$;

-- Which of these files ([key, version, last modification], ...) may go now, by position from 0: counted as due under the run's cut-off,
-- not below today's minimum, not held, and named by no row, which would be another category's object. It is the intent: they are
-- deleted after this. `claimed_before`: how many were let go before.
CREATE OR REPLACE FUNCTION retention.claim_files(for_run uuid, wanted_category text, files jsonb, claimed_before bigint)
RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce', wanted_category);
    f retention.run_files := retention.files_of_run(for_run, wanted_category);
    through timestamptz;
    held_from timestamptz;
    unnamed jsonb;
    free jsonb;
BEGIN
    IF f.guard = 'Approved' AND NOT EXISTS (SELECT FROM retention.approval
        WHERE rules_digest = r.rules_digest AND until > clock_timestamp()) THEN
        RAISE EXCEPTION 'the approval ended during the run' USING ERRCODE = 'RTI00', DETAIL = 'RulesChanged',
            HINT = 'What is left waits for a new approval.';
    END IF;
    PERFORM retention.lock_holds();
    held_from := retention.files_held_from(wanted_category);
    SELECT CASE WHEN f.total IS NOT NULL AND f.remove_through IS NOT NULL
        THEN least(f.remove_through, retention.cutoff(r.clock, c.minimum)) END
        INTO through FROM retention.category AS c WHERE c.name = wanted_category;
    -- A row that names any version of the key makes the key its own: stores spell one version in many ways.
    unnamed := retention.unnamed_objects((SELECT coalesce(jsonb_agg(jsonb_build_array(file ->> 0, NULL) ORDER BY place), '[]')
        FROM jsonb_array_elements(files) WITH ORDINALITY AS listed(file, place)));
    SELECT coalesce(jsonb_agg(place - 1 ORDER BY place), '[]') INTO free
        FROM jsonb_array_elements(files) WITH ORDINALITY AS listed(file, place)
        WHERE starts_with(file ->> 0, f.prefix) AND (file ->> 2)::timestamptz <= through
            AND coalesce((file ->> 2)::timestamptz < held_from, true) AND unnamed @> to_jsonb(place - 1);
    UPDATE retention.run_files SET claimed = claimed_before + jsonb_array_length(free), residue = NULL
        WHERE run_id = for_run AND category = wanted_category;
    RETURN free;
END
$$;

-- How many of the files that were let go are proven gone, and how many the store would not delete: totals of the run, so that
-- telling them twice changes nothing.
CREATE OR REPLACE FUNCTION retention.confirm_files(for_run uuid, wanted_category text, gone bigint, refused bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM retention.own_run(for_run);
    UPDATE retention.run_files SET acted = greatest(acted, least(gone, claimed)), failed = greatest(failed, refused)
        WHERE run_id = for_run AND category = wanted_category;
END
$$;

-- What was seen after the work: what of it is due by the run's cut-off is its residue.
CREATE OR REPLACE FUNCTION retention.recount_files(for_run uuid, wanted_category text, spans jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce');
    f retention.run_files := retention.files_of_run(for_run, wanted_category);
    held_from timestamptz := retention.files_held_from(wanted_category);
BEGIN
    UPDATE retention.run_files AS x SET residue = seen.due, total_left = seen.total, oldest_left = seen.oldest
        FROM (SELECT coalesce(sum((s ->> 2)::bigint), 0) AS total, min((s ->> 0)::timestamptz) AS oldest,
            coalesce(sum((s ->> 2)::bigint) FILTER (WHERE (s ->> 1)::timestamptz <= f.remove_through
                AND coalesce((s ->> 1)::timestamptz < held_from, true)), 0) AS due
            FROM jsonb_array_elements(spans) AS s) AS seen
        WHERE x.run_id = for_run AND x.category = wanted_category;
    -- Of files that are gone nothing need be known any more.
    DELETE FROM retention.object_lock AS l USING retention.run_files AS x WHERE x.run_id = for_run AND x.category = wanted_category
        AND l.category = wanted_category AND x.residue = 0 AND retention.files_held_from(wanted_category) IS NULL AND l.modified_at <= x.remove_through;
    PERFORM retention.keep_inventory(f.prefix, wanted_category, spans);
END
$$;

-- Which of these young files ([key, version, last modified], ...) still lack their lock until last modification + minimum (M8).
CREATE OR REPLACE FUNCTION retention.files_to_lock(for_run uuid, wanted_category text, files jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    r retention.run := retention.assert_run(for_run, 'Enforce');
    f retention.run_files := retention.files_of_run(for_run, wanted_category);
    c retention.category;
    locks jsonb;
BEGIN
    SELECT * INTO STRICT c FROM retention.category WHERE name = wanted_category;
    WITH young AS (
        SELECT file ->> 0 AS key, file ->> 1 AS version, retention.object_digest(file ->> 0, file ->> 1) AS object,
            (file ->> 2)::timestamptz AS modified_at,
            retention.period_end(least((file ->> 2)::timestamptz, r.clock + interval '1 day'), retention.months_of(c.minimum), retention.days_of(c.minimum)) AS until
        FROM jsonb_array_elements(files) AS file WHERE starts_with(file ->> 0, f.prefix)
    ), missing AS (
        SELECT y.* FROM young AS y LEFT JOIN retention.object_lock AS l ON l.category = wanted_category AND l.object = y.object
        WHERE y.until > r.clock AND l.failed_in IS DISTINCT FROM for_run AND (l.locked_until IS NULL OR l.locked_until < y.until)
    ), asked AS (
        INSERT INTO retention.object_lock AS l (category, object, asked_until, modified_at)
        SELECT wanted_category, object, max(until), min(modified_at) FROM missing GROUP BY object
        ON CONFLICT (category, object) DO UPDATE SET asked_until = excluded.asked_until,
            modified_at = least(l.modified_at, excluded.modified_at)
        RETURNING l.lock_id, l.object, l.asked_until
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object('lockId', lock_id, 'key', key, 'version', version, 'until', asked_until)
        ORDER BY lock_id), '[]') INTO locks FROM asked JOIN missing USING (object);
    RETURN locks;
END
$$;

-- The evidence of a category's files; null where it has none, or nobody counted them.
CREATE OR REPLACE FUNCTION retention.file_evidence(f retention.run_files) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT CASE WHEN f.total IS NOT NULL THEN jsonb_build_object('before', f.total, 'acted', f.acted, 'failed', f.failed,
        'unconfirmed', f.claimed - f.acted - least(f.failed, f.claimed - f.acted), 'left', CASE WHEN f.residue IS NOT NULL THEN f.total_left END,
        'residue', f.residue) END
$$;

-- What the operator may know of a category's files between runs: the last inventory, with the time moved on. A span counts as
-- due with its oldest file: debt is told rather a day early than late.
CREATE OR REPLACE FUNCTION retention.observe_files(
    wanted_prefix text, wanted_category text, remove timestamptz, overdue_at timestamptz,
    OUT files bigint, OUT oldest timestamptz, OUT due bigint, OUT overdue bigint, OUT held bigint, OUT unusable bigint,
    OUT measured_at timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(s.files), 0), min(s.oldest),
        coalesce(sum(s.files) FILTER (WHERE s.oldest <= remove AND free), 0),
        coalesce(sum(s.files) FILTER (WHERE s.oldest <= overdue_at AND free), 0),
        coalesce(sum(s.files) FILTER (WHERE s.oldest <= remove AND NOT free), 0),
        coalesce(sum(s.files) FILTER (WHERE s.oldest > now() + interval '1 day'), 0),
        (SELECT i.measured_at FROM retention.file_inventory AS i WHERE i.prefix = wanted_prefix)
    FROM (SELECT x.*, coalesce(x.newest < retention.files_held_from(wanted_category), true) AS free
        FROM retention.file_span AS x WHERE x.prefix = wanted_prefix) AS s
$$;

-- What the guard asks of files, by the latest run that looked at them.
CREATE OR REPLACE FUNCTION retention.file_guard_requests(s retention.settings) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('category', f.category, 'rulesDigest', s.rules_digest, 'surplus', f.surplus,
        'total', f.total) ORDER BY f.category), '[]')
    FROM (SELECT DISTINCT ON (n.category) n.*, r.rules_digest FROM retention.run_files AS n JOIN retention.run AS r USING (run_id)
        ORDER BY n.category, r.number DESC) AS f
    WHERE f.rules_digest = s.rules_digest AND f.guard = 'Tripped'
$$;
