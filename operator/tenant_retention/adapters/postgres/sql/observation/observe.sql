-- What the operator's observer may know: counts and evidence, never a row.

-- How long a row that leaves the live store now is still in a copy: the margin without the one run interval that every policy
-- has (domain/copies.py; a test holds the two together). Debt begins that much before max: a row that is there then outlives
-- its max in a backup, whatever becomes of it in the live store.
CREATE OR REPLACE FUNCTION retention.life_of_copies(margin_seconds bigint) RETURNS interval
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT make_interval(secs => greatest(margin_seconds - 172800, 0))
$$;

CREATE OR REPLACE FUNCTION retention.observe_category(c retention.category, s retention.settings) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    bounds record;
    counted record;
    files record;
    deadline timestamptz;
BEGIN
    SELECT * INTO bounds FROM retention.cutoffs_of(c, s.margin_seconds, now());
    bounds.overdue := (retention.cutoffs_of(c, s.margin_seconds, now() + retention.life_of_copies(s.margin_seconds))).overdue;
    IF c.state <> 'Enforced' THEN
        bounds.remove := NULL;
        bounds.overdue := NULL;
    END IF;
    SELECT coalesce(sum(n.total), 0) AS rows, min(n.oldest) AS oldest, coalesce(sum(n.due), 0) AS due,
        coalesce(sum(n.overdue), 0) AS overdue, coalesce(sum(n.held), 0) AS held, coalesce(sum(n.unusable), 0) AS anomalies
        INTO counted FROM retention.partition_counts(c.name, bounds.remove, NULL, bounds.overdue, now(), NULL) AS n;
    SELECT * INTO files FROM retention.observe_files(c.file_prefix, c.name, bounds.remove, bounds.overdue);
    counted.oldest := least(counted.oldest, files.oldest);
    counted.anomalies := counted.anomalies + files.unusable;
    PERFORM retention.note_anomalies(c.name, counted.anomalies::bigint);
    IF c.state = 'Enforced' THEN
        deadline := retention.deadline_of(counted.oldest, c, s.margin_seconds) - retention.life_of_copies(s.margin_seconds);
    END IF;
    RETURN jsonb_build_object('category', c.name, 'rows', counted.rows, 'oldest', counted.oldest, 'due', counted.due + files.due,
        'overdue', counted.overdue + files.overdue, 'held', counted.held + files.held, 'anomalies', counted.anomalies,
        'anomaliesSince', (SELECT first_seen FROM retention.anomaly WHERE category = c.name), 'nextDeadline', deadline)
        || CASE WHEN c.file_prefix IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('files', files.files, 'filesCountedAt', files.measured_at) END
        || coalesce((SELECT jsonb_build_object('archived', sum(f.rows)) FROM retention.archive_file AS f WHERE f.category = c.name
            HAVING count(*) > 0), '{}')
        || retention.observe_anonymizing(c, bounds.remove) || retention.finding_counts(c.name);
END
$$;

-- Tables that left the profile and still have rows (M10, X4): nobody deletes from them any more, so they are counted against
-- the last max that was known, held rows left out of the debt.
DROP FUNCTION IF EXISTS retention.observe_left();
CREATE OR REPLACE FUNCTION retention.observe_left(s retention.settings) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed;
    c retention.category;
    counted record;
    left_files retention.file_inventory;
    tables jsonb := '[]';
    life interval := retention.life_of_copies(s.margin_seconds);
    overdue_at timestamptz;
BEGIN
    FOR t IN SELECT * FROM retention.managed WHERE NOT active ORDER BY category_position, position LOOP
        SELECT * INTO STRICT c FROM retention.category WHERE name = t.category;
        overdue_at := (retention.cutoffs_of(c, s.margin_seconds, now() + life)).overdue;
        SELECT sum(n.total) AS rows, sum(n.overdue) AS overdue, min(n.oldest) AS oldest INTO counted
            FROM retention.counts_of_table(t, NULL, NULL, overdue_at, now(), NULL) AS n;
        IF counted.rows > 0 THEN
            tables := tables || jsonb_build_object('table', t.table_name, 'category', t.category, 'contentOf', t.content_of,
                'rows', counted.rows, 'oldest', counted.oldest, 'overdue', counted.overdue,
                'nextDeadline', retention.deadline_of(counted.oldest, c, s.margin_seconds) - life);
        END IF;
    END LOOP;
    -- Files below a prefix that no category has any more, as they were seen last.
    FOR left_files IN SELECT * FROM retention.file_inventory AS i WHERE NOT EXISTS (
        SELECT FROM retention.category AS y WHERE y.active AND y.file_prefix = i.prefix) ORDER BY i.prefix
    LOOP
        SELECT * INTO STRICT c FROM retention.category WHERE name = left_files.category;
        overdue_at := (retention.cutoffs_of(c, s.margin_seconds, now() + life)).overdue;
        SELECT f.files AS rows, f.overdue, f.oldest INTO counted FROM retention.observe_files(
            left_files.prefix, c.name, NULL, overdue_at) AS f;
        CONTINUE WHEN counted.rows = 0;
        tables := tables || jsonb_build_object('table', 'files of ' || c.name, 'category', c.name, 'contentOf', NULL,
            'rows', counted.rows, 'oldest', counted.oldest, 'overdue', counted.overdue,
            'nextDeadline', retention.deadline_of(counted.oldest, c, s.margin_seconds) - life);
    END LOOP;
    RETURN tables;
END
$$;

CREATE OR REPLACE FUNCTION retention.observe() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    s retention.settings;
    latest_link retention.evidence;
    c retention.category;
    categories jsonb := '[]';
BEGIN
    SELECT * INTO STRICT s FROM retention.settings;
    FOR c IN SELECT * FROM retention.category WHERE active ORDER BY position LOOP
        categories := categories || retention.observe_category(c, s);
    END LOOP;
    SELECT * INTO latest_link FROM retention.evidence ORDER BY sequence DESC LIMIT 1;
    RETURN jsonb_build_object(
        'rulesDigest', s.rules_digest, 'now', now(), 'categories', categories, 'left', retention.observe_left(s),
        'uncovered', retention.uncovered(),
        'guardRequests', (SELECT coalesce(jsonb_agg(jsonb_build_object('category', rc.category, 'rulesDigest', s.rules_digest,
            'surplus', rc.surplus + rc.anonymize_surplus + CASE rc.found_guard WHEN 'Tripped' THEN rc.found_before ELSE 0 END,
            'total', rc.total) ORDER BY rc.position), '[]')
            FROM (SELECT DISTINCT ON (n.category) n.*, r.rules_digest FROM retention.run_category AS n
                JOIN retention.run AS r USING (run_id) ORDER BY n.category, r.number DESC) AS rc
            WHERE rc.rules_digest = s.rules_digest AND 'Tripped' IN (rc.guard, rc.found_guard)) || retention.file_guard_requests(s),
        'latestRun', CASE WHEN latest_link.sequence IS NULL THEN NULL ELSE retention.link_as_json(latest_link) END,
        'latestSuccess', (SELECT max((body::jsonb ->> 'finishedAt')::timestamptz) FROM retention.evidence
            WHERE body::jsonb ->> 'mode' = 'Enforce' AND body::jsonb ->> 'outcome' = 'Succeeded'
                AND coalesce(body::jsonb -> 'limitedTo', '[]') = '[]'),
        'cacheLooks', retention.cache_looks(), 'holds', retention.live_holds(),
        'pendingRequests', retention.pending_requests(), 'orphans', retention.orphan_counts(), 'chainIntact', retention.chain_is_intact());
END
$$;
