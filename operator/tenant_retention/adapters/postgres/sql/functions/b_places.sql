-- Which categories of the definition lie in this database.

-- Whether a category's rows may lie in an archive: records that count from their birth and name no objects.
CREATE OR REPLACE FUNCTION retention.is_archivable(category jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT category ->> 'state' = 'Enforced' AND category ->> 'clockEvent' = 'Created' AND category ->> 'contentOf' IS NULL
        AND category ->> 'objects' IS NULL AND category ->> 'files' IS NULL AND category -> 'tables' <> '[]'
$$;

-- An archive has the tables of every category that may be archived, and goes on with those that it was given once: what lies in
-- it expires also after archiveAfter was taken away, and after the category can be archived no more.
CREATE OR REPLACE FUNCTION retention.lies_in(category jsonb, purpose text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT category ->> 'database' = purpose OR (purpose = 'Archive' AND (retention.is_archivable(category)
        OR EXISTS (SELECT FROM retention.managed_table AS t WHERE lies_in.category -> 'tables' ? t.name)))
$$;
