#!/usr/bin/env bash
# Runs a command with a PostgreSQL server of its own, which is gone afterwards: postgres.sh COMMAND…
# Tests find it by TOPGRAFT_TEST_POSTGRES. Where there is no PostgreSQL, that is said and the command runs without; with --install, and as
# root on Debian, PostgreSQL is installed instead, and nothing is run.
set -euo pipefail

server_folder() {
    # The newest of Debian's, which aren't on the PATH; else whatever is.
    local newest
    newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    if [ -n "$newest" ]; then echo "$newest"; elif command -v initdb >/dev/null; then dirname "$(command -v initdb)"; fi
}

if [ "${1:-}" = --install ]; then
    if [ -z "$(server_folder)" ]; then
        apt-get update -qq
        # Without a cluster of Debian's own, which would be started.
        mkdir -p /etc/postgresql-common
        echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
        apt-get install -y -qq --no-install-recommends postgresql >/dev/null
    fi
    exit 0
fi

bin=$(server_folder)
if [ -z "$bin" ]; then
    echo "NOT TESTED on PostgreSQL, as there is none. Debian: apt-get install postgresql" >&2
    exec "$@"
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/topgraft-postgres-XXXXXX")
as=()
if [ "$(id -u)" = 0 ]; then
    # PostgreSQL doesn't run as root.
    user=$(id -u postgres 2>/dev/null || id -u nobody)
    chown "$user" "$folder"
    as=(setpriv --reuid="$user" --clear-groups --)
fi
trap '"${as[@]}" "$bin/pg_ctl" stop --pgdata "$folder/data" --mode immediate --silent; rm -rf "$folder"' EXIT
(
    cd "$folder"
    "${as[@]}" "$bin/initdb" --pgdata data --username topgraft --auth trust --encoding UTF8 --no-locale --no-sync >/dev/null
    # What it writes is gone soon: it needn't be durable.
    options="-c listen_addresses= -c unix_socket_directories=$folder -c fsync=off -c full_page_writes=off -c max_connections=300"
    "${as[@]}" "$bin/pg_ctl" start --pgdata data --log log --wait --silent --options "$options"
)
TOPGRAFT_TEST_POSTGRES="postgres:///postgres?host=$folder&user=topgraft" "$@"
