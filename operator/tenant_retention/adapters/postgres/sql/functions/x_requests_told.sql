-- What is told of requests: counts and dates, nobody's name.

-- What requests wait for in a category, for evidence: rows left, and why.
CREATE OR REPLACE FUNCTION retention.request_counts(rc retention.run_category) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN waiting > 0 OR rc.request_deleted + rc.request_cleared > 0 THEN jsonb_build_object(
        'requestDeleted', rc.request_deleted, 'requestCleared', rc.request_cleared, 'requestWaiting', waiting) ELSE '{}' END
    FROM (SELECT count(*) AS waiting FROM retention.request_row AS q JOIN retention.request AS a USING (request_id)
        WHERE q.category = rc.category AND a.found_at IS NOT NULL) AS n
$$;

-- How far a request is here: {foundAt, categories: [{category, act, left, held, deferred, until}]}. `until`: when the last of the deferred
-- rows reaches its minimum; null while a clock has not started. null: the request is not known here.
CREATE OR REPLACE FUNCTION retention.request_progress(wanted uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    a retention.request;
    t retention.managed;
    e record;
    n record;
    found_categories jsonb := '[]';
BEGIN
    SELECT * INTO a FROM retention.request WHERE request_id = wanted;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    FOR e IN SELECT q.category, q.table_name, q.act FROM retention.request_row AS q WHERE q.request_id = wanted GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LOOP
        t := retention.managed_or_refuse(e.table_name);
        -- What is both is held: each row counts once, so that what is left besides could go.
        EXECUTE format('SELECT count(*) AS "left", count(*) FILTER (WHERE "is held") AS held,'
            ' count(*) FILTER (WHERE "is young" AND NOT "is held") AS deferred,'
            ' max(clock) FILTER (WHERE "is young" AND NOT "is held") AS clock'
            ' FROM (SELECT %s AS "is held", %s AS "is young", greatest(%s, r.%I) AS clock'
            ' FROM retention.request_row AS c JOIN public.%I AS r ON %s WHERE c.request_id = $1 AND c.table_name = $2 AND c.act = $3 OFFSET 0) AS n',
            retention.held_condition(e.table_name, 'r', '-infinity', 'infinity', few => true), retention.deferred_condition(t, 'r', now()),
            CASE WHEN t.clock IS NULL THEN 'NULL::timestamptz' ELSE format('r.%I', t.clock) END, t.born_at, e.table_name,
            retention.claimed_row_condition(e.table_name)) INTO n USING wanted, e.table_name, e.act;
        IF n."left" > 0 THEN
            found_categories := found_categories || jsonb_build_object('category', e.category, 'table', e.table_name, 'act', e.act, 'left', n."left",
                'held', n.held, 'deferred', n.deferred, 'until', CASE WHEN n.deferred > 0 AND isfinite(n.clock)
                    THEN retention.readable(retention.period_end(n.clock, retention.months_of(t.minimum), retention.days_of(t.minimum))) END);
        END IF;
    END LOOP;
    RETURN jsonb_build_object('foundAt', a.found_at, 'categories', found_categories);
END
$$;

-- Requests of objects of the cluster that are placed and not found yet: those whose object is gone are taken back. What a shell asks
-- for is its own. As many as one look takes back.
CREATE OR REPLACE FUNCTION retention.pending_requests() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(n.request_id), '[]') FROM (SELECT request_id FROM retention.request
        WHERE found_at IS NULL AND name <> 'Shell' ORDER BY placed_at, request_id LIMIT 50) AS n
$$;
