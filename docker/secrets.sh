#!/usr/bin/env bash
# Makes the passwords of compose.yaml's profile `scale`, in docker/secrets/, which git and images leave out. What is there stays.
# Environment files, because Compose reads them as the user who calls it; a mounted file would have to be readable to each
# container's own user.
set -euo pipefail
cd "$(dirname "$0")"
if [ -e secrets ]; then
    echo "docker/secrets/ is there already: nothing done. The database and the store remember the first passwords that they were given."
    exit 0
fi
umask 077
# secret BYTES: as hexadecimal digits, which need no quoting in an address.
secret() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

database=$(secret 24)
key=$(secret 10)
key_secret=$(secret 20)
made=$(mktemp -d ./secrets.XXXXXX)
trap 'rm -rf "$made"' EXIT
cat >"$made/database.env" <<END
POSTGRES_DB=topgraft
POSTGRES_USER=topgraft
POSTGRES_PASSWORD=$database
END
cat >"$made/store.env" <<END
AWS_ACCESS_KEY_ID=$key
AWS_SECRET_ACCESS_KEY=$key_secret
END
# Without TLS: the two talk within one machine, on a network of their own.
cat >"$made/topgraft.env" <<END
TOPGRAFT_DATABASE=postgres://topgraft:$database@database:5432/topgraft?sslmode=disable
TOPGRAFT_WEBHOOK_SECRET=whsec_$(head -c 32 /dev/urandom | base64 -w0)
AWS_ACCESS_KEY_ID=$key
AWS_SECRET_ACCESS_KEY=$key_secret
END
cat >"$made/grafana.env" <<END
GF_SECURITY_ADMIN_PASSWORD=$(secret 16)
END
mv "$made" secrets
echo "docker/secrets/ is made. Grafana's user is admin, the password in docker/secrets/grafana.env."
