-- Whose a row is, as a hold on a person asks (X3): by its own columns, or by its session's record. Nothing here says who.

-- The columns of a table by which a hold on a person finds it. Content that does not know its session is found by none: an agent
-- may stand in it, but not the customer of its record.
CREATE OR REPLACE FUNCTION retention.tells_persons(t retention.managed) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (t.content_of IS NULL OR t.session_column IS NOT NULL) AND EXISTS (SELECT FROM retention.person_column AS c
        WHERE c.table_name = t.table_name AND retention.identifier_role(c.role) IS NOT NULL);
END
$$;

-- Whether such a hold may select rows of a table directly: where it tells persons those, and where nobody can be asked all of them,
-- as long as anybody is named in its family at all. Else its sessions are asked (retention.held_through_condition).
CREATE OR REPLACE FUNCTION retention.may_be_persons(t retention.managed) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN retention.tells_persons(t) OR EXISTS (SELECT FROM retention.person_column AS c
            JOIN retention.managed AS m ON m.table_name = c.table_name WHERE m.family = t.family)
        AND NOT (t.session_column IS NOT NULL AND EXISTS (SELECT FROM retention.managed AS m
            WHERE m.family = t.family AND m.session_column IS NOT NULL AND retention.tells_persons(m)));
END
$$;

-- The digests of whoever stands in the row `alias`, one expression for each column; one that is null where there is nothing to
-- compare: the hold is on nobody (salt is null), or the table cannot tell.
CREATE OR REPLACE FUNCTION retention.person_digests(t retention.managed, alias text, salt bytea) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF salt IS NULL OR NOT retention.tells_persons(t) THEN
        RETURN ARRAY[NULL];
    END IF;
    RETURN ARRAY(SELECT format('sha256(%L::bytea || convert_to(%s, ''UTF8''))',
            salt || convert_to(retention.identifier_role(c.role), 'UTF8') || '\x00'::bytea,
            retention.folded_expression(c.role, format('%I.%I::text', alias, c.name)))
        FROM retention.person_column AS c
        WHERE c.table_name = t.table_name AND retention.identifier_role(c.role) IS NOT NULL ORDER BY c.position);
END
$$;
