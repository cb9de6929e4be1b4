#!/usr/bin/env bash
# What the page's test needs: Chromium with its driver, and axe-core 4.14.1 in the folder that is given. With --install, and as root on Debian, the
# browser is installed; else what is missing is said. Ends with 0 in any case but a failed installation: without a browser the test says that it
# tested nothing.
set -euo pipefail
folder=$1
install=${2:-}
axe=4.14.1

if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
    if [ "$install" = --install ]; then
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null
    else
        echo "NOT TESTED: the page, as there is no Chromium. Debian: apt-get install chromium chromium-driver" >&2
        exit 0
    fi
fi
if [ ! -f "$folder/axe.min.js" ]; then
    if ! command -v npm >/dev/null; then
        echo "NOT TESTED: the page, as there is no npm to get axe-core with. Debian: apt-get install npm" >&2
        exit 0
    fi
    mkdir -p "$folder"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    (cd "$scratch" && npm pack --silent "axe-core@$axe" >/dev/null && tar xzf "axe-core-$axe.tgz" package/axe.min.js)
    mv "$scratch/package/axe.min.js" "$folder/axe.min.js"
fi
