-- The key of method Hash: made in a database, shared by all of a policy, and destroyed in all of them once it is in one.

-- Makes the key of method Hash where there is none: 32 bytes of the server's strong random numbers, kept as the two pads of
-- HMAC (RFC 2104), which is all that is needed of it. Only the owner reads the table; no backup login has a right to it.
CREATE OR REPLACE FUNCTION retention.make_anonymization_key() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    secret bytea := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
        || decode(repeat('00', 32), 'hex');
    inner_bytes bytea := secret;
    outer_bytes bytea := secret;
BEGIN
    FOR place IN 0..63 LOOP
        inner_bytes := set_byte(inner_bytes, place, get_byte(secret, place) # 54);
        outer_bytes := set_byte(outer_bytes, place, get_byte(secret, place) # 92);
    END LOOP;
    INSERT INTO retention.anonymization_key (inner_pad, outer_pad) VALUES (inner_bytes, outer_bytes) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;

-- The operator's act, as the owner: from now on nobody can tell whose number or name a hash was made of, by trying all of them
-- either. TRUNCATE, since a deleted row would lie in the file until it is vacuumed. The next run makes another key.
CREATE OR REPLACE FUNCTION retention.destroy_anonymization_key() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    there boolean;
BEGIN
    LOCK TABLE retention.anonymization_key IN ACCESS EXCLUSIVE MODE;
    there := EXISTS (SELECT FROM retention.anonymization_key);
    -- So that the operator destroys it in the policy's other databases too, and brings it back from none.
    INSERT INTO retention.destroyed_key (fingerprint) SELECT retention.hash_key_fingerprint(inner_pad, outer_pad)
        FROM retention.anonymization_key ON CONFLICT DO NOTHING;
    TRUNCATE retention.anonymization_key;
    RETURN there;
END
$$;

-- A name for the key by which nobody finds it: it has 256 bits that are as good as random.
CREATE OR REPLACE FUNCTION retention.hash_key_fingerprint(inner_pad bytea, outer_pad bytea) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT encode(sha256(inner_pad || outer_pad), 'hex') $$;

-- Whether any column of this database is hashed by its rules.
CREATE OR REPLACE FUNCTION retention.needs_hash_key() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM retention.anonymized_column AS a JOIN retention.managed AS m USING (table_name)
        JOIN retention.anonymize_rule AS r ON r.category = m.category
        WHERE retention.safe_method(a) IN ('Hash', 'HashAsWritten'))
$$;
