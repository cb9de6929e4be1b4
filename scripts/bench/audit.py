#!/usr/bin/env python3
"""Spoils a data set and says how much of that an audit finds: `make audit DATASET=flowers17.zip`. Needs Pillow.

30 pictures get another label. 20 are copied, smaller and recompressed, 10 of them into another class.
"""
import argparse
import io
import json
import pathlib
import random
import sys
import tempfile
import time
import zipfile

from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from service import Service  # noqa: E402

FLIPPED, COPIED, ACROSS, LOOKED_AT = 30, 20, 10, 45


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="a zip of class folders")
    parser.add_argument("--binary", default="target/release/topgraft")
    parser.add_argument("--weights", default="data/weights/vgg16.safetensors")
    parser.add_argument("--seeds", default="1,2,3")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".", prefix=".audit-") as work:
        with Service(args.binary, args.weights, pathlib.Path(work) / "data", 1) as service:
            for seed in map(int, args.seeds.split(",")):
                report(service, args.dataset, seed)


def report(service, dataset, seed):
    name = f"spoilt-{seed}"
    archive, flipped, copies = spoilt(dataset, seed)
    service.upload(name, archive)
    seconds = audited(service, name)
    found = list(findings(service, name))
    groups = [{image["path"] for image in finding["images"]} for finding in found if "duplicates" in finding["kind"]]
    duplicates = sum(any(copy in group and original in group for group in groups) for original, copy in copies)
    # A flipped copy of a picture is one of the conflicting duplicates too; here only the ranking of suspects counts.
    suspects = [finding["images"][0]["path"] for finding in found if finding["kind"] == "label_suspect"]
    top = sum(path in flipped for path in suspects[:LOOKED_AT])
    print(
        f"seed {seed}: {duplicates} of {len(copies)} copies found; {top} of {len(flipped)} flipped labels in the first {LOOKED_AT} suspects,"
        f" {sum(path in flipped for path in suspects)} in all {len(suspects)}; {len(groups)} groups of duplicates; {seconds:.1f} s",
        flush=True,
    )


def spoilt(dataset, seed):
    """The archive, the paths of those with another label, and pairs of an original's path and its copy's."""
    chance = random.Random(seed)
    with zipfile.ZipFile(dataset) as source:
        pictures = {name: source.read(name) for name in source.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png"))}
    of = lambda name: pathlib.PurePosixPath(name).parent.name  # noqa: E731
    classes = sorted({of(name) for name in pictures})
    names = chance.sample(sorted(pictures), FLIPPED + COPIED)
    flipped, copies = set(), []
    for name in names[:FLIPPED]:
        other = chance.choice([c for c in classes if c != of(name)])
        moved = f"{other}/flipped-{pathlib.PurePosixPath(name).name}"
        pictures[moved] = pictures.pop(name)
        flipped.add(moved)
    for number, name in enumerate(names[FLIPPED:]):
        target = chance.choice([c for c in classes if c != of(name)]) if number < ACROSS else of(name)
        copy = f"{target}/copy-{number}.jpg"
        pictures[copy] = again(pictures[name], chance)
        copies.append((name, copy))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for name, content in pictures.items():
            target.writestr(name, content)
    return buffer.getvalue(), flipped, copies


def again(encoded, chance):
    """The picture at half to nine tenths of its size, saved with another quality."""
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    share = chance.uniform(0.5, 0.9)
    image = image.resize([max(1, round(side * share)) for side in image.size], Image.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=chance.randint(50, 90))
    return buffer.getvalue()


def audited(service, name):
    """Seconds that an audit took with every feature there already: a first one computes them."""
    began = time.monotonic()
    service.json("POST", f"/v1/datasets/{name}/audit")
    while (audit := service.json("GET", f"/v1/datasets/{name}/audit"))["state"] in ("queued", "running"):
        time.sleep(0.05)
    if audit["state"] != "ready":
        raise RuntimeError(f"the audit: {audit}")
    print(f"  {time.monotonic() - began:.1f} s, features included; {json.dumps(audit['summary'])}", flush=True)
    again = f"{name}-again"
    # The same pictures under another name: nothing is left to compute but the audit itself.
    service.json("POST", f"/v1/datasets/{name}/revisions", json.dumps({"name": again, "exclude": [0]}))
    began = time.monotonic()
    service.json("POST", f"/v1/datasets/{again}/audit")
    while service.json("GET", f"/v1/datasets/{again}/audit")["state"] != "ready":
        time.sleep(0.05)
    return time.monotonic() - began


def findings(service, name):
    cursor = ""
    while cursor is not None:
        page = service.json("GET", f"/v1/datasets/{name}/audit/findings?limit=500" + (f"&cursor={cursor}" if cursor else ""))
        yield from page["items"]
        cursor = page.get("next_cursor")


if __name__ == "__main__":
    main()
