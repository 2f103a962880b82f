-- What LegalHolds place and release. The database belongs to one policy, so a LegalHold's name is unique in it. Run by the owner
-- alone: nobody is granted these.

-- Places what is not in force yet, and never takes anything away: a LegalHold of the same name that comes after its object was
-- deleted adds to what is there. A deletion under way is waited for, the next one waits for this transaction and sees it
-- (retention.lock_holds); where all is in force nobody waits. Tells since when it is, how many were added, and which of its
-- categories this database never had: a word written wrong would hold nothing. `persons`: digests of one person under `salt`.
-- What is added becomes part of the evidence: who asked, by the LegalHold's name and UID, and how much is selected, not whom.
DROP FUNCTION IF EXISTS retention.place_hold(text, text, text[], text[], text[], timestamptz, timestamptz);
CREATE OR REPLACE FUNCTION retention.place_hold(wanted_name text, wanted_uid text, wanted_reference text, sessions text[],
    categories text[], units text[], wanted_from timestamptz, wanted_to timestamptz, wanted_salt bytea, persons bytea[])
RETURNS jsonb LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    added bigint := 0;
BEGIN
    IF EXISTS (SELECT FROM retention.missing_holds(
        wanted_name, sessions, categories, units, wanted_from, wanted_to, wanted_salt, persons))
    THEN
        LOCK TABLE retention.hold IN SHARE ROW EXCLUSIVE MODE;
        -- Not now(): what was deleted while this waited was not held yet.
        INSERT INTO retention.hold (name, reference, placed_at, session, category, unit, born_from, born_to, salt, person)
            SELECT wanted_name, wanted_reference, clock_timestamp(), m.*
            FROM retention.missing_holds(wanted_name, sessions, categories, units, wanted_from, wanted_to, wanted_salt, persons) AS m;
        GET DIAGNOSTICS added = ROW_COUNT;
    END IF;
    IF added > 0 THEN
        PERFORM retention.append_act(jsonb_build_object('kind', 'HoldPlaced', 'hold', wanted_name, 'uid', wanted_uid, 'combinations', added,
            'select', jsonb_build_object('sessions', cardinality(sessions), 'categories', place_hold.categories,
                'units', cardinality(units), 'bornFrom', wanted_from, 'bornTo', wanted_to, 'person', wanted_salt IS NOT NULL)));
    END IF;
    RETURN jsonb_build_object('added', added,
        'since', (SELECT min(placed_at) FROM retention.hold WHERE name = wanted_name AND released_at IS NULL),
        'unknown', (SELECT coalesce(jsonb_agg(w ORDER BY w), '[]') FROM unnest(place_hold.categories) AS w
            WHERE NOT EXISTS (SELECT FROM retention.category AS c WHERE c.name = w)));
END
$$;

-- Every combination that is wanted and not in force. An empty list selects all, as a selector that is NULL does.
DROP FUNCTION IF EXISTS retention.missing_holds(text, text[], text[], text[], timestamptz, timestamptz);
CREATE OR REPLACE FUNCTION retention.missing_holds(wanted_name text, sessions text[], categories text[], units text[],
    wanted_from timestamptz, wanted_to timestamptz, wanted_salt bytea, persons bytea[])
RETURNS TABLE (session text, category text, unit text, born_from timestamptz, born_to timestamptz, salt bytea, person bytea)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.session, c.category, u.unit, wanted_from, wanted_to, wanted_salt, p.person
    FROM unnest(coalesce(nullif(sessions, '{}'), ARRAY[NULL])) AS s(session)
    CROSS JOIN unnest(coalesce(nullif(categories, '{}'), ARRAY[NULL])) AS c(category)
    CROSS JOIN unnest(coalesce(nullif(units, '{}'), ARRAY[NULL])) AS u(unit)
    CROSS JOIN unnest(coalesce(nullif(persons, '{}'), ARRAY[NULL]::bytea[])) AS p(person)
    EXCEPT
    SELECT h.session, h.category, h.unit, h.born_from, h.born_to, h.salt, h.person FROM retention.hold AS h
    WHERE h.name = wanted_name AND h.released_at IS NULL
$$;

-- The salt for a person's hold of this name: its own, else the one of the others here, so that each column of a row is digested once
-- however many there are; else a new one.
CREATE OR REPLACE FUNCTION retention.salt_of_hold(wanted_name text) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT h.salt FROM retention.hold AS h WHERE h.released_at IS NULL AND h.salt IS NOT NULL
        ORDER BY h.name IS NOT DISTINCT FROM wanted_name DESC, h.placed_at, h.hold_id LIMIT 1),
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
$$;

-- Releases all that is in force under the name, also what an earlier object of that name placed; returns how many that were. Whom
-- it was about is not kept. The evidence has who asked, and `held`: the rows by category that it kept, as they were last counted.
DROP FUNCTION IF EXISTS retention.release_hold(text);
CREATE OR REPLACE FUNCTION retention.release_hold(wanted_name text, wanted_uid text, held jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    released bigint := 0;
BEGIN
    IF EXISTS (SELECT FROM retention.hold WHERE name = wanted_name AND released_at IS NULL) THEN
        UPDATE retention.hold SET released_at = clock_timestamp(), salt = NULL, person = NULL
            WHERE name = wanted_name AND released_at IS NULL;
        GET DIAGNOSTICS released = ROW_COUNT;
    END IF;
    -- Somebody else may have released it while this waited.
    IF released > 0 THEN
        PERFORM retention.append_act(jsonb_build_object(
            'kind', 'HoldReleased', 'hold', wanted_name, 'uid', wanted_uid, 'combinations', released, 'held', held));
    END IF;
    RETURN released;
END
$$;

-- Rows by category that the hold of this name selects, or keeps through their session; categories without any are left out. Rows
-- in files of the archive and log files are not among them: what keeps those is asked file by file.
CREATE OR REPLACE FUNCTION retention.count_hold(wanted_name text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    p record;
    held text;
    found bigint;
    counts jsonb := '{}';
BEGIN
    FOR p IN SELECT m.category, x.* FROM retention.managed AS m JOIN retention.partition_or_detached AS x USING (table_name)
        WHERE pg_relation_size(x.partition_oid) > 0
    LOOP
        held := retention.held_condition(p.table_name, 'r', p.born_from, p.born_to, of_name => wanted_name);
        CONTINUE WHEN held = 'false';
        EXECUTE format('SELECT count(*) FROM (SELECT %s AS "is held" FROM public.%I AS r OFFSET 0) AS r WHERE r."is held"',
            held, p.partition) INTO found;
        IF found > 0 THEN
            counts := jsonb_set(counts, ARRAY[p.category], to_jsonb(coalesce((counts ->> p.category)::bigint, 0) + found));
        END IF;
    END LOOP;
    RETURN counts;
END
$$;

-- What is in force, by name; what was placed by hand has none and comes first. As many as a status tells of.
CREATE OR REPLACE FUNCTION retention.live_holds() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('name', h.name, 'since', h.since, 'reference', h.reference)), '[]')
    FROM (SELECT name, min(placed_at) AS since, min(reference) AS reference FROM retention.hold
        WHERE released_at IS NULL GROUP BY name ORDER BY name NULLS FIRST LIMIT 50) AS h
$$;
