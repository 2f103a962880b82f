-- A run: begun, asserted before every step, finished. The clock and the cut-offs are fixed when it begins; the rules,
-- the holds and the approval are read again in every step.

-- Whether the session that is in this run still lives. A login's own sessions only: nobody else can pose as one.
CREATE OR REPLACE FUNCTION retention.run_is_alive(r retention.run) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.backend_pid <> pg_backend_pid() AND EXISTS (SELECT FROM pg_stat_activity
        WHERE pid = r.backend_pid AND datname = current_database() AND usename = r.login)
$$;

-- The open run, if it is this session's, or of a session that has ended: then it is this session's from now on.
CREATE OR REPLACE FUNCTION retention.own_run(wanted uuid) RETURNS retention.run
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r retention.run;
BEGIN
    SELECT * INTO r FROM retention.run WHERE run_id = wanted FOR UPDATE;
    IF NOT FOUND OR r.finished_at IS NOT NULL THEN
        RAISE EXCEPTION 'run % is not open', wanted USING ERRCODE = 'RTI00', DETAIL = 'RunNotOpen',
            HINT = 'Begin a new run.';
    END IF;
    IF r.backend_pid <> pg_backend_pid() THEN
        IF retention.run_is_alive(r) THEN
            RAISE EXCEPTION 'another session is in run %', wanted USING ERRCODE = 'RTN00', DETAIL = 'RunInProgress';
        END IF;
        UPDATE retention.run SET backend_pid = pg_backend_pid(), login = session_user WHERE run_id = wanted;
    END IF;
    RETURN r;
END
$$;

-- The run, if this session may go on with it. The share lock on the settings makes a change of rules wait for this step,
-- so that no step ends under rules that were replaced before it ended.
CREATE OR REPLACE FUNCTION retention.assert_run(wanted uuid, step_mode text, wanted_category text DEFAULT NULL)
RETURNS retention.run
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    s retention.settings;
    r retention.run;
    rc retention.run_category;
BEGIN
    SELECT * INTO STRICT s FROM retention.settings FOR SHARE;
    r := retention.own_run(wanted);
    IF r.rules_digest <> s.rules_digest OR (r.mode = 'Enforce' AND s.mode <> 'Enforce') THEN
        RAISE EXCEPTION 'the rules changed during the run' USING ERRCODE = 'RTI00', DETAIL = 'RulesChanged',
            HINT = 'What is left waits for the next run.';
    END IF;
    IF s.suspended AND r.mode = 'Enforce' THEN
        RAISE EXCEPTION 'the policy is suspended, or its store was released' USING ERRCODE = 'RTN00', DETAIL = 'Suspended',
            HINT = 'Resume the policy, or bind the store to one.';
    END IF;
    IF r.mode = 'Enforce' THEN
        PERFORM retention.refuse_while_restoring(wanted);
    END IF;
    IF step_mode = 'Enforce' AND r.mode <> 'Enforce' THEN
        RAISE EXCEPTION 'run % is a dry run', wanted USING ERRCODE = 'RTI00', DETAIL = 'DryRun';
    END IF;
    IF wanted_category IS NOT NULL THEN
        SELECT * INTO rc FROM retention.run_category WHERE run_id = wanted AND category = wanted_category;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'category % is not in this run', wanted_category
                USING ERRCODE = 'RTI00', DETAIL = 'CategoryUnknown';
        END IF;
        IF 'Approved' IN (rc.guard, rc.found_guard) AND NOT EXISTS (SELECT FROM retention.approval
            WHERE rules_digest = r.rules_digest AND until > clock_timestamp()) THEN
            RAISE EXCEPTION 'the approval ended during the run' USING ERRCODE = 'RTI00', DETAIL = 'RulesChanged',
                HINT = 'What is left waits for a new approval.';
        END IF;
        UPDATE retention.run_category SET begun = true WHERE run_id = wanted AND category = wanted_category AND NOT begun;
    END IF;
    RETURN r;
END
$$;

-- The latest clock that this run removes in a category now: the run's own cut-off, never below today's minimum.
CREATE OR REPLACE FUNCTION retention.removable_through(for_run uuid, wanted_category text) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN rc.remove_through IS NULL THEN NULL
        ELSE least(rc.remove_through, retention.cutoff(r.clock, c.minimum)) END
    FROM retention.run_category AS rc JOIN retention.run AS r USING (run_id)
    JOIN retention.category AS c ON c.name = rc.category AND c.active AND c.state = 'Enforced'
    WHERE rc.run_id = for_run AND rc.category = wanted_category
$$;

CREATE OR REPLACE FUNCTION retention.interrupt_unfinished_runs() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    r retention.run;
BEGIN
    FOR r IN SELECT * FROM retention.run WHERE finished_at IS NULL ORDER BY number FOR UPDATE LOOP
        IF retention.run_is_alive(r) THEN
            RAISE EXCEPTION 'another session is in run %', r.run_id USING ERRCODE = 'RTN00', DETAIL = 'RunInProgress',
                HINT = 'Wait for it to end.';
        END IF;
        PERFORM retention.append_evidence(r.run_id, 'Interrupted', retention.category_evidence(r.run_id, false));
        DELETE FROM retention.run_partition WHERE run_id = r.run_id;
        DELETE FROM retention.run_anonymize WHERE run_id = r.run_id;
    END LOOP;
END
$$;

-- Up to this many newly due rows never trip the guard: a category of a few rows would ask every night.
CREATE OR REPLACE FUNCTION retention.guard_floor() RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT 10::bigint $$;

-- Rows and files together; of `only_category`, where it is given.
DROP FUNCTION IF EXISTS retention.run_categories_as_json(uuid);
CREATE OR REPLACE FUNCTION retention.run_categories_as_json(wanted uuid, only_category text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'category', rc.category, 'removeThrough', rc.remove_through, 'total', rc.total + coalesce(f.total, 0),
        'candidates', rc.candidates + coalesce(f.candidates, 0), 'surplus', rc.surplus + rc.anonymize_surplus + coalesce(f.surplus, 0), 'anonymizeDue', rc.anonymize_due,
        'held', rc.held + coalesce(f.held, 0), 'overdue', rc.overdue + coalesce(f.overdue, 0),
        'anomalies', rc.anomalies + coalesce(f.anomalies, 0), 'oldest', least(rc.oldest, f.oldest),
        'guard', CASE WHEN 'Tripped' IN (rc.guard, f.guard) THEN 'Tripped' WHEN f.guard = 'Approved' THEN f.guard ELSE rc.guard END)
        || CASE WHEN f.category IS NULL THEN '{}'::jsonb ELSE jsonb_build_object(
            'filesThrough', f.remove_through, 'fileEdges', coalesce(retention.file_edges(f, r.clock), '[]'),
            'filesYoungAfter', retention.cutoff(r.clock, c.minimum)) END
        ORDER BY rc.position), '[]')
    FROM retention.run_category AS rc JOIN retention.run AS r USING (run_id) JOIN retention.category AS c ON c.name = rc.category
    LEFT JOIN retention.run_files AS f ON f.run_id = rc.run_id AND f.category = rc.category
    WHERE rc.run_id = wanted AND (only_category IS NULL OR rc.category = only_category)
$$;

-- Counts one category into run_category and run_partition, as if the guard were clear: surplus is what is newly due.
CREATE OR REPLACE FUNCTION retention.count_for_run(r retention.run, c retention.category, s retention.settings, place integer)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
DECLARE
    bounds record;
    previous timestamptz;
BEGIN
    SELECT * INTO bounds FROM retention.cutoffs_of(c, s.margin_seconds, r.clock);
    IF c.state <> 'Enforced' THEN
        bounds.remove := NULL;
        bounds.overdue := NULL;
    END IF;
    -- The last executed rules with the clock moved on; other clocks or tables than then count as never executed.
    SELECT least(retention.cutoff_of_executed(e, r.clock), bounds.remove)
        INTO previous FROM retention.executed_rule AS e
        WHERE e.category = c.name AND e.clock_event = c.clock_event AND e.clock_column IS NOT DISTINCT FROM c.clock_column
            AND e.tables @> c.tables AND e.file_prefix IS NOT DISTINCT FROM c.file_prefix
            AND retention.cutoff_of_executed(e, r.clock) IS NOT NULL;
    WITH counts AS MATERIALIZED (
        SELECT * FROM retention.partition_counts(c.name, bounds.remove, previous, bounds.overdue, r.clock, NULL)
    ), kept AS (
        INSERT INTO retention.run_partition
            (run_id, category, table_name, partition, born_from, born_to, total, due, previously_due, held)
        SELECT r.run_id, c.name, table_name, partition, born_from, born_to, total, due, previously_due, held
        FROM counts WHERE partition IS NOT NULL
    )
    INSERT INTO retention.run_category (run_id, category, position, remove_through, previous_through, total, candidates,
        surplus, held, overdue, anomalies, oldest, guard)
    SELECT r.run_id, c.name, place, bounds.remove, previous, coalesce(sum(total), 0), coalesce(sum(due), 0),
        coalesce(sum(due - previously_due), 0), coalesce(sum(held), 0), coalesce(sum(overdue), 0),
        coalesce(sum(unusable), 0), min(oldest), 'Clear'
    FROM counts;
    IF c.file_prefix IS NOT NULL THEN
        PERFORM retention.begin_files(r, c, bounds.remove, previous, bounds.overdue);
    END IF;
END
$$;

-- The rows that an approval still allows for: what runs removed under it is spent, also by one that was killed half-way.
-- What such a category removed counts as surplus first, though some of it was due before: doubt asks once more.
CREATE OR REPLACE FUNCTION retention.room_of_approval(digest text) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.max_rows - (SELECT coalesce(sum(CASE rc.guard WHEN 'Approved' THEN least(rc.acted + rc.anonymized, rc.approved) ELSE 0 END
            + CASE rc.found_guard WHEN 'Approved' THEN rc.cleared ELSE 0 END), 0) FROM retention.run AS r
        JOIN retention.run_category AS rc USING (run_id)
        WHERE r.number > a.after_run AND r.rules_digest = a.rules_digest AND 'Approved' IN (rc.guard, rc.found_guard))
        - (SELECT coalesce(sum(least(f.claimed, f.approved)), 0) FROM retention.run AS r JOIN retention.run_files AS f USING (run_id)
        WHERE r.number > a.after_run AND r.rules_digest = a.rules_digest)
    FROM retention.approval AS a WHERE a.rules_digest = digest AND a.until > clock_timestamp()
$$;

-- The blast guard: a category with more newly due rows than the floor and than its share needs an approval of these rules
-- that allows for all such rows together. A tripped category goes on under its last executed rules; only the surplus waits.
CREATE OR REPLACE FUNCTION retention.ask_guard(r retention.run, s retention.settings) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asking bigint;
    allowed boolean;
BEGIN
    UPDATE retention.run_category SET guard = 'Tripped' WHERE run_id = r.run_id
        AND surplus + anonymize_surplus > retention.guard_floor()
        AND (surplus + anonymize_surplus) * 100 > total * s.guard_percent;
    SELECT sum(surplus + anonymize_surplus) INTO asking FROM retention.run_category WHERE run_id = r.run_id AND guard = 'Tripped';
    allowed := coalesce(retention.room_of_approval(r.rules_digest) >= asking, false);
    UPDATE retention.run_category SET guard = 'Approved', approved = surplus + anonymize_surplus WHERE run_id = r.run_id AND guard = 'Tripped' AND allowed;
    UPDATE retention.run_category SET remove_through = previous_through, candidates = candidates - surplus,
        anonymize_through = anonymize_previous
        WHERE run_id = r.run_id AND guard = 'Tripped';
    UPDATE retention.run_category SET surplus = 0, anonymize_surplus = 0 WHERE run_id = r.run_id AND guard <> 'Tripped';
    UPDATE retention.run_partition AS p SET due = p.previously_due FROM retention.run_category AS rc
        WHERE p.run_id = r.run_id AND rc.run_id = p.run_id AND rc.category = p.category AND rc.guard = 'Tripped';
    PERFORM retention.recount_anonymizing(r.run_id, category) FROM retention.run_category WHERE run_id = r.run_id AND guard = 'Tripped';
END
$$;

CREATE OR REPLACE FUNCTION retention.note_anomalies(wanted_category text, counted bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_read_only') = 'on' THEN
        RETURN;
    ELSIF counted > 0 THEN
        INSERT INTO retention.anomaly (category, first_seen) VALUES (wanted_category, now()) ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM retention.anomaly WHERE category = wanted_category;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION retention.begin_run(wanted uuid, run_mode text, digest text, own_clock timestamptz) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    s retention.settings;
    r retention.run;
    c retention.category;
    place integer := 0;
BEGIN
    SELECT * INTO STRICT s FROM retention.settings FOR UPDATE;
    IF digest <> s.rules_digest OR (run_mode = 'Enforce' AND s.mode <> 'Enforce') THEN
        RAISE EXCEPTION 'the run was made for other rules than the database has (% there, % here)', digest, s.rules_digest
            USING ERRCODE = 'RTI00', DETAIL = 'RulesChanged', HINT = 'Use the plan of the current policy.';
    END IF;
    IF s.suspended AND run_mode = 'Enforce' THEN
        RAISE EXCEPTION 'the policy is suspended, or its store was released' USING ERRCODE = 'RTN00', DETAIL = 'Suspended',
            HINT = 'Resume the policy, or bind the store to one.';
    END IF;
    IF abs(extract(epoch FROM clock_timestamp() - own_clock)) > 60 THEN
        RAISE EXCEPTION 'the clocks of this run and of the database differ by over a minute (% and %)',
            own_clock, clock_timestamp()
            USING ERRCODE = 'RTN00', DETAIL = 'ClockSkew', HINT = 'Put the clocks right.';
    END IF;
    SELECT * INTO r FROM retention.run WHERE run_id = wanted;
    IF FOUND AND r.finished_at IS NULL AND r.mode = run_mode THEN
        PERFORM retention.assert_run(wanted, run_mode);
        RETURN retention.run_categories_as_json(wanted);
    END IF;
    IF run_mode = 'Enforce' THEN
        PERFORM retention.refuse_while_restoring(wanted);
        PERFORM retention.assert_clock(s.rules_digest);
    END IF;
    PERFORM retention.interrupt_unfinished_runs();
    INSERT INTO retention.run (run_id, mode, rules_digest, policy_generation, clock, started_at, backend_pid, login)
        -- It starts at its clock: whoever checks the evidence knows to the second what was due.
        VALUES (wanted, run_mode, s.rules_digest, s.policy_generation, least(own_clock, now()), least(own_clock, now()),
            pg_backend_pid(), session_user)
        RETURNING * INTO r;
    -- Content first: its record waits for it (P4).
    FOR c IN SELECT * FROM retention.category WHERE active ORDER BY content_of IS NULL, position LOOP
        place := place + 1;
        PERFORM retention.count_for_run(r, c, s, place);
        PERFORM retention.count_anonymizing(r, c);
    END LOOP;
    PERFORM retention.note_anomalies(category, anomalies) FROM retention.run_category
        -- With files only when they are counted too: what was seen first must not be forgotten in between.
        WHERE run_id = wanted AND category NOT IN (SELECT category FROM retention.run_files WHERE run_id = wanted);
    PERFORM retention.ask_guard(r, s);
    PERFORM retention.ask_about_findings(r, s);
    RETURN retention.run_categories_as_json(wanted);
END
$$;

-- A run by hand that concerns some categories only: the others are no longer part of it, neither of its work nor of its
-- judgement. Its evidence says so, and it never counts as a night's run. None of them need be this database's: then the run
-- is here only to say which objects of a shared bucket must stay.
CREATE OR REPLACE FUNCTION retention.limit_run(wanted uuid, wanted_categories text[]) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    r retention.run;
    unknown text;
BEGIN
    SELECT * INTO r FROM retention.run WHERE run_id = wanted;
    r := retention.assert_run(wanted, r.mode);
    SELECT name INTO unknown FROM unnest(wanted_categories) AS name
        WHERE name NOT IN (SELECT category FROM retention.run_category WHERE run_id = wanted)
            AND name NOT IN (SELECT c ->> 'name'
                FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'categories') AS c
                WHERE NOT retention.lies_in(c, s.purpose));
    IF unknown IS NOT NULL OR wanted_categories IS NULL OR wanted_categories = '{}' THEN
        RAISE EXCEPTION 'category % is not in this run', coalesce(unknown, 'none')
            USING ERRCODE = 'RTI00', DETAIL = 'CategoryUnknown';
    END IF;
    UPDATE retention.run SET limited_to = ARRAY(SELECT DISTINCT name FROM unnest(wanted_categories) AS name ORDER BY 1)
        WHERE run_id = wanted;
    -- What work was done in already stays in the judgement. The counts by month stay too: they say which records wait for
    -- content that this run leaves where it is.
    DELETE FROM retention.run_category WHERE run_id = wanted AND category <> ALL (wanted_categories) AND NOT begun;
    DELETE FROM retention.run_files AS f WHERE f.run_id = wanted AND NOT EXISTS (
        SELECT FROM retention.run_category AS rc WHERE rc.run_id = wanted AND rc.category = f.category);
    RETURN retention.run_categories_as_json(wanted);
END
$$;
