#!/usr/bin/env python3
"""Pictures of every page, at desktop and phone width, light and dark: `make screenshots`. Takes the demo's pictures unless others are given,
trains on them, and writes to docs/images. Needs selenium and Chromium.
"""
import argparse
import base64
import io
import json
import pathlib
import sys
import tempfile
import time
import zipfile

HERE = pathlib.Path(__file__).parent
sys.path += [str(HERE / "bench"), str(HERE / "demo"), str(HERE.parent / "tests/clients")]
import pictures
from browser import Page, browser
from service import Service

RECIPES = [
    {"preset": "balanced", "input_size": 160, "augmentation": {"views": 1}, "warm_up": {"epochs": 12}, "fine_tune": {"epochs": 6}},
    {"preset": "classic", "input_size": 160, "warm_up": {"epochs": 12}, "fine_tune": {"epochs": 4}},
]
SIZES = {"desktop": (1280, 860), "phone": (390, 844)}
THEMES = ["light", "dark"]


def archive(classes):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, members in classes.items():
            for member, read in members.items():
                file.writestr(f"{name}/{member}", read())
        file.writestr("notes/readme.txt", "about these pictures")
    return out.getvalue()


def shoot(page, folder, name, prepare=None):
    """A page in each size and theme; `prepare` brings it to where it is shown."""
    for size, (width, height) in SIZES.items():
        for theme in THEMES:
            run = page.driver.execute_cdp_cmd
            run("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"})
            run("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
            page.driver.refresh()
            page.until("the page", lambda: page.script("return document.readyState") == "complete")
            if prepare:
                prepare()
            page.until("pictures", lambda: page.script("return [...document.images].filter((i) => i.getBoundingClientRect().top < innerHeight).every((i) => i.complete)"))
            # Charts fit themselves to the new width in a frame of their own.
            page.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
            taken = run("Page.captureScreenshot", {"format": "webp", "quality": 82})
            (folder / f"{name}-{size}-{theme}.webp").write_bytes(base64.b64decode(taken["data"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/topgraft")
    parser.add_argument("--weights", default="data/weights/vgg16.safetensors")
    parser.add_argument("--dataset", help="a folder or archive; the demo's pictures if not given")
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parent / "docs/images")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-shots-") as work:
        work = pathlib.Path(work).resolve()
        classes, what = pictures.find(args.dataset, work)
        print(f"pictures of {what}")
        picture = work / "picture.png"
        members = next(iter(classes.values()))
        picture.write_bytes(members.pop(next(iter(members)))())
        with Service(args.binary, args.weights, work / "data", 1) as service:
            driver = browser()
            try:
                take(Page(f"http://{service.host}", driver), service, args.out, classes, picture)
            finally:
                driver.quit()


def take(page, service, out, classes, picture):
    def at(name, path, prepare=None):
        page.open(path)
        shoot(page, out, name, prepare)

    at("empty", "")
    service.upload("pictures", archive(classes))
    service.json("POST", "/v1/datasets/pictures/audit")
    while service.json("GET", "/v1/datasets/pictures/audit")["state"] != "ready":
        time.sleep(0.5)
    at("audit", "datasets/pictures/audit")
    jobs = [service.train("pictures", "clothes", recipe) for recipe in RECIPES]
    service.until(jobs[0], "fine_tune")
    at("job", f"jobs/{jobs[0]}")
    for job in jobs:
        service.until(job, None)
    service.json("PUT", "/v1/models/clothes/aliases/production", json.dumps({"version": 1}))
    at("home", "")
    at("datasets", "datasets")
    at("dataset", "datasets/pictures", lambda: page.script("document.getElementById('pictures').scrollIntoView()"))
    at("train", "train?dataset=pictures")
    at("jobs", "jobs")
    at("compare", f"compare?job={jobs[0]}&job={jobs[1]}")
    at("models", "models")
    at("model", "models/clothes")
    at("report", "models/clothes/versions/1")
    at("mistakes", "models/clothes/versions/1", lambda: page.script("document.getElementById('wrong').scrollIntoView()"))
    at("thresholds", "models/clothes/versions/1", lambda: page.script("document.getElementById('thresholds').scrollIntoView()"))
    at("versions", "models/clothes/compare?version=1&version=2")

    def ask():
        page.give("#file", picture)
        page.until("an answer", lambda: page.all(".answer .row img"))
        page.script("document.querySelector('#answers').scrollIntoView()")

    at("try", "try?model=clothes", ask)
    at("sign-in", "sign-in")


if __name__ == "__main__":
    main()
