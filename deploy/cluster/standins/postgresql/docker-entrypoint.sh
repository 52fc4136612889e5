#!/bin/bash
# As the official image does, the part of it that Windrow uses: a new PGDATA gets the user, password and database that are named.
set -Eeuo pipefail

from_file() { # from_file NAME: $NAME, or the content of the file that ${NAME}_FILE names
  local name=$1 file="${1}_FILE"
  if [ -n "${!name:-}" ] && [ -n "${!file:-}" ]; then
    echo "$name or $file must be set, not both" >&2
    exit 1
  fi
  if [ -n "${!file:-}" ]; then
    export "$name"="$(<"${!file}")"
    unset "$file"
  fi
}

if [ "${1:0:1}" = - ]; then
  set -- postgres "$@"
fi
if [ "$1" != postgres ]; then
  exec "$@"
fi
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" && chown -R postgres "$PGDATA" && chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --clear-groups -- "$0" "$@"
fi
if ! getent passwd "$(id -u)" >/dev/null; then # any other user: PostgreSQL asks for its name
  wrapped=$(mktemp -d)
  echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" >"$wrapped/passwd"
  echo "postgres:x:$(id -g):" >"$wrapped/group"
  LD_PRELOAD=$(find /usr/lib -name libnss_wrapper.so -print -quit)
  export LD_PRELOAD NSS_WRAPPER_PASSWD="$wrapped/passwd" NSS_WRAPPER_GROUP="$wrapped/group"
fi
mkdir -p "$PGDATA"
chmod 700 "$PGDATA" 2>/dev/null || true
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  from_file POSTGRES_PASSWORD
  from_file POSTGRES_USER
  from_file POSTGRES_DB
  from_file POSTGRES_INITDB_ARGS
  : "${POSTGRES_USER:=postgres}"
  : "${POSTGRES_DB:=$POSTGRES_USER}"
  if [ -z "${POSTGRES_PASSWORD:-}" ]; then
    echo "POSTGRES_PASSWORD must be set to a value that is not empty for a new PGDATA, and is not: give one" >&2
    exit 1
  fi
  # shellcheck disable=SC2086 - several options in one variable
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --auth-host=scram-sha-256 --auth-local=trust ${POSTGRES_INITDB_ARGS:-}
  printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p 5432" -w start
  if [ "$POSTGRES_DB" != postgres ]; then
    psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
  fi
  pg_ctl -D "$PGDATA" -m fast -w stop
fi
unset POSTGRES_PASSWORD
if [ -n "${wrapped:-}" ]; then
  unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
  rm -rf "$wrapped"
fi
case " $* " in *listen_addresses*) ;; *) set -- "$@" -c "listen_addresses=*" ;; esac
exec "$@"
