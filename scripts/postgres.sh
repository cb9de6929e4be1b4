#!/usr/bin/env bash
# Runs a command with a PostgreSQL server of its own, which is gone afterwards: postgres.sh COMMAND…
# Tests find it by TOPGRAFT_TEST_POSTGRES, and by TOPGRAFT_TEST_POSTGRES_TLS the way in that asks for encryption, with a certificate for
# 127.0.0.1 of an authority of its own. Where there is no PostgreSQL, that is said and the command runs without; with --install, and as
# root on Debian, PostgreSQL is installed instead, and nothing is run.
set -euo pipefail

server_folder() {
    # The newest of Debian's, which aren't on the PATH; else whatever is.
    local newest
    newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    if [ -n "$newest" ]; then echo "$newest"; elif command -v initdb >/dev/null; then dirname "$(command -v initdb)"; fi
}

if [ "${1:-}" = --install ]; then
    if [ -z "$(server_folder)" ] || ! command -v openssl >/dev/null; then
        apt-get update -qq
        # Without a cluster of Debian's own, which would be started.
        mkdir -p /etc/postgresql-common
        echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
        apt-get install -y -qq --no-install-recommends postgresql openssl >/dev/null
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
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
trap '"${as[@]}" "$bin/pg_ctl" stop --pgdata "$folder/data" --mode immediate --silent; rm -rf "$folder"' EXIT
(
    cd "$folder"
    "${as[@]}" "$bin/initdb" --pgdata data --username topgraft --auth trust --encoding UTF8 --no-locale --no-sync >/dev/null
    if command -v openssl >/dev/null; then
        # An authority, and what it says of this server: a server's own word isn't believed.
        "${as[@]}" openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=topgraft-test-authority -keyout data/ca.key -out data/ca.crt 2>/dev/null
        "${as[@]}" openssl req -newkey rsa:2048 -nodes -subj /CN=topgraft-test -keyout data/server.key -out data/server.csr 2>/dev/null
        echo subjectAltName=IP:127.0.0.1 | "${as[@]}" tee data/names >/dev/null
        "${as[@]}" openssl x509 -req -in data/server.csr -CA data/ca.crt -CAkey data/ca.key -CAcreateserial -days 2 \
            -extfile data/names -out data/server.crt 2>/dev/null
        # Read by whoever runs the tests.
        install -m 644 data/ca.crt ca.crt
        chmod 755 .
        printf 'local all all trust\nhostssl all all 127.0.0.1/32 trust\n' | "${as[@]}" tee data/pg_hba.conf >/dev/null
        listen="127.0.0.1 -c ssl=on"
    fi
    # What it writes is gone soon: it needn't be durable.
    options="-c port=$port -c listen_addresses=${listen:-} -c unix_socket_directories=$folder -c fsync=off -c full_page_writes=off -c max_connections=300"
    "${as[@]}" "$bin/pg_ctl" start --pgdata data --log log --wait --silent --options "$options"
)
export TOPGRAFT_TEST_POSTGRES="postgres:///postgres?host=$folder&port=$port&user=topgraft"
if [ -e "$folder/ca.crt" ]; then
    export TOPGRAFT_TEST_POSTGRES_TLS="postgres://topgraft@127.0.0.1:$port/postgres?sslrootcert=$folder/ca.crt"
else
    echo "NOT TESTED with encryption, as there is no openssl" >&2
fi
"$@"
