#!/bin/sh
# Starts PostgreSQL in any image that has initdb and postgres on its PATH; nothing of the image's entrypoint is used.
# Environment, all directories: TRO_DATA (the volume), TRO_CONFIG (settings), TRO_TLS (tls.crt, tls.key), TRO_RUN (the
# socket); TRO_VERIFIER: a file with the administrator's SCRAM verifier.
#
# The data directory is made under another name and renamed when it is complete: "pgdata" is whole or not there. Only a
# directory under the other name in which no server ever ran is removed; "pgdata" never is.
set -eu
umask 077

data=${TRO_DATA:?} config=${TRO_CONFIG:?} tls=${TRO_TLS:?} run=${TRO_RUN:?} verifier_file=${TRO_VERIFIER:?}
pgdata=$data/pgdata
unfinished=$data/pgdata.unfinished
administrator=tro_admin

say() { echo "start: $*" >&2; }
stop() { say "$*"; exit 1; }

# A verifier goes into SQL text below, so its alphabet is checked; anything else (a password, say) is refused unseen.
verifier=$(cat "$verifier_file")
case $verifier in
  *[!A-Za-z0-9+/=:\$-]*) stop "the administrator's verifier has characters that no SCRAM verifier has" ;;
  SCRAM-SHA-256\$[0-9]*:*\$*:*) ;;
  *) stop "the administrator's verifier is not a SCRAM-SHA-256 verifier; it is never a password" ;;
esac

if [ ! -e "$pgdata" ]; then
  if [ -e "$unfinished/postmaster.opts" ]; then
    stop "a server ran in $unfinished, so it is not removed; rename it to $pgdata after looking at it"
  fi
  if [ -e "$unfinished" ]; then
    say "an earlier initialization did not end; it starts again"
    rm -rf "$unfinished"
  fi
  say "initializing the data directory"
  initdb --pgdata="$unfinished" --username=postgres --encoding=UTF8 --locale=C.UTF-8 --data-checksums \
    --auth-local=peer --auth-host=reject >/dev/null
  mv "$unfinished" "$pgdata"
  # The new name must be on the disk before a server writes: after a power cut it must not read "unfinished" again.
  sync
fi

[ -s "$pgdata/PG_VERSION" ] || stop "$pgdata is no PostgreSQL data directory; nothing is removed"
found=$(cat "$pgdata/PG_VERSION")
version=$(postgres --version)
case $version in
  *") $found" | *") $found"[!0-9]*) ;;
  *) stop "the data directory is of PostgreSQL $found and the image has '$version'; use an image of version $found" ;;
esac

# A volume plugin that sets the group of all files also opens the directory to it, which PostgreSQL refuses.
chmod 0700 "$pgdata"

# Every start, so that a rotated verifier counts: as the single user of a server that nobody can connect to yet.
# The verifier goes through standard input; no argument and no log line shows it.
say "setting the administrator"
set -- -D "$pgdata" -c config_file="$config/postgresql.conf" -c hba_file="$config/pg_hba.conf" \
  -c ident_file="$config/pg_ident.conf" -c ssl_cert_file="$tls/tls.crt" -c ssl_key_file="$tls/tls.key" \
  -c unix_socket_directories="$run"
postgres --single -j "$@" -c exit_on_error=on postgres >/dev/null <<SQL
DO \$do\$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '$administrator') THEN
    CREATE ROLE $administrator;
  END IF;
END \$do\$;

ALTER ROLE $administrator WITH LOGIN CREATEDB CREATEROLE NOSUPERUSER NOREPLICATION NOBYPASSRLS PASSWORD '$verifier';

REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;

GRANT CONNECT ON DATABASE postgres TO $administrator;

SQL
unset verifier

# Large objects lie outside of every table, where no retention reaches, and any login could write them. In every database, and
# in template0, which tenant databases are made from; only the single user may connect to that one.
names=$(echo 'SELECT datname FROM pg_catalog.pg_database WHERE datconnlimit <> -2 ORDER BY 1' |
  postgres --single "$@" -c exit_on_error=on postgres | sed -n 's/.*datname = "\(.*\)"[^"]*$/\1/p')
[ -n "$names" ] || stop "the server does not say which databases it has"
# A database that cannot be changed, being half dropped for instance, must not keep the others away.
echo "$names" | while IFS= read -r name; do
  postgres --single -j "$@" -c exit_on_error=on "$name" >/dev/null <<SQL || say "large objects are not closed in $name"
DO \$do\$ DECLARE f regprocedure; BEGIN
  FOR f IN SELECT oid FROM pg_catalog.pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
    AND (proname LIKE 'lo\\_%' OR proname IN ('loread', 'lowrite')) AND has_function_privilege('public', oid, 'EXECUTE')
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
  END LOOP;
END \$do\$;

SQL
done

say "starting $version"
exec postgres "$@"
