-- Rows that come back from the archive for a while. They stay in the archive too: the next night after that while finds them
-- there as they were, and takes them out of the live database again.

-- Births of a category that do not move again before `until`.
CREATE OR REPLACE FUNCTION retention.pause_archiving(
    wanted_category text, wanted_from timestamptz, wanted_to timestamptz, wanted_until timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM retention.archive_rule WHERE category = wanted_category) THEN
        RAISE EXCEPTION 'nothing of category % is archived from here', wanted_category USING ERRCODE = 'RTI00', DETAIL = 'NotAnArchive';
    END IF;
    DELETE FROM retention.archive_pause WHERE until < now();
    INSERT INTO retention.archive_pause (category, born_from, born_to, until)
        VALUES (wanted_category, wanted_from, wanted_to, wanted_until);
END
$$;

-- Takes rows back, those of a pause that are past archiveAfter and not past their keep; one whose key is here stays as it is.
-- Returns how many are here now with these values.
CREATE OR REPLACE FUNCTION retention.bring_back(wanted_category text, wanted_table text, told text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
    t retention.managed := retention.managed_of_category(wanted_table, wanted_category);
    youngest timestamptz := (SELECT retention.cutoff(now(), rule.after) FROM retention.archive_rule AS rule WHERE rule.category = wanted_category);
    gone timestamptz := (SELECT (retention.cutoffs_of(c, s.margin_seconds, now())).remove
        FROM retention.category AS c, retention.settings AS s WHERE c.name = wanted_category);
    taken text[];
BEGIN
    PERFORM FROM retention.settings FOR SHARE;
    PERFORM retention.refuse_while_restoring();
    SELECT array_agg(row) INTO taken FROM unnest(told) AS row, LATERAL (SELECT (row::jsonb ->> t.born_at)::timestamptz AS born) AS b
        WHERE b.born <= youngest AND (gone IS NULL OR b.born > gone) AND EXISTS (SELECT FROM retention.archive_pause AS p
            WHERE p.category = wanted_category AND p.until > now() AND b.born >= p.born_from AND b.born < p.born_to);
    IF taken IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM retention.insert_told(t, taken);
    RETURN jsonb_array_length(retention.told_here(t, taken));
END
$$;
