-- Rows that keys of a cache are about: whether they are still there, so that a key outlives no row (T6).

-- The cache of a category of this database, as the rules say; refused where it has none.
CREATE OR REPLACE FUNCTION retention.cache_of(wanted_category text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    cache jsonb;
BEGIN
    SELECT c -> 'cache' INTO cache FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'categories') AS c
        WHERE c ->> 'database' = s.purpose AND c ->> 'name' = wanted_category;
    IF coalesce(jsonb_typeof(cache), 'null') <> 'object' THEN
        RAISE EXCEPTION 'category % is not cached', wanted_category USING ERRCODE = 'RTI00', DETAIL = 'CategoryUnknown';
    END IF;
    RETURN cache;
END
$$;

-- Which of these values of the category's key column a row has: {held, rows: [{place from 0, held, clock}, ...]}, with the earliest
-- clock of its rows, which says when a copy may tell of the person no more. `held` for all: a live hold selects the category as a
-- whole; one that names a session, a unit, a person or births only where there are no rows to ask. Else a hold on the calls of one week
-- would keep the keys of all calls that are gone (T6).
CREATE OR REPLACE FUNCTION retention.cached_rows(for_run uuid, wanted_category text, wanted text[]) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    cache jsonb := retention.cache_of(wanted_category);
    first_clock text := (SELECT format('min(greatest(r.%1$I, r.%2$I)) FILTER (WHERE isfinite(r.%1$I))', t.clock, t.born_at)
        FROM retention.managed AS t WHERE t.table_name = cache ->> 'table' AND t.clock IS NOT NULL);
    found_rows jsonb := '[]';
    all_held boolean;
BEGIN
    PERFORM retention.assert_run(for_run, NULL);
    all_held := EXISTS (SELECT FROM retention.hold AS h WHERE h.released_at IS NULL
        AND (h.category IS NULL OR h.category = wanted_category)
        AND (cache ->> 'table' IS NULL OR (h.session IS NULL AND h.unit IS NULL AND h.person IS NULL
            AND coalesce(h.born_from, h.born_to) IS NULL)));
    IF cache ->> 'table' IS NOT NULL THEN
        -- Above the partitioned table: as its filter the condition would be set up anew for each month.
        EXECUTE format('SELECT coalesce(jsonb_agg(jsonb_build_object(''place'', "Place", ''held'', "Held", ''clock'', "Clock")'
            ' ORDER BY "Place"), ''[]'') FROM (SELECT "Place", bool_or(%s) AS "Held", %s AS "Clock"'
            ' FROM (SELECT w."Place" - 1 AS "Place", r.*'
            ' FROM unnest($1) WITH ORDINALITY AS w("Wanted", "Place") JOIN public.%I AS r ON r.%I::text = w."Wanted" OFFSET 0)'
            ' AS r GROUP BY "Place") AS answered',
            retention.held_condition(cache ->> 'table', 'r', '-infinity', 'infinity', true), coalesce(first_clock, 'NULL::timestamptz'),
            cache ->> 'table', cache ->> 'keyColumn')
            INTO found_rows USING wanted;
    END IF;
    RETURN jsonb_build_object('held', all_held, 'rows', found_rows);
END
$$;

-- Makes the counts of one category, or of the keys of none (''), part of the run's evidence; the last word counts.
CREATE OR REPLACE FUNCTION retention.record_cache(for_run uuid, counts jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted_category text := coalesce(counts ->> 'category', '');
    told jsonb;
BEGIN
    -- Not assert_run: a failure is worth noting also where the rules have changed meanwhile.
    PERFORM retention.own_run(for_run);
    IF wanted_category <> '' THEN
        PERFORM retention.cache_of(wanted_category);
    END IF;
    -- Numbers and one word: nothing that a client sends becomes evidence as it is.
    SELECT jsonb_object_agg(name, (counts ->> name)::bigint) INTO told
        FROM unnest(ARRAY['keys', 'unlimited', 'limited', 'due', 'removed', 'held', 'unmapped', 'residue']) AS name;
    told := told || jsonb_build_object('category', wanted_category,
        'failure', left(regexp_replace(counts ->> 'failure', '[^A-Za-z0-9_.-]', '', 'g'), 64));
    UPDATE retention.run AS r SET caches = coalesce((SELECT jsonb_agg(e ORDER BY place)
            FROM jsonb_array_elements(r.caches) WITH ORDINALITY AS known(e, place)
            WHERE e ->> 'category' <> wanted_category), '[]') || told
        WHERE r.run_id = for_run;
END
$$;

-- What the looks through the cache came to, from the chain of evidence (T6, X4). A look without a failure that left no key
-- without its row is clean; `leftSince`: the first one after the last clean one. `left` is null where the last look failed.
CREATE OR REPLACE FUNCTION retention.cache_looks() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    WITH looks AS MATERIALIZED (
        SELECT e.sequence, (b.body ->> 'finishedAt')::timestamptz AS looked_at, c ->> 'category' AS category,
            (c ->> 'residue')::bigint AS keys_left, c ->> 'failure' AS failure
        FROM retention.evidence AS e, LATERAL (SELECT e.body::jsonb AS body) AS b, jsonb_array_elements(b.body -> 'caches') AS c
        WHERE c ->> 'category' <> ''),
    clean AS (SELECT category, max(sequence) AS sequence, max(looked_at) AS looked_at FROM looks WHERE keys_left = 0 GROUP BY category),
    latest AS (SELECT DISTINCT ON (category) * FROM looks ORDER BY category, sequence DESC)
    SELECT coalesce(jsonb_agg(jsonb_build_object('category', l.category, 'lookedAt', l.looked_at, 'left', l.keys_left,
        'failure', l.failure, 'cleanAt', clean.looked_at, 'leftSince', (SELECT min(n.looked_at) FROM looks AS n
            WHERE n.category = l.category AND n.sequence > coalesce(clean.sequence, 0))) ORDER BY l.category), '[]')
    FROM latest AS l LEFT JOIN clean USING (category)
$$;
