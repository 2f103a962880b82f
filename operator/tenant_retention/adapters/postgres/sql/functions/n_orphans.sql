-- Objects without a row and rows without their object: a page of each a night, counted, never deleted. No run is open then:
-- its evidence is written, so that nothing here can fail it.

-- The buckets (UnnamedObjects, UnfinishedUploads) and categories (MissingObjects) of this database. The archive bucket is any
-- database's: no definition says whether the policy has one.
CREATE OR REPLACE VIEW retention.orphan_subject AS
SELECT DISTINCT s.kind, s.name
FROM retention.settings AS x, jsonb_array_elements(x.definition -> 'categories') AS c,
    LATERAL (VALUES ('UnnamedObjects', c #>> '{objects,bucket}'), ('UnfinishedUploads', c #>> '{objects,bucket}'),
        ('MissingObjects', c ->> 'name')) AS s(kind, name)
WHERE c ->> 'database' = x.purpose AND c #>> '{objects,table}' IS NOT NULL
UNION SELECT kind, 'Archive' FROM unnest(ARRAY['UnnamedObjects', 'UnfinishedUploads']) AS kind;

-- Where the pass goes on; null: at the beginning.
CREATE OR REPLACE FUNCTION retention.orphan_place(wanted_kind text, wanted_name text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT goes_on_at FROM retention.orphan_pass WHERE kind = wanted_kind AND name = wanted_name
$$;

-- Which of these objects ([key, version or null, exactly], ...) no row names, by position from 0. In doubt about the version a
-- row names it, unless it must do so exactly. Rows of tables that left the profile still name their objects.
CREATE OR REPLACE FUNCTION retention.unnamed_objects(objects jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    t retention.managed;
    named bigint[];
    unnamed bigint[] := ARRAY(SELECT generate_series(0, jsonb_array_length(objects) - 1));
BEGIN
    FOR t IN SELECT * FROM retention.managed WHERE has_objects LOOP
        -- Joined from the few objects to one reading of the table: nobody promises an index on its key.
        -- A key that a store could take for the object's counts as its own.
        EXECUTE format('WITH o AS (SELECT place - 1 AS place, object ->> 0 AS key, object ->> 1 AS version,'
            ' coalesce((object ->> 2)::boolean, false) AS exactly FROM jsonb_array_elements($1) WITH ORDINALITY AS listed(object, place))'
            ' SELECT array_agg(place) FROM (SELECT o.place FROM o JOIN public.%I AS r ON r.%I::text = o.key'
            ' AND (o.version IS NULL OR coalesce(nullif(r.%I::text, ''''), CASE WHEN NOT o.exactly THEN o.version END) = o.version)'
            ' UNION SELECT o.place FROM o WHERE %s) AS found',
            t.table_name, t.key_column, t.version_column, retention.respelled_condition(t, 'o.key', 'true')) INTO named USING objects;
        unnamed := ARRAY(SELECT unnest(unnamed) EXCEPT SELECT unnest(named));
    END LOOP;
    RETURN coalesce((SELECT jsonb_agg(place ORDER BY place) FROM unnest(unnamed) AS place), '[]');
END
$$;

-- The next rows of a category that name an object, by birth, key and version, from `begins_at` (those three of the last row
-- before) on, born before `born_before`. Returns {rows: [{key, version}, ...], goesOnAt}, the latter null at the end.
CREATE OR REPLACE FUNCTION retention.rows_naming_objects(
    wanted_category text, begins_at jsonb, born_before timestamptz, batch integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed;
    page jsonb;
BEGIN
    SELECT * INTO t FROM retention.managed WHERE category = wanted_category AND has_objects AND active;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('rows', '[]'::jsonb, 'goesOnAt', NULL);
    END IF;
    EXECUTE format('WITH named AS ('
        ' SELECT r.%1$I AS born_at, r.%2$I::text COLLATE "C" AS key, coalesce(r.%3$I::text, '''') COLLATE "C" AS version'
        ' FROM public.%4$I AS r WHERE nullif(r.%2$I::text, '''') IS NOT NULL AND r.%1$I < $1 AND ($2 IS NULL OR r.%1$I >= $2)),'
        ' page AS (SELECT DISTINCT * FROM named WHERE $2 IS NULL OR (born_at, key, version) > ($2, $3, $4)'
        ' ORDER BY born_at, key, version LIMIT $5)'
        ' SELECT jsonb_build_object('
        '''rows'', coalesce(jsonb_agg(jsonb_build_object(''key'', key, ''version'', nullif(version, '''')) ORDER BY born_at, key, version), ''[]''),'
        ' ''goesOnAt'', CASE WHEN count(*) = $5 THEN (SELECT jsonb_build_array(born_at::text, key, version) FROM page'
        ' ORDER BY born_at DESC, key DESC, version DESC LIMIT 1) END) FROM page',
        t.born_at, t.key_column, t.version_column, t.table_name) INTO page
        USING born_before, (begins_at ->> 0)::timestamptz, begins_at ->> 1, begins_at ->> 2, greatest(batch, 1);
    RETURN page;
END
$$;

-- Adds a page to its pass. Told twice it counts once: then the pass does not stand any more where the page began.
DROP FUNCTION IF EXISTS retention.record_orphans(text, text, jsonb, jsonb, bigint, bigint);
CREATE OR REPLACE FUNCTION retention.record_orphans(
    page_kind text, page_name text, begins_at jsonb, next_place jsonb, page_looked_at bigint, page_found bigint,
    page_overdue bigint DEFAULT 0, page_oldest timestamptz DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p retention.orphan_pass;
BEGIN
    IF NOT EXISTS (SELECT FROM retention.orphan_subject WHERE kind = page_kind AND name = page_name) THEN
        RAISE EXCEPTION 'nothing here is called %', page_name USING ERRCODE = 'RTI00', DETAIL = 'CategoryUnknown';
    END IF;
    INSERT INTO retention.orphan_pass (kind, name) VALUES (page_kind, page_name) ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT p FROM retention.orphan_pass WHERE kind = page_kind AND name = page_name FOR UPDATE;
    IF p.goes_on_at IS DISTINCT FROM begins_at THEN
        RETURN;
    END IF;
    p.looked_at := p.looked_at + page_looked_at;
    p.found := p.found + page_found;
    p.overdue := p.overdue + page_overdue;
    p.oldest_overdue := least(p.oldest_overdue, page_oldest);
    IF next_place IS NOT NULL THEN
        UPDATE retention.orphan_pass SET goes_on_at = next_place, looked_at = p.looked_at, found = p.found, overdue = p.overdue,
            oldest_overdue = p.oldest_overdue WHERE kind = page_kind AND name = page_name;
    ELSE
        UPDATE retention.orphan_pass SET goes_on_at = NULL, looked_at = 0, found = 0, overdue = 0, oldest_overdue = NULL,
            last_looked_at = p.looked_at, last_found = p.found, last_overdue = p.overdue,
            last_oldest_overdue = p.oldest_overdue, last_finished_at = now() WHERE kind = page_kind AND name = page_name;
    END IF;
END
$$;

-- For the observer: counts, no keys. The last whole pass, or the one under way if that found more already.
CREATE OR REPLACE FUNCTION retention.orphan_counts() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('kind', p.kind, 'name', p.name,
        'found', CASE WHEN p.last_found >= p.found THEN p.last_found ELSE p.found END,
        'lookedAt', CASE WHEN p.last_found >= p.found THEN p.last_looked_at ELSE p.looked_at END,
        'overdue', greatest(p.last_overdue, p.overdue),
        'oldestOverdue', CASE WHEN p.last_overdue >= p.overdue THEN p.last_oldest_overdue ELSE p.oldest_overdue END,
        'finishedAt', p.last_finished_at) ORDER BY p.kind, p.name), '[]')
    FROM retention.orphan_pass AS p JOIN retention.orphan_subject AS s USING (kind, name)
$$;
