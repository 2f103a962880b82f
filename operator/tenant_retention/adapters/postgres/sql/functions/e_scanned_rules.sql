-- Rules by which a scan finds rows that may not stay, and since when this database knows them: what was born before came in under
-- other rules. Media of then is in use and counts as approved (M7); content of then goes only after the guard asked (P10).

-- The categories with a quarantine, by today's rules.
CREATE OR REPLACE VIEW retention.quarantine AS
SELECT c ->> 'name' AS category, c #>> '{quarantine,approvedColumn}' AS approved_column, c #>> '{quarantine,keep}' AS keep,
    c #>> '{quarantine,onlyColumn}' AS only_column, c #>> '{quarantine,onlyValue}' AS only_value
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'categories') AS c
WHERE c ->> 'database' = s.purpose AND c ->> 'quarantine' IS NOT NULL;

-- What decides which rows a rule is about; another length of a quarantine is no other rule.
CREATE OR REPLACE VIEW retention.wanted_scanned_rule AS
SELECT c ->> 'name' AS category, kind, md5(decides::text) AS rule,
    ARRAY(SELECT jsonb_array_elements_text(c -> 'tables')) AS tables
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'categories') AS c,
    LATERAL (VALUES ('Consent', c -> 'consent'), ('Quarantine', c #- '{quarantine,keep}' -> 'quarantine')) AS kinds(kind, decides)
WHERE c ->> 'database' = s.purpose AND decides <> 'null';

CREATE OR REPLACE FUNCTION retention.scanned_rules_are_known() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NOT EXISTS (SELECT category, kind, rule FROM retention.wanted_scanned_rule EXCEPT SELECT category, kind, rule FROM retention.scanned_rule)
        AND NOT EXISTS (SELECT category, kind, rule FROM retention.scanned_rule EXCEPT SELECT category, kind, rule FROM retention.wanted_scanned_rule)
$$;

-- Whether one of these tables is there and has a row.
CREATE OR REPLACE FUNCTION retention.any_has_rows(tables text[]) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
    has_one boolean;
BEGIN
    FOREACH name IN ARRAY tables LOOP
        IF to_regclass(format('public.%I', name)) IS NOT NULL THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', name) INTO has_one;
            IF has_one THEN
                RETURN true;
            END IF;
        END IF;
    END LOOP;
    RETURN false;
END
$$;

-- Before the tables are made: a rule that comes with its tables, or before their first row, is older than all their rows.
CREATE OR REPLACE FUNCTION retention.know_scanned_rules() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM retention.scanned_rule AS k WHERE NOT EXISTS (
        SELECT FROM retention.wanted_scanned_rule AS w WHERE w.category = k.category AND w.kind = k.kind);
    INSERT INTO retention.scanned_rule AS k (category, kind, rule, since)
    SELECT w.category, w.kind, w.rule, CASE WHEN retention.any_has_rows(w.tables) THEN now() ELSE '-infinity' END
    FROM retention.wanted_scanned_rule AS w
    ON CONFLICT (category, kind) DO UPDATE SET rule = excluded.rule, since = excluded.since WHERE k.rule <> excluded.rule;
    -- What nobody looks for any more is asked about no more, and its keys are kept no longer (P3).
    DELETE FROM retention.finding AS f WHERE NOT EXISTS (
        SELECT FROM retention.wanted_scanned_rule AS w WHERE w.category = f.category AND w.kind = f.kind AND f.table_name = ANY (w.tables))
        AND NOT (f.kind = 'Digits' AND EXISTS (SELECT FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'tables') AS t,
            LATERAL jsonb_array_elements(t -> 'columns') AS c WHERE t ->> 'name' = f.table_name AND c ->> 'visibleDigits' IS NOT NULL))
$$;

-- Whether earlier runs found content that was there before its rule on consent was.
CREATE OR REPLACE FUNCTION retention.found_by_new_rule(wanted text, before_run bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM retention.finding AS f JOIN retention.scanned_rule AS k ON k.category = f.category AND k.kind = f.kind
        WHERE f.category = wanted AND f.kind = 'Consent' AND f.found_by < before_run AND f.born_at <= k.since)
$$;
