-- What the observer sees of anonymization by age.

-- For the observer: rows that the next run anonymizes, and when the oldest of those that still tell of a person is due.
CREATE OR REPLACE FUNCTION retention.observe_anonymizing(c retention.category, remove timestamptz) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    after text := (SELECT rule.after FROM retention.anonymize_rule AS rule WHERE rule.category = c.name);
    through timestamptz := least(retention.cutoff(now(), after), retention.cutoff(now(), c.minimum));
    counted record;
    oldest timestamptz;
    filed record;
BEGIN
    IF after IS NULL THEN
        RETURN '{}';
    END IF;
    SELECT * INTO filed FROM retention.identified_in_files(c.name, remove, through);
    SELECT coalesce(sum(n.due), 0) AS due, coalesce(sum(n.held), 0) AS held INTO counted
        FROM retention.anonymizable_counts(c.name, remove, through, NULL) AS n;
    oldest := least(retention.oldest_identifying(c.name, remove), filed.oldest);
    RETURN jsonb_build_object('anonymizeDue', counted.due + filed.due, 'anonymizeHeld', counted.held + filed.held, 'nextAnonymization',
        retention.period_end(oldest, retention.months_of(after), retention.days_of(after)));
EXCEPTION WHEN data_exception THEN
    -- The other categories are seen all the same; the night's run tells the failure.
    RETURN '{}';
END
$$;

-- The oldest clock of a row that still tells of a person and is not to be deleted first.
CREATE OR REPLACE FUNCTION retention.oldest_identifying(wanted_category text, remove timestamptz) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed;
    p retention.partition;
    oldest timestamptz;
    oldest_of_month timestamptz;
BEGIN
    FOR t IN SELECT * FROM retention.managed AS m WHERE m.category = wanted_category AND m.active AND m.clock IS NOT NULL LOOP
        FOR p IN SELECT * FROM retention.partition AS x WHERE x.table_name = t.table_name ORDER BY x.born_from LOOP
            EXIT WHEN oldest < p.born_from;
            IF pg_relation_size(p.partition_oid) = 0 OR retention.is_anonymized(p.partition, retention.methods_digest(t.table_name)) THEN
                CONTINUE;
            END IF;
            EXECUTE format('SELECT greatest(r.%1$I, r.%2$I) FROM public.%3$I AS r WHERE %4$s AND NOT (%5$s) AND r.%1$I IS NOT NULL'
                ' ORDER BY r.%1$I LIMIT 1', t.clock, t.born_at, p.partition, retention.identifying_condition(t.table_name, 'r'),
                retention.due_condition(t, 'r', remove)) INTO oldest_of_month;
            oldest := least(oldest, oldest_of_month);
        END LOOP;
    END LOOP;
    RETURN retention.readable(oldest);
END
$$;
