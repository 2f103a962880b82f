-- Columns that are written once: they may be set when their value comes, and never be changed or emptied afterwards.

-- Clocks and births: a young row could be moved into an expired month, a case be closed anew. Session and unit: content could
-- be cut loose from its record, a row from its hold. Key and version of an object: a young row could let go of its object, an
-- old one name it, and the run would delete it below its minimum. The kind that waits for approvals (M7): any row could be made
-- one. Doubt keeps the data: who moves an object writes a new row.
CREATE OR REPLACE FUNCTION retention.written_once(wanted text) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY(SELECT DISTINCT a.attname::text
        FROM retention.managed AS m JOIN retention.managed_table AS t ON t.name = m.table_name
        JOIN pg_attribute AS a ON a.attrelid = to_regclass(format('public.%I', m.table_name)) AND NOT a.attisdropped
        WHERE m.table_name = wanted AND a.attname = ANY (ARRAY[m.born_at, m.session_column, m.unit_column]
            || CASE WHEN m.has_objects THEN ARRAY[m.key_column, m.version_column] END || t.clock_columns
            || (SELECT q.only_column FROM retention.quarantine AS q WHERE q.category = m.category))
        ORDER BY 1)
$$;

-- Whether an update changes such a column. The empty text names no object and no version: it may still get its value. A row that
-- waits for an approval says so from its first moment on.
CREATE OR REPLACE FUNCTION retention.overwriting_condition(wanted text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT string_agg(format(CASE WHEN m.has_objects AND name IN (m.key_column, m.version_column)
        THEN '(nullif(OLD.%I::text, '''') IS NOT NULL AND OLD.%1$I IS DISTINCT FROM NEW.%1$I)'
        WHEN name = q.only_column THEN '(OLD.%I IS DISTINCT FROM NEW.%1$I AND (OLD.%1$I IS NOT NULL OR NEW.%1$I = %2$L))'
        ELSE '(OLD.%I IS NOT NULL AND OLD.%1$I IS DISTINCT FROM NEW.%1$I)' END, name, q.only_value), ' OR ' ORDER BY name)
    FROM retention.managed AS m LEFT JOIN retention.quarantine AS q USING (category), unnest(retention.written_once(wanted)) AS name
    WHERE m.table_name = wanted
$$;

CREATE OR REPLACE FUNCTION retention.converge_written_once() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t record;
    columns text[];
    wanted_trigger text;
    stale name;
BEGIN
    FOR t IN SELECT m.name, parent.oid AS relation FROM retention.managed_table AS m
        JOIN pg_class AS parent ON parent.relname = m.name AND parent.relnamespace = 'public'::regnamespace
    LOOP
        columns := retention.written_once(t.name);
        -- By the condition, so that another rule for the same columns makes another trigger.
        wanted_trigger := 'retention_clock_' || left(md5(columns::text || retention.overwriting_condition(t.name)), 8);
        IF EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = t.relation AND g.tgname = wanted_trigger AND g.tgenabled = 'O'
            AND g.tgfoid = 'retention.refuse_clock_change'::regproc)
            AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = t.relation AND NOT EXISTS (
                SELECT FROM pg_trigger AS g WHERE g.tgrelid = i.inhrelid AND g.tgname = wanted_trigger AND g.tgenabled = 'O'))
        THEN
            CONTINUE;
        END IF;
        FOR stale IN SELECT tgname FROM pg_trigger WHERE tgrelid = t.relation AND tgname LIKE 'retention\_clock\_%' LOOP
            EXECUTE format('DROP TRIGGER %I ON public.%I', stale, t.name);
        END LOOP;
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OF %s ON public.%I FOR EACH ROW WHEN (%s)'
            ' EXECUTE FUNCTION retention.refuse_clock_change(%L)', wanted_trigger,
            (SELECT string_agg(quote_ident(c), ', ') FROM unnest(columns) AS c), t.name,
            retention.overwriting_condition(t.name), array_to_string(columns, ' or '));
        RETURN NEXT format('clocks of %s are written once', t.name);
    END LOOP;
END
$$;
