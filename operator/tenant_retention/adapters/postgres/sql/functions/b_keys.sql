-- Object keys that a store could take for another object's name ("a//b" is "a/b" at SeaweedFS): the comparison of two rows' keys
-- would not see that they name one object. They are refused when written; domain/object_keys.py has the same rule and text.

CREATE OR REPLACE FUNCTION retention.unplain_key_condition(object_key text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s ~ %L', object_key, '(\A|/)(\.{0,2}|\.uploads|[^/]*\.versions)(/|\Z)|\\')
$$;

-- The same for all spellings of one version id: MinIO reads a UUID in capitals, without dashes, as `urn:uuid:...` or in braces as
-- the one version, and the UUID of zeros as `null`: a young row's version must be found by an old row's spelling of it.
-- domain/object_keys.py has the same rule.
CREATE OR REPLACE FUNCTION retention.folded_version(version text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN folded = repeat('0', 32) THEN 'null' ELSE coalesce(folded, trimmed) END
    FROM btrim(version, E' \t\n\x0B\f\r') AS trimmed, lower(replace(substring(trimmed FROM
        '[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|\A[0-9A-Fa-f]{32}\Z'), '-', '')) AS folded
$$;

-- Whether two versions of one key are the same, or one means all of them, as an expression. A key may have thousands of rows with a
-- version each, so two of one usual length, which leaves no room for anything around a UUID, are looked at for capitals first.
CREATE OR REPLACE FUNCTION retention.same_version_condition(one text, other text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('coalesce(%1$s = %2$s OR (CASE WHEN octet_length(btrim(%1$s, %3$L)) IN (32, 36)'
        ' AND octet_length(btrim(%1$s, %3$L)) = octet_length(btrim(%2$s, %3$L))'
        ' THEN lower(btrim(%1$s, %3$L)) = lower(btrim(%2$s, %3$L)) ELSE true END'
        ' AND retention.folded_version(%1$s) = retention.folded_version(%2$s)), true)', one, other, E' \t\n\x0B\f\r')
$$;

-- No object has a longer name. One of some hundred megabytes would be more than an answer to the enforcer can hold, and the
-- category of that one row would never be worked on again. NOT VALID: years of rows are not read under the lock that adds it.
CREATE OR REPLACE FUNCTION retention.converge_short_names(t retention.managed, relation oid) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c text;
    wanted_constraint text;
BEGIN
    FOREACH c IN ARRAY ARRAY[t.key_column, t.version_column] LOOP
        wanted_constraint := retention.bounded_name('retention_short_' || c, '');
        IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = relation AND contype = 'c' AND conname = wanted_constraint) THEN
            EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT %I CHECK (octet_length(%I::text) <= 1024) NOT VALID',
                t.table_name, wanted_constraint, c);
            RETURN NEXT format('bound on the length of %s.%s added', t.table_name, c);
        END IF;
    END LOOP;
END
$$;

-- By the rule's text, so that another rule makes another constraint.
CREATE OR REPLACE FUNCTION retention.plain_key_constraint(t retention.managed) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT retention.bounded_name('retention_plain_' || t.key_column,
        '_' || left(md5(retention.unplain_key_condition(quote_ident(t.key_column))), 8))
$$;

-- The months of a table that the check is not known to hold for: they may have rows from before the rule.
CREATE OR REPLACE FUNCTION retention.unproven_months(t retention.managed) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.relname::text FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass(format('public.%I', t.table_name)) AND NOT EXISTS (
        SELECT FROM pg_constraint WHERE conrelid = c.oid AND contype = 'c' AND convalidated
            AND conname = retention.plain_key_constraint(t))
$$;

-- The check on a table's key column. Rows from before the rule stay: then it holds for what is written from now on, until they
-- are gone. The empty key names no object. Rows are never read under the lock that adds it, which keeps applications waiting, but
-- by the next looks, month by month and some seconds each: neither many rows nor one such key keeps all else from being put right.
CREATE OR REPLACE FUNCTION retention.converge_plain_keys(t retention.managed, relation oid) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted_constraint text := retention.plain_key_constraint(t);
    unplain text := format('(%1$I::text <> '''' AND %2$s)', t.key_column,
        retention.unplain_key_condition(format('%I::text', t.key_column)));
    until timestamptz := clock_timestamp() + interval '5 seconds';
    valid boolean;
    found_one boolean;
    stale name;
    month text;
BEGIN
    FOR stale IN SELECT conname FROM pg_constraint WHERE conrelid = relation AND contype = 'c'
        AND conname LIKE 'retention\_plain\_%' AND conname <> wanted_constraint
    LOOP
        EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT %I', t.table_name, stale);
    END LOOP;
    SELECT convalidated INTO valid FROM pg_constraint
        WHERE conrelid = relation AND contype = 'c' AND conname = wanted_constraint;
    IF valid THEN
        RETURN;
    ELSIF valid IS NULL THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', t.table_name) INTO found_one;
        EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT %I CHECK (NOT %s)%s', t.table_name, wanted_constraint, unplain,
            CASE WHEN found_one THEN ' NOT VALID' ELSE '' END);
        RETURN NEXT format('check on %s.%s added', t.table_name, t.key_column)
            || CASE WHEN found_one THEN ': the objects of older rows with keys that it refuses are never deleted' ELSE '' END;
        RETURN;
    END IF;
    -- In no order: months with such a key must not be the only ones that are ever looked at.
    FOR month IN SELECT m FROM retention.unproven_months(t) AS m ORDER BY random() LOOP
        EXIT WHEN clock_timestamp() > until;
        BEGIN
            EXECUTE format('LOCK TABLE public.%I IN SHARE UPDATE EXCLUSIVE MODE NOWAIT', month);
            EXECUTE format('SELECT EXISTS (SELECT FROM public.%I WHERE %s)', month, unplain) INTO found_one;
            IF NOT found_one THEN
                EXECUTE format('ALTER TABLE public.%I VALIDATE CONSTRAINT %I', month, wanted_constraint);
            END IF;
        EXCEPTION WHEN lock_not_available OR undefined_table THEN
            CONTINUE;  -- Somebody works on it, or took it away: the next look.
        END;
    END LOOP;
    IF NOT EXISTS (SELECT FROM retention.unproven_months(t)) THEN
        EXECUTE format('ALTER TABLE public.%I VALIDATE CONSTRAINT %I', t.table_name, wanted_constraint);
        RETURN NEXT format('check on %s.%s holds for every row', t.table_name, t.key_column);
    END IF;
END
$$;

-- Whether a staying row from before the rule may name an object by another spelling, as an expression; 'false' where the check
-- holds for every row. By the last name in the key, whatever the version: doubt keeps the object and the row that is due.
CREATE OR REPLACE FUNCTION retention.respelled_condition(other retention.managed, object_key text, staying text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce('(' || string_agg(format('coalesce(substring(%s FROM %L) IN (SELECT substring(other.%I::text FROM %2$L)'
        ' FROM public.%4$I AS other WHERE %5$s AND %6$s), false)', object_key, '([^/\\]*[^/\\.][^/\\]*)[/\\.]*\Z',
        other.key_column, month, retention.unplain_key_condition(format('other.%I::text', other.key_column)), staying), ' OR ')
        || ')', 'false')
    FROM retention.unproven_months(other) AS month
$$;
