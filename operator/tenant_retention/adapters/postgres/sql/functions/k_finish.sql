-- The end of a run: what is left is counted, evidence is appended, the executed rules are remembered.

CREATE OR REPLACE FUNCTION retention.record_failure(for_run uuid, wanted_category text, reason text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    word text := left(regexp_replace(reason, '[^A-Za-z0-9_.-]', '', 'g'), 64);
BEGIN
    -- Not assert_run: a failure is worth noting also where the rules have changed meanwhile.
    PERFORM retention.own_run(for_run);
    -- Every failure counts; of their reasons each is kept once, and no more than 16.
    UPDATE retention.run_category SET failed = failed + 1, failure_reasons = CASE
            WHEN word = ANY (failure_reasons) OR cardinality(failure_reasons) >= 16 THEN failure_reasons
            ELSE failure_reasons || word END
        WHERE run_id = for_run AND category = wanted_category;
END
$$;

-- The categories of a run as its evidence: what is still due is counted anew where `count_residue`, else it is null.
CREATE OR REPLACE FUNCTION retention.category_evidence(wanted uuid, count_residue boolean) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    rc retention.run_category;
    evidence jsonb := '[]';
    f retention.run_files;
    residue bigint;
    identifying bigint;
    oldest_left timestamptz;
BEGIN
    FOR rc IN SELECT * FROM retention.run_category WHERE run_id = wanted ORDER BY position LOOP
        residue := NULL;
        identifying := NULL;
        oldest_left := NULL;
        SELECT * INTO f FROM retention.run_files WHERE run_id = wanted AND category = rc.category;
        IF count_residue THEN
            BEGIN
                SELECT coalesce(sum(n.due), 0) INTO residue FROM retention.partition_counts(
                    rc.category, rc.remove_through, NULL, NULL, now(), coalesce(rc.remove_through, '-infinity')) AS n;
                oldest_left := retention.oldest_of(rc.category);
                identifying := retention.anonymize_residue(rc);
            EXCEPTION WHEN lock_not_available OR undefined_table OR undefined_column THEN
                -- Evidence with an unknown residue is better than none: null says that it could not be counted.
                residue := NULL;
                identifying := NULL;
            END;
        END IF;
        IF count_residue AND f.category IS NOT NULL THEN
            residue := residue + f.residue;
            oldest_left := least(oldest_left, f.oldest_left);
        END IF;
        evidence := evidence || (jsonb_build_object(
            'category', rc.category, 'candidates', rc.candidates + coalesce(f.candidates, 0), 'acted', rc.acted + coalesce(f.acted, 0),
            'objects', rc.objects + coalesce(f.acted, 0), 'held', rc.held + coalesce(f.held, 0),
            'skipped', rc.skipped + rc.locked_out, 'failed', rc.failed + coalesce(f.failed, 0), 'locked', rc.locked,
            'surplus', rc.surplus + rc.anonymize_surplus + coalesce(f.surplus, 0), 'oldestLeft', oldest_left, 'residue', residue)
            || CASE WHEN rc.anonymize_through IS NULL THEN '{}' ELSE jsonb_build_object('anonymizeDue', rc.anonymize_due,
                'anonymized', rc.anonymized, 'anonymizeHeld', rc.anonymize_held, 'anonymizeResidue', identifying) END
            || CASE WHEN rc.archive_due IS NULL THEN '{}' ELSE jsonb_build_object('archiveDue', rc.archive_due, 'archived', rc.archived) END
            || retention.request_counts(rc) || retention.finding_counts(rc.category) || CASE WHEN rc.found_before > 0 THEN jsonb_build_object('cleared', rc.cleared) ELSE '{}' END
            || CASE WHEN f.total IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('files', retention.file_evidence(f)) END);
    END LOOP;
    RETURN evidence;
END
$$;

CREATE OR REPLACE FUNCTION retention.oldest_of(wanted text) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t retention.managed;
    oldest timestamptz;
    oldest_of_table timestamptz;
BEGIN
    FOR t IN SELECT * FROM retention.managed WHERE category = wanted AND active AND clock IS NOT NULL LOOP
        -- As in retention.counts_of_table: nothing ends before it began.
        EXECUTE format('SELECT CASE WHEN min(%1$I) IS NOT NULL THEN greatest(min(%1$I), min(%2$I)) END FROM public.%3$I',
            t.clock, t.born_at, t.table_name) INTO oldest_of_table;
        oldest := least(oldest, oldest_of_table,
            (SELECT min(f.born_from) FROM retention.archive_file AS f WHERE f.table_name = t.table_name AND f.rows > 0));
    END LOOP;
    RETURN retention.readable(oldest);
END
$$;

CREATE OR REPLACE FUNCTION retention.outcome_of(r retention.run, evidence jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN r.mode = 'DryRun' THEN CASE WHEN bool_or(rc.failed > 0) THEN 'Failed' ELSE 'Succeeded' END
        WHEN r.rules_digest <> (SELECT rules_digest FROM retention.settings)
            OR (SELECT mode <> 'Enforce' FROM retention.settings) THEN 'RulesChanged'
        WHEN bool_or(rc.failed > 0 OR f.failed > 0) THEN 'Failed'
        WHEN r.caches @? '$[*].failure ? (@ != null)' THEN 'Failed'
        -- Files that nobody counted, or of which some due ones are left.
        WHEN bool_or(f.category IS NOT NULL AND (f.total IS NULL OR coalesce(f.residue > 0, true))) THEN 'Incomplete'
        -- A run that passed over a category in which something was due, or over all of them, has not done the night's work.
        WHEN bool_or(NOT rc.begun AND rc.candidates + rc.anonymize_due > 0) OR NOT bool_or(rc.begun) THEN 'Incomplete'
        -- Work that was begun and left: less removed than was due, and still due without waiting for anything.
        WHEN bool_or(rc.begun AND rc.acted < rc.candidates
            AND coalesce((e ->> 'residue')::bigint - coalesce(f.residue, 0) > rc.skipped + rc.locked_out, true))
            THEN 'Incomplete'
        WHEN bool_or(rc.begun AND rc.anonymized < rc.anonymize_due
                AND coalesce((e ->> 'anonymizeResidue')::bigint > rc.anonymize_waiting, true)) THEN 'Incomplete'
        WHEN bool_or(rc.archived + rc.archive_waiting < rc.archive_due) THEN 'Incomplete'
        WHEN bool_or(rc.begun AND (retention.identified_in_files(rc.category, rc.remove_through, rc.anonymize_through)).due > 0)
            THEN 'Incomplete'
        WHEN bool_or('Tripped' IN (rc.guard, rc.found_guard) OR f.guard = 'Tripped') THEN 'ApprovalRequired'
        ELSE 'Succeeded' END
    FROM retention.run_category AS rc
    LEFT JOIN jsonb_array_elements(evidence) AS e ON e ->> 'category' = rc.category
    LEFT JOIN retention.run_files AS f ON f.run_id = rc.run_id AND f.category = rc.category
    WHERE rc.run_id = r.run_id
$$;

CREATE OR REPLACE FUNCTION retention.finish_run(wanted uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '5s' AS $$
DECLARE
    r retention.run;
    link retention.evidence;
    evidence jsonb;
    outcome text;
BEGIN
    SELECT * INTO r FROM retention.run WHERE run_id = wanted FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % is not open', wanted USING ERRCODE = 'RTI00', DETAIL = 'RunNotOpen', HINT = 'Begin a new run.';
    END IF;
    IF r.finished_at IS NULL THEN
        PERFORM retention.own_run(wanted);
        evidence := retention.category_evidence(wanted, true);
        outcome := coalesce(retention.outcome_of(r, evidence), 'Succeeded');
        PERFORM retention.append_evidence(wanted, outcome, evidence);
        IF r.mode = 'Enforce' AND outcome <> 'RulesChanged' AND NOT r.requests_only THEN
            INSERT INTO retention.executed_rule (category, rules_digest, minimum, keep, maximum, margin_seconds, clock_event,
                clock_column, tables, executed_at, anonymize_after, anonymize_methods, extended_keep, extended_maximum, extended_until,
                file_prefix)
            SELECT c.name, r.rules_digest, c.minimum, c.keep, c.maximum, s.margin_seconds, c.clock_event, c.clock_column,
                c.tables, now(), CASE WHEN rc.anonymize_through IS NOT NULL THEN
                    (SELECT rule.after FROM retention.anonymize_rule AS rule WHERE rule.category = c.name) END,
                retention.methods_digest_of(c.name), c.extended_keep, c.extended_maximum, c.extended_until,
                c.file_prefix
            FROM retention.run_category AS rc JOIN retention.category AS c ON c.name = rc.category, retention.settings AS s
            WHERE rc.run_id = wanted AND rc.begun AND rc.guard <> 'Tripped' AND c.state = 'Enforced'
                AND NOT EXISTS (SELECT FROM retention.run_files AS f WHERE f.run_id = wanted AND f.category = rc.category
                    AND (f.total IS NULL OR f.guard = 'Tripped'
                        OR f.guard = 'Approved' AND (f.failed > 0 OR coalesce(f.residue > 0, true))))
                -- The rules may have changed since the outcome was found: what no run worked by is not executed.
                AND s.rules_digest = r.rules_digest
                -- An approval that ended in the middle has executed nothing: what is left must ask again.
                AND (rc.guard <> 'Approved' OR (rc.failed = 0 AND rc.acted + rc.skipped + rc.locked_out >= rc.candidates
                    AND rc.anonymized + rc.anonymize_waiting >= rc.anonymize_due))
            ON CONFLICT (category) DO UPDATE SET rules_digest = excluded.rules_digest, minimum = excluded.minimum,
                keep = excluded.keep, maximum = excluded.maximum, margin_seconds = excluded.margin_seconds,
                clock_event = excluded.clock_event, clock_column = excluded.clock_column, tables = excluded.tables,
                executed_at = excluded.executed_at, anonymize_after = excluded.anonymize_after,
                anonymize_methods = excluded.anonymize_methods, extended_keep = excluded.extended_keep,
                extended_maximum = excluded.extended_maximum, extended_until = excluded.extended_until,
                file_prefix = excluded.file_prefix;
        END IF;
        IF r.mode = 'Enforce' THEN
            PERFORM retention.forget_sessions();
        END IF;
        -- The guard asks about content of before a rule once.
        UPDATE retention.scanned_rule AS k SET since = '-infinity' FROM retention.run_category AS rc
            WHERE rc.run_id = wanted AND rc.begun AND rc.found_guard = 'Approved' AND r.mode = 'Enforce'
                AND k.category = rc.category AND k.kind = 'Consent';
        DELETE FROM retention.run_partition WHERE run_id = wanted;
        DELETE FROM retention.run_anonymize WHERE run_id = wanted;
    END IF;
    SELECT * INTO STRICT link FROM retention.evidence WHERE run_id = wanted;
    RETURN retention.link_as_json(link);
END
$$;
