-- Files in the archive bucket, as counting and deciding see them: rows like others, that go together.

-- By what an index entry remembers a session or unit: enough to find it, too little to read it.
CREATE OR REPLACE FUNCTION retention.name_hash(name text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT ('x' || left(encode(sha256(convert_to(name, 'UTF8')), 'hex'), 8))::bit(32)::integer
$$;

-- Whether a hold keeps a file: one held row keeps them all. Where the entry cannot tell, it is answered for keeping (X3). Of a table
-- without units a unit's hold keeps every file; and so it does where rows have sessions, of which another row, in whatever table or
-- file, may be the unit's: a row is held through that one (retention.held_through_condition). For the same reason a hold on births
-- keeps the files of the reach in which a session's rows lie, and one on another category those near which it has rows. Whom a
-- file's rows are about is not known here at all: a hold on a person keeps every file that it could be about.
CREATE OR REPLACE FUNCTION retention.file_is_held(f retention.archive_file) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM retention.hold AS h JOIN retention.managed AS t ON t.table_name = f.table_name
        CROSS JOIN LATERAL (SELECT CASE WHEN t.session_column IS NULL THEN interval '0' ELSE retention.session_reach() END AS reach) AS around
        WHERE h.released_at IS NULL
            AND (h.category IS NULL OR h.category = t.category OR EXISTS (SELECT FROM retention.managed AS m
                WHERE m.family = t.family AND m.category = h.category AND (h.session IS NOT NULL OR t.session_column IS NULL
                    OR f.sessions <> '{}' AND EXISTS (SELECT FROM retention.partition_or_detached AS p WHERE p.table_name = m.table_name
                        AND p.born_from <= f.born_to + around.reach AND p.born_to > f.born_from - around.reach
                        AND pg_relation_size(p.partition_oid) > 0))))
            AND (h.session IS NULL OR t.session_column IS NULL OR f.sessions @> ARRAY[retention.name_hash(h.session)])
            AND (h.unit IS NULL OR t.unit_column IS NULL OR f.sessions <> '{}' OR f.units @> ARRAY[retention.name_hash(h.unit)])
            AND (h.born_from IS NULL OR f.born_to >= h.born_from - around.reach)
            AND (h.born_to IS NULL OR f.born_from < h.born_to + around.reach))
$$;

-- One table's files at these cut-offs, as retention.counts_of_table tells of months. A file is due with its newest row, and
-- overdue with its oldest: debt is told rather a day early than late.
CREATE OR REPLACE FUNCTION retention.counts_of_files(
    t retention.managed, remove timestamptz, previous timestamptz, overdue_at timestamptz)
RETURNS TABLE (table_name text, partition text, born_from timestamptz, born_to timestamptz, total bigint, due bigint,
    previously_due bigint, held bigint, overdue bigint, unusable bigint, oldest timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.table_name, NULL::text, min(f.born_from), max(f.born_to), sum(f.rows)::bigint,
        coalesce(sum(f.rows) FILTER (WHERE f.born_to <= remove AND NOT f.is_held), 0)::bigint,
        coalesce(sum(f.rows) FILTER (WHERE f.born_to <= previous AND NOT f.is_held), 0)::bigint,
        coalesce(sum(f.rows) FILTER (WHERE f.born_to <= remove AND f.is_held), 0)::bigint,
        coalesce(sum(f.rows) FILTER (WHERE f.born_from <= overdue_at AND NOT f.is_held), 0)::bigint,
        0::bigint, min(f.born_from)
    FROM (SELECT x.rows, x.born_from, x.born_to, retention.file_is_held(x) AS is_held FROM retention.archive_file AS x
        WHERE x.table_name = t.table_name AND x.rows > 0) AS f
    HAVING count(*) > 0
$$;

-- Rows in files that were written while nothing took the person out of them, and that should have lost it by now: nothing can
-- be changed in a file, so that they are told until somebody brings them back or they are due to be deleted (X1, X4).
CREATE OR REPLACE FUNCTION retention.identified_in_files(
    wanted text, remove timestamptz, through timestamptz, OUT due bigint, OUT held bigint, OUT oldest timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT coalesce(sum(f.rows) FILTER (WHERE NOT f.is_held), 0), coalesce(sum(f.rows) FILTER (WHERE f.is_held), 0), min(f.born_from)
        INTO due, held, oldest
        FROM (SELECT x.rows, x.born_from, retention.file_is_held(x) AS is_held FROM retention.archive_file AS x
            JOIN retention.managed AS t ON t.table_name = x.table_name AND t.active
            WHERE x.category = wanted AND x.identified AND x.rows > 0 AND x.born_from <= through
                AND NOT coalesce(x.born_to <= remove, false)
                AND retention.identifying_condition(x.table_name, 'r') <> 'false') AS f;
END
$$;
