-- Backups that came and went, in the chain of evidence (X6, T6). What the backup's Job saw in the bucket is compared with what was
-- known before, so that a Job that was killed, or a database that was away, loses no entry: the next night adds it.

-- `complete`: backups that can be restored; `present`: those of which anything is left. Adds a link where one came or went.
CREATE OR REPLACE FUNCTION retention.record_backups(complete text[], present text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    came text[];
    gone text[];
BEGIN
    -- A night needs a few; more only push the runs out of sight. What is left out now, a later night tells.
    IF (SELECT count(*) FROM (SELECT body::jsonb AS body FROM retention.evidence ORDER BY sequence DESC LIMIT 100) AS e
        WHERE body #>> '{act,kind}' = 'Backups' AND (body ->> 'finishedAt')::timestamptz > now() - interval '1 day') >= 12 THEN
        RETURN;
    END IF;
    LOCK TABLE retention.known_backup IN SHARE ROW EXCLUSIVE MODE;
    -- Names that are none of ours are somebody's keys, and no part of the evidence.
    came := ARRAY(SELECT DISTINCT id FROM unnest(complete) AS id WHERE id ~ '^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$'
        AND NOT EXISTS (SELECT FROM retention.known_backup WHERE backup_id = id) ORDER BY id LIMIT 1000);
    gone := ARRAY(SELECT backup_id FROM retention.known_backup
        WHERE backup_id <> ALL (present) AND backup_id <> ALL (complete) ORDER BY backup_id);
    IF came = '{}' AND gone = '{}' THEN
        RETURN;
    END IF;
    INSERT INTO retention.known_backup (backup_id) SELECT unnest(came);
    DELETE FROM retention.known_backup WHERE backup_id = ANY (gone);
    PERFORM retention.append_act(jsonb_build_object('kind', 'Backups', 'came', came, 'gone', gone));
END
$$;
