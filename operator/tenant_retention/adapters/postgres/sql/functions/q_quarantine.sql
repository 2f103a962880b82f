-- Media that waits for the customer's approval is not yet what its category keeps (M7): it has no minimum and no clock of its own,
-- and is removed when its time is over without one. What is approved counts as its category says, from then on for ever.

-- The condition under which a row waits for its approval; 'false' where none is asked for.
CREATE OR REPLACE FUNCTION retention.quarantined_condition(wanted text, alias text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT coalesce((SELECT format('(%1$I.%2$I IS NULL%3$s%4$s)', alias, q.approved_column,
            CASE WHEN q.only_column IS NULL THEN '' ELSE format(' AND (%I.%I = %L) IS TRUE', alias, q.only_column, q.only_value) END,
            -- What nobody knows the rule's age of is in use.
            CASE WHEN k.since = '-infinity' THEN '' ELSE format(' AND %I.%I > %L::timestamptz', alias, t.born_at,
                coalesce(k.since, 'infinity')) END)
        FROM retention.quarantine AS q JOIN retention.managed AS t USING (category)
        LEFT JOIN retention.scanned_rule AS k ON k.category = q.category AND k.kind = 'Quarantine'
        WHERE t.table_name = wanted), 'false')
$$;

DROP FUNCTION IF EXISTS retention.unapproved_condition(text, text);
-- The condition under which its time is over at that instant, a run's.
CREATE OR REPLACE FUNCTION retention.unapproved_condition(wanted text, alias text, at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
    SELECT coalesce((SELECT format('(%s AND %I.%I <= %L::timestamptz)', retention.quarantined_condition(wanted, alias), alias,
            t.born_at, retention.cutoff(at, q.keep))
        FROM retention.quarantine AS q JOIN retention.managed AS t USING (category) WHERE t.table_name = wanted), 'false')
$$;
