-- What becomes of a column when its row is anonymized, and how to see that it has been. Every method yields values that it
-- leaves as they are and that are told from others by their form: so the rows themselves say what is left to do, after a kill,
-- for rows that come in late with an old birth, and for columns that get their method later. Nothing has to be remembered.

-- The columns with a method, of the tables of this database.
CREATE OR REPLACE VIEW retention.anonymized_column AS
SELECT t ->> 'name' AS table_name, col ->> 'name' AS name, ordinality AS position, col ->> 'type' AS type, col ->> 'role' AS role,
    col #>> '{anonymize,method}' AS method, col #>> '{anonymize,value}' AS value
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'tables') AS t,
    jsonb_array_elements(t -> 'columns') WITH ORDINALITY AS columns(col, ordinality)
WHERE jsonb_typeof(col -> 'anonymize') = 'object' AND t ->> 'name' IN (SELECT name FROM retention.wanted_tables);

-- The categories whose rows are anonymized at an age.
CREATE OR REPLACE VIEW retention.anonymize_rule AS
SELECT c ->> 'name' AS category, c ->> 'anonymizeAfter' AS after
FROM retention.settings AS s, jsonb_array_elements(s.definition -> 'categories') AS c
WHERE retention.lies_in(c, s.purpose) AND c ->> 'state' = 'Enforced' AND c ->> 'anonymizeAfter' IS NOT NULL;

-- The method that a column gets where the catalog says that its own would fail: NULL is not allowed, or two rows may have the
-- same value afterwards although an index, here or on one month, forbids it. 'Refused' where there is none.
CREATE OR REPLACE FUNCTION retention.safe_method(c retention.anonymized_column) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH relations AS (
        SELECT to_regclass(format('public.%I', c.table_name))::oid AS oid
        UNION ALL
        SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(format('public.%I', c.table_name))
    ), facts AS (
        SELECT coalesce(bool_or(a.attnotnull), false) AS required,
            coalesce(bool_or(i.indexrelid IS NOT NULL), false) AS is_unique,
            coalesce(bool_or(i.indnullsnotdistinct), false) AS one_null
        FROM relations AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attname = c.name
        LEFT JOIN pg_index AS i ON i.indrelid = r.oid AND i.indisunique AND a.attnum = ANY (i.indkey)
    )
    SELECT CASE
        WHEN c.method = 'Hash' AND c.type = 'Text' THEN CASE WHEN is_unique THEN 'HashAsWritten' ELSE 'Hash' END
        WHEN is_unique AND NOT required AND NOT one_null THEN 'SetNull'
        WHEN is_unique THEN CASE WHEN c.type = 'Text' THEN 'HashAsWritten' ELSE 'Refused' END
        WHEN c.method = 'SetNull' THEN CASE WHEN NOT required THEN 'SetNull' WHEN c.type = 'Text' THEN 'Constant' ELSE 'Refused' END
        WHEN c.method = 'Mask' AND c.type = 'Text' THEN 'Mask'
        WHEN c.method = 'Constant' AND c.value IS NOT NULL AND c.type IN ('Text', 'Integer', 'BigInteger', 'Numeric') THEN 'Constant'
        WHEN c.method = 'Generalize' AND c.type IN ('Text', 'Integer', 'BigInteger', 'Numeric', 'Timestamp', 'Date') THEN 'Generalize'
        ELSE 'Refused' END
    FROM facts
$$;

-- What is hashed: one spelling of a phone number or an address, so that tables which share an identity go on sharing it.
CREATE OR REPLACE FUNCTION retention.spelling_expression(column_role text, value text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE column_role
        WHEN 'PhoneNumber' THEN format('coalesce(nullif(regexp_replace(%s, ''[^0-9+]'', '''', ''g''), ''''), %1$s)', value)
        WHEN 'EmailAddress' THEN format('lower(btrim(%s))', value)
        ELSE value END
$$;

CREATE OR REPLACE FUNCTION retention.constant_of(c retention.anonymized_column) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%L::%s', CASE WHEN c.method = 'Constant' THEN c.value ELSE 'removed' END, retention.column_type(c.type))
$$;

-- The new value as an expression over the row `alias` and the key `k`.
CREATE OR REPLACE FUNCTION retention.anonymized_value(c retention.anonymized_column, safe_method text, alias text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN safe_method = 'SetNull' THEN format('NULL::%s', retention.column_type(c.type))
        WHEN safe_method = 'Constant' THEN format('CASE WHEN %s IS NOT NULL THEN %s END', v, retention.constant_of(c))
        -- The last three digits of what is long enough to be a number; how long it was is not told.
        WHEN safe_method = 'Mask' THEN format('CASE WHEN %1$s IS NULL OR %1$s ~ ''^\*\*\*[0-9]{0,3}$'' THEN %1$s ELSE ''***'' || CASE WHEN'
            ' length(regexp_replace(%1$s, ''[^0-9]'', '''', ''g'')) >= 7'
            ' THEN right(regexp_replace(%1$s, ''[^0-9]'', '''', ''g''), 3) ELSE '''' END END', v)
        -- starts_with first: the pattern alone costs a third of what the hash does, and hardly any value is one already.
        WHEN safe_method IN ('Hash', 'HashAsWritten') THEN format('CASE WHEN starts_with(%1$s, ''hmac:'') AND %1$s ~ ''^hmac:[0-9a-f]{64}$'''
            ' THEN %1$s ELSE'
            ' ''hmac:'' || encode(sha256(k.outer_pad || sha256(k.inner_pad || convert_to(%2$s, ''UTF8''))), ''hex'') END', v,
            CASE WHEN safe_method = 'Hash' THEN retention.spelling_expression(c.role, v) ELSE v END)
        -- Beyond the years that retention.readable knows a month cannot be cut (date_trunc fails): one day for all of them.
        WHEN c.type = 'Timestamp' THEN format('CASE WHEN isfinite(%1$s) AND (%1$s < ''0001-01-01 00:00:00+00'''
            ' OR %1$s >= ''10000-01-01 00:00:00+00'') THEN timestamptz ''1000-01-01 00:00:00+00'''
            ' ELSE date_trunc(''month'', %1$s, ''UTC'') END', v)
        WHEN c.type = 'Date' THEN format('CASE WHEN isfinite(%1$s) AND (%1$s < ''0001-01-01'' OR %1$s >= ''10000-01-01'')'
            ' THEN date ''1000-01-01'' ELSE date_trunc(''month'', %1$s::timestamp)::date END', v)
        WHEN c.type IN ('Integer', 'BigInteger') THEN format('%s / 10 * 10', v)
        WHEN c.type = 'Numeric' THEN format('trunc(%s, -1)', v)
        WHEN c.role = 'PhoneNumber' THEN format('CASE WHEN %1$s ~ ''^[^*]{0,3}\*$'' THEN %1$s'
            ' ELSE translate(left(%1$s, 3), ''*'', '''') || ''*'' END', v)
        WHEN c.role = 'EmailAddress' THEN format('''*@'' || CASE WHEN %1$s ~ ''@'' THEN regexp_replace(%1$s, ''^.*@'', '''')'
            ' ELSE left(%1$s, 0) END', v)
        ELSE format('CASE WHEN %1$s ~ ''^[^*]?\*$'' THEN %1$s ELSE translate(left(%1$s, 1), ''*'', '''') || ''*'' END', v) END
    FROM (SELECT format('%I.%I', alias, c.name) AS v) AS named
$$;

-- The condition under which a column still says who it was. NULL says nothing of anybody.
CREATE OR REPLACE FUNCTION retention.telling_condition(c retention.anonymized_column, safe_method text, alias text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN safe_method = 'SetNull' THEN format('%s IS NOT NULL', v)
        WHEN safe_method = 'Constant' THEN format('%s <> %s', v, retention.constant_of(c))
        WHEN safe_method = 'Mask' THEN format('%s !~ ''^\*\*\*[0-9]{0,3}$''', v)
        WHEN safe_method IN ('Hash', 'HashAsWritten') THEN format('%s !~ ''^hmac:[0-9a-f]{64}$''', v)
        WHEN c.type <> 'Text' THEN format('%s <> %s', v, retention.anonymized_value(c, safe_method, alias))
        WHEN c.role = 'PhoneNumber' THEN format('%s !~ ''^[^*]{0,3}\*$''', v)
        WHEN c.role = 'EmailAddress' THEN format('%s !~ ''^\*@[^@]*$''', v)
        ELSE format('%s !~ ''^[^*]?\*$''', v) END
    FROM (SELECT format('%I.%I', alias, c.name) AS v) AS named
$$;

-- The condition under which a row of a table still tells of a person; 'false' where no column has a method.
CREATE OR REPLACE FUNCTION retention.identifying_condition(wanted text, alias text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce('((' || string_agg(retention.telling_condition(c, retention.safe_method(c), alias), ' OR ' ORDER BY c.position)
        || ') IS TRUE)', 'false')
    FROM retention.anonymized_column AS c WHERE c.table_name = wanted
$$;

-- Refuses, when the rules are written, what could only fail at night. The key is made by the first night that needs it, or comes
-- from another database of the policy.
CREATE OR REPLACE FUNCTION retention.converge_anonymizing() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c retention.anonymized_column;
BEGIN
    FOR c IN SELECT a.* FROM retention.anonymized_column AS a JOIN retention.managed AS m USING (table_name)
        JOIN retention.anonymize_rule AS r ON r.category = m.category ORDER BY a.table_name, a.position
    LOOP
        IF c.name = ANY (retention.written_once(c.table_name))
            OR c.name = ANY ((SELECT primary_key FROM retention.managed WHERE table_name = c.table_name)::text[]) THEN
            RAISE EXCEPTION 'column %.% cannot be anonymized: it is written once, since rows are found by it', c.table_name, c.name
                USING ERRCODE = 'RTI00', DETAIL = 'ProfileInvalid', HINT = 'Remove its method from the profile.';
        END IF;
        IF retention.safe_method(c) = 'Refused' THEN
            RAISE EXCEPTION 'column %.% of type % cannot be anonymized by method %', c.table_name, c.name, c.type, c.method
                USING ERRCODE = 'RTI00', DETAIL = 'ProfileInvalid',
                HINT = 'Let it be NULL, take it out of the unique index, or give it another method.';
        END IF;
    END LOOP;
END
$$;
