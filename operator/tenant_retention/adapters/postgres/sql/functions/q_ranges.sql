-- Numbers outside the range of their column are not stored (P6). What was there before the range stays, and goes in its time.

CREATE OR REPLACE VIEW retention.ranged_column AS
SELECT t.table_name, c ->> 'name' AS name, (c #>> '{range,minimum}')::bigint AS minimum, (c #>> '{range,maximum}')::bigint AS maximum
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'tables') AS d,
    LATERAL jsonb_array_elements(d -> 'columns') AS c, retention.managed AS t
WHERE t.table_name = d ->> 'name' AND t.active AND c #>> '{range,minimum}' IS NOT NULL;

-- NULL is no number; NaN is greater than every one.
CREATE OR REPLACE FUNCTION retention.outside_condition(r retention.ranged_column, alias text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s.%I < %s OR %1$s.%2$I > %4$s', alias, r.name, r.minimum, r.maximum)
$$;

CREATE OR REPLACE FUNCTION retention.refuse_outside() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'refused: % of % takes % to %', TG_ARGV[0], TG_TABLE_NAME, TG_ARGV[1], TG_ARGV[2]
        USING ERRCODE = 'RTG00', DETAIL = 'OutsideRange', HINT = 'Nothing of this statement was stored. Correct the number.';
END
$$;

-- Row triggers whose condition is asked before anything is called, no CHECK: a value from before the range must not keep its row
-- from being anonymized or closed. New months get them by themselves.
CREATE OR REPLACE FUNCTION retention.converge_ranges() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stale record;
    wanted record;
BEGIN
    FOR stale IN
        SELECT g.tgname, m.name AS table_name FROM retention.managed_table AS m
        JOIN pg_trigger AS g ON g.tgrelid = to_regclass(format('public.%I', m.name)) AND g.tgname LIKE 'retention\_range\_%'
        WHERE NOT EXISTS (SELECT FROM retention.ranged_column AS r, unnest(ARRAY['insert', 'update']) AS act
            WHERE r.table_name = m.name AND g.tgname = retention.range_trigger(r, act)) ORDER BY 2, 1
    LOOP
        EXECUTE format('DROP TRIGGER %I ON public.%I', stale.tgname, stale.table_name);
        RETURN NEXT format('range guard on %s taken away: the profile has another one or none', stale.table_name);
    END LOOP;
    FOR wanted IN
        SELECT r.table_name, r.name, r.minimum, r.maximum, act, retention.range_trigger(r, act) AS trigger_name,
            retention.outside_condition(r, 'NEW') AS outside
        FROM retention.ranged_column AS r, unnest(ARRAY['insert', 'update']) AS act
        WHERE EXISTS (SELECT FROM (SELECT to_regclass(format('public.%I', r.table_name))::oid AS oid
                UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(format('public.%I', r.table_name))) AS each
            WHERE NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = each.oid AND g.tgname = retention.range_trigger(r, act)
                AND g.tgenabled = 'O' AND g.tgfoid = 'retention.refuse_outside'::regproc)) ORDER BY 1, 2, 5
    LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON public.%I', wanted.trigger_name, wanted.table_name);
        IF wanted.act = 'insert' THEN
            EXECUTE format('CREATE TRIGGER %I AFTER INSERT ON public.%I FOR EACH ROW WHEN (%s)'
                ' EXECUTE FUNCTION retention.refuse_outside(%L, %L, %L)',
                wanted.trigger_name, wanted.table_name, wanted.outside, wanted.name, wanted.minimum, wanted.maximum);
        ELSE
            -- The owner's own functions generalize a number, and are not asked.
            EXECUTE format('CREATE TRIGGER %I AFTER UPDATE OF %I ON public.%I FOR EACH ROW'
                ' WHEN (current_user <> %L AND OLD.%2$I IS DISTINCT FROM NEW.%2$I AND (%5$s))'
                ' EXECUTE FUNCTION retention.refuse_outside(%6$L, %7$L, %8$L)',
                wanted.trigger_name, wanted.name, wanted.table_name, current_user, wanted.outside, wanted.name, wanted.minimum,
                wanted.maximum);
        END IF;
        RETURN NEXT format('%s of %s takes %s to %s', wanted.name, wanted.table_name, wanted.minimum, wanted.maximum);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION retention.range_trigger(r retention.ranged_column, act text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('retention_range_%s_%s', act, left(md5(format('%s %s %s', r.name, r.minimum, r.maximum)), 8))
$$;
