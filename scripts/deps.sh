#!/usr/bin/env bash
# Checks the dependencies: none unused, licences and sources as deny.toml has them, no known advisory if their database can be
# reached. The tools are built once, into target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/tools

# tool CRATE VERSION: unoptimised, because it compiles for longer than it runs.
tool() {
    if [ "$("$tools/bin/$1" --version 2>/dev/null | awk '{print $NF}')" != "$2" ]; then
        CARGO_TARGET_DIR=$tools/build CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root "$tools" "$1" --version "$2"
    fi
}

tool cargo-machete 0.9.2
tool cargo-deny 0.20.2
"$tools/bin/cargo-machete" .
"$tools/bin/cargo-deny" --locked check licenses bans sources
database=https://github.com/RustSec/advisory-db
if curl --silent --fail --max-time 10 --output /dev/null "$database"; then
    "$tools/bin/cargo-deny" --locked check advisories
else
    echo "advisories not checked: $database can't be reached"
fi
