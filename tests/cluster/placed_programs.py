"""Programs of a tenant whose data lies in several places; arguments name the bindings that they use."""

WRITE = """
import psycopg, sys
for binding in sys.argv[2:]:
    with psycopg.connect(open(f'/bindings/{binding}/uri').read()) as database:
        for age in map(int, sys.argv[1].split(',')):
            database.execute("INSERT INTO records (id, session_id, caller, started_at)"
                " VALUES (%s, %s, '+31201234567', now() - %s * interval '1 day')", (age, f's{age}', age))
print('written')
"""
"""A record of each age in days, in each database."""
READ = """
import psycopg, sys
for binding in sys.argv[1:]:
    with psycopg.connect(open(f'/bindings/{binding}/uri').read()) as database:
        print(database.execute('SELECT id, caller IS NULL FROM records ORDER BY id').fetchall())
"""
"""Of each database the ages, and whether the caller is gone."""
INTRUDE = """
import psycopg, sys
from psycopg.conninfo import conninfo_to_dict
mine = conninfo_to_dict(open(f'/bindings/{sys.argv[1]}/uri').read())
for binding in sys.argv[2:]:
    theirs = conninfo_to_dict(open(f'/bindings/{binding}/uri').read())
    try:
        psycopg.connect(**{**theirs, 'user': mine['user'], 'password': mine['password']}).close()
        print('connected')
    except psycopg.OperationalError:
        print('refused')
"""
KEYS = """
import redis, sys
from pathlib import Path
own = Path('/bindings', sys.argv[1])
cache = redis.Redis.from_url((own / 'uri').read_text(), ssl_ca_data=(own / 'ca.crt').read_text(), protocol=2)
prefix = (own / 'prefix').read_text()
for word in sys.argv[2:]:
    act, key = word.split('=')
    try:
        print({'set': lambda: cache.set(prefix + key, 'x'), 'get': lambda: cache.exists(prefix + key),
            'lives': lambda: cache.ttl(prefix + key) > 0, 'outside': lambda: cache.set(key, 'x'),
            'look': lambda: cache.scan(match=key)}[act]())
    except redis.exceptions.NoPermissionError:
        print('refused')
"""
AGENT = """
import psycopg, sys
with psycopg.connect(open(f'/bindings/{sys.argv[1]}/uri').read()) as database:
    database.execute("INSERT INTO agents (id, staff_id, started_at)"
        " VALUES (1, 'ann', now() - %s * interval '1 day')", (int(sys.argv[2]),))
print('written')
"""
"""An agent who came so many days ago."""
SAY = """
import psycopg, sys
with psycopg.connect(open(f'/bindings/{sys.argv[1]}/uri').read()) as database:
    for age in map(int, sys.argv[2:]):
        database.execute("INSERT INTO messages (id, started_at) VALUES (%s, now() - %s * interval '1 day')", (age, age))
    print(database.execute('SELECT id FROM messages ORDER BY id').fetchall())
"""
"""Writes a message of each age in days; the ages of all that are there."""
DENIED = """
import io, ssl, sys, psycopg, urllib3
from pathlib import Path
from urllib.parse import urlsplit
from minio import Minio
own = {f.name: f.read_text() for f in Path('/bindings', sys.argv[2]).iterdir() if f.is_file()}
context = ssl.create_default_context(cafile=f'/bindings/{sys.argv[2]}/ca.crt')
store = Minio(urlsplit(own['AWS_ENDPOINT_URL']).netloc, access_key=own['AWS_ACCESS_KEY_ID'],
    secret_key=own['AWS_SECRET_ACCESS_KEY'], region=own['AWS_DEFAULT_REGION'],
    http_client=urllib3.PoolManager(ssl_context=context))
with psycopg.connect(Path('/bindings', sys.argv[1], 'uri').read_text()) as database:
    if sys.argv[3] == 'write':
        version = store.put_object(own['BUCKET_NAME'], 'recordings/1', io.BytesIO(b'said'), 4).version_id
        database.execute("INSERT INTO recordings (id, session_id, object_key, object_version, started_at)"
            " VALUES (1, 's1', 'recordings/1', %s, now() - interval '1 day')", (version,))
        database.execute("UPDATE records SET refused = true WHERE session_id = 's1'")
    rows = database.execute('SELECT count(*) FROM recordings').fetchone()[0]
    print(rows, len(list(store.list_objects(own['BUCKET_NAME'], prefix='recordings/', recursive=True))))
"""
"""A recording of today's call is stored, then its caller's refusal becomes known; rows and objects that are there."""
