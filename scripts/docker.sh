#!/usr/bin/env bash
# Where there is a container engine: builds the image, starts Compose's profile for one server and the one for many, and runs the
# README's tour against each. Without an engine that is said, and the end is 0; with REQUIRE=1 it is 1.
# Under a project name of its own, so nobody's volumes are touched; port 8080 must be free, for `scale` 3000 too.
#   scripts/docker.sh [single|scale|gpu]…
set -euo pipefail
cd "$(dirname "$0")/.."

if ! docker compose version >/dev/null 2>&1 || ! docker info >/dev/null 2>&1; then
    echo "NOT TESTED: the images and Compose's profiles, as there is no Docker engine with Compose here." >&2
    [ "${REQUIRE:-0}" = 1 ] && exit 1
    exit 0
fi
work=$(mktemp -d)
compose() { docker compose --project-name topgraft-check --file docker/compose.yaml --profile "$profile" "$@"; }
# Before and after a profile: nothing of the one before is left.
clear_away() { compose down --volumes --remove-orphans --timeout 60; }
finish() {
    status=$?
    if [ "$status" != 0 ] && [ -n "${profile:-}" ]; then compose logs --tail 50 || true; fi
    if [ -n "${profile:-}" ]; then clear_away || true; fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

# The tour's shell blocks, as tests/it/readme.rs takes them: a recipe of seconds, and every answer of 4xx or 5xx ends it. Its
# pictures are drawn here, three classes of a colour each.
python3 - "$work" <<'PY'
import random, struct, sys, zipfile, zlib
from pathlib import Path

def png(colour, seed, side=96):
    noise = random.Random(seed)
    rows = b"".join(b"\0" + bytes(min(255, c + noise.randrange(60)) for _ in range(side) for c in colour) for _ in range(side))
    chunk = lambda kind, data: struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
    head = struct.pack("!IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

work = Path(sys.argv[1])
classes = {"daisy": (190, 190, 190), "tulip": (190, 20, 40), "iris": (60, 20, 190)}
with zipfile.ZipFile(work / "flowers.zip", "w") as archive:
    for name, colour in classes.items():
        for number in range(8):
            archive.writestr(f"{name}/{number}.png", png(colour, f"{name}{number}"))
(work / "picture.jpg").write_bytes(png(classes["iris"], "unseen"))
text = Path("README.md").read_text()
tour = text.split("<!-- tour -->")[1].split("<!-- end of tour -->")[0]
blocks = [block[3:] for block in tour.split("```")[1::2] if block.startswith("sh\n")]
whole, short = '"fine_tune": {"epochs": 12}', '"preset": "classic", "warm_up": {"epochs": 2}, "fine_tune": {"epochs": 1}'
script = "".join(blocks)
assert whole in script, "the tour's recipe isn't the one that this script shortens"
start = 'set -eu\ncurl() { command curl --fail-with-body --silent --show-error "$@"; }\n'
(work / "tour.sh").write_text(start + script.replace(whole, short))
PY

[ $# -gt 0 ] || set -- single scale
for profile; do
    echo "== $profile"
    if [ "$profile" = scale ]; then docker/secrets.sh; fi
    clear_away
    compose up --build --detach --wait --wait-timeout 600
    (cd "$work" && sh tour.sh)
    clear_away
done
profile=
echo "The tour ran against every profile that was asked for."
