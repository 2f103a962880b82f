-- Whether the clock may be believed. A run takes the earlier of its own and the database's, but both may stand in one node
-- whose clock is wrong: a year ahead, everything due in that year would go. Two witnesses that this clock does not move: the
-- operator's clock, and the time of what happened here last.

-- Nobody was here for longer than this: neither a run that deletes nor the operator.
CREATE OR REPLACE FUNCTION retention.longest_silence() RETURNS interval
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT interval '168 hours' $$;

CREATE OR REPLACE FUNCTION retention.last_enforced() RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT started_at FROM retention.run WHERE mode = 'Enforce' ORDER BY number DESC LIMIT 1
$$;

-- Written by the operator at every look, by its own clock. After a long silence its word alone does not count: it may stand
-- in the same node. Then the time seen last stays, until a run that somebody approved.
CREATE OR REPLACE FUNCTION retention.note_clock(operators timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    skew double precision := extract(epoch FROM clock_timestamp() - operators);
    before timestamptz := greatest(retention.last_enforced(), (SELECT seen_at FROM retention.operator_clock));
    seen timestamptz := CASE WHEN operators > before + retention.longest_silence() THEN before ELSE operators END;
BEGIN
    INSERT INTO retention.operator_clock (seen_at, skew_seconds) VALUES (seen, skew)
        ON CONFLICT (only_row) DO UPDATE SET seen_at = excluded.seen_at, skew_seconds = excluded.skew_seconds;
    RETURN abs(skew) <= 60;
END
$$;

-- Refuses a run that deletes where the clock is in doubt; an approval of these rules that is valid by this very clock is
-- a person's word that it is right. From the shell, without an operator, nobody promised to come every night.
CREATE OR REPLACE FUNCTION retention.assert_clock(digest text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    witness retention.operator_clock;
    enforced timestamptz := retention.last_enforced();
    here timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO witness FROM retention.operator_clock;
    IF abs(witness.skew_seconds) > 60 THEN
        RAISE EXCEPTION 'the clocks of the database and of the operator differed by over a minute when they last met'
            USING ERRCODE = 'RTN00', DETAIL = 'ClockSkew', HINT = 'Put the clocks right; the operator looks again by itself.';
    END IF;
    IF EXISTS (SELECT FROM retention.approval WHERE rules_digest = digest AND until > here) THEN
        RETURN;
    END IF;
    IF here > greatest(witness.seen_at, enforced) + retention.longest_silence() AND witness.seen_at IS NOT NULL THEN
        RAISE EXCEPTION 'by the clock, which says %, nobody was here since %: that is over a week',
            to_char(here, 'YYYY-MM-DD'), to_char(greatest(witness.seen_at, enforced), 'YYYY-MM-DD')
            USING ERRCODE = 'RTN00', DETAIL = 'ClockJumped',
            HINT = 'If the clock is right, approve these rules by a RetentionRun; else put it right.';
    END IF;
    IF enforced > here + interval '1 minute' THEN
        RAISE EXCEPTION 'the clock says %, but the last run began on %: it was put back',
            to_char(here, 'YYYY-MM-DD'), to_char(enforced, 'YYYY-MM-DD')
            USING ERRCODE = 'RTN00', DETAIL = 'ClockJumped',
            HINT = 'If the clock is right now, approve these rules by a RetentionRun; else put it right.';
    END IF;
END
$$;
