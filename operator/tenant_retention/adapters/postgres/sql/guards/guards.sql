-- The database itself refuses, whoever asks. Statement level with a transition table: a row trigger is 100 times slower.
-- Only the trigger function itself sees its transition table, so each runs the checks that the helpers put together.

-- The condition under which a row is younger than its category's minimum (M8); 'false' where there is none.
CREATE OR REPLACE FUNCTION retention.young_condition(wanted text, alias text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    t retention.managed := retention.managed_or_refuse(wanted);
    found text;
    asked text;
BEGIN
    IF t.minimum IS NULL THEN
        RETURN 'false';
    END IF;
    -- A request may go below it where the category has early deletion (M9).
    asked := CASE WHEN retention.early_by_request(t.category) THEN retention.asked_condition(wanted, alias) ELSE 'false' END;
    found := retention.still_found_condition(wanted, alias, 9223372036854775807, now());
    -- A clock that has not started is below every minimum (M9). What a scan found without consent has none while that is so (P10).
    RETURN '(' || retention.undue_condition(t, alias, retention.cutoff(now(), t.minimum))
        || CASE found WHEN 'false' THEN '' ELSE ' AND NOT ' || found END
        || CASE asked WHEN 'false' THEN '' ELSE ' AND NOT ' || asked END || ')';
END
$$;

CREATE OR REPLACE FUNCTION retention.refuse_young(wanted text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t retention.managed := retention.managed_or_refuse(wanted);
BEGIN
    RAISE EXCEPTION 'refused: rows of % are younger than the minimum % of category %', wanted, t.minimum, t.category
        USING ERRCODE = 'RTG00', DETAIL = 'YoungerThanMinimum',
        HINT = 'Nothing was deleted. Rows may go when their minimum has passed.';
END
$$;

CREATE OR REPLACE FUNCTION retention.refuse_held(wanted text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'refused: rows of % are under a legal hold', wanted
        USING ERRCODE = 'RTG00', DETAIL = 'Held', HINT = 'Nothing was deleted. Release the hold first.';
END
$$;

CREATE OR REPLACE FUNCTION retention.guard_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO'
SET enable_seqscan = off AS $$
DECLARE
    young text := retention.young_condition(TG_ARGV[0], 'r');
    birth text;
    first_birth timestamptz;
    last_birth timestamptz;
    found_one boolean;
BEGIN
    IF young <> 'false' THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM old_rows AS r WHERE %s)', young) INTO found_one;
        IF found_one THEN
            PERFORM retention.refuse_young(TG_ARGV[0]);
        END IF;
    END IF;
    -- A hold that is being placed right now either waits for this transaction or is seen by it.
    PERFORM retention.lock_holds();
    IF EXISTS (SELECT FROM retention.hold WHERE released_at IS NULL) THEN
        SELECT born_at INTO birth FROM retention.managed WHERE table_name = TG_ARGV[0];
        EXECUTE format('SELECT min(%I), max(%1$I) FROM old_rows', birth) INTO first_birth, last_birth;
        IF first_birth IS NOT NULL THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM old_rows AS r WHERE %s)',
                retention.held_condition(TG_ARGV[0], 'r', first_birth, last_birth, few => true)) INTO found_one;
            IF found_one THEN
                PERFORM retention.refuse_held(TG_ARGV[0]);
            END IF;
        END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION retention.guard_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$
DECLARE
    young text := retention.young_condition(TG_ARGV[0], 'r');
    held text;
    found_one boolean;
BEGIN
    IF young <> 'false' THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I AS r WHERE %s)', TG_TABLE_NAME, young) INTO found_one;
        IF found_one THEN
            PERFORM retention.refuse_young(TG_ARGV[0]);
        END IF;
    END IF;
    PERFORM retention.lock_holds();
    held := retention.held_condition(TG_ARGV[0], 'r', '-infinity', 'infinity');
    IF held <> 'false' THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM (SELECT * FROM public.%I AS r OFFSET 0) AS r WHERE %s)', TG_TABLE_NAME, held)
            INTO found_one;
        IF found_one THEN
            PERFORM retention.refuse_held(TG_ARGV[0]);
        END IF;
    END IF;
    RETURN NULL;
END
$$;

-- Which columns are written once, and why: retention.written_once.
CREATE OR REPLACE FUNCTION retention.refuse_clock_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'refused: % of % is written once', TG_ARGV[0], TG_TABLE_NAME
        USING ERRCODE = 'RTG00', DETAIL = 'WrittenOnce',
        HINT = 'Set it when it starts; it cannot be changed afterwards.';
END
$$;
