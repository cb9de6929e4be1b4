#!/usr/bin/env python3
"""The page's own figures: `make bench-page`. When each page first paints and what it loads, and the server's memory while a data set of 20,000
pictures is scrolled through to its end. Needs Pillow, selenium and Chromium; prints a Markdown table.
"""
import argparse
import io
import pathlib
import random
import statistics
import sys
import tarfile
import tempfile

from PIL import Image
from service import Service

sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests/clients"))
from browser import Page, browser

PICTURES = 20_000
RECIPE = {"preset": "classic", "input_size": 160, "warm_up": {"epochs": 4}, "fine_tune": {"epochs": 2}}
# How often each page is opened.
TIMES = 7


def archive(classes, each, side=96):
    """A tar of pictures, each another one."""
    rng, out = random.Random(1), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(classes * each):
            colours = [tuple(rng.randrange(256) for _ in range(3)) for _ in range(16)]
            picture = Image.new("RGB", (4, 4))
            picture.putdata(colours)
            encoded = io.BytesIO()
            picture.resize((side, side), Image.BICUBIC).save(encoded, "JPEG", quality=85)
            info = tarfile.TarInfo(f"class-{number % classes}/{number:05}.jpg")
            info.size = encoded.tell()
            tar.addfile(info, io.BytesIO(encoded.getvalue()))
    return out.getvalue()


def paints(page, paths):
    for name, path in paths:
        times, loaded = [], 0
        for _ in range(TIMES):
            page.open(path)
            page.until("a paint", lambda: page.script("return performance.getEntriesByName('first-contentful-paint').length"))
            page.checked(name)
            _, loaded, paint = page.figures[-1]
            times.append(paint)
        print(f"| {name} | {statistics.median(times):.0f} ms | {loaded / 1000:.0f} KB |")


def scroll(page, service, dataset):
    """To the end, as fast as pictures come; the server's memory on the way."""
    page.open(f"datasets/{dataset}")
    memory = []
    while True:
        shown = len(page.all("#grid li"))
        memory.append((shown, service.memory("VmRSS")))
        if not page.all("#more"):
            break
        page.script("document.getElementById('more').scrollIntoView()")
        page.until("more", lambda: page.script("return document.querySelectorAll('#grid li').length") > shown or not page.all("#more"))
    half = next(bytes for shown, bytes in memory if shown >= memory[-1][0] / 2)
    print(f"| {memory[-1][0]} pictures scrolled through: the server's memory before, half-way and at the end | {memory[0][1] / 1e6:.0f} MB, {half / 1e6:.0f} MB, {memory[-1][1] / 1e6:.0f} MB | |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/topgraft")
    parser.add_argument("--weights", default="data/weights/vgg16.safetensors")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-page-") as work:
        with Service(args.binary, args.weights, pathlib.Path(work) / "data", 1) as service:
            service.upload("small", archive(3, 40))
            service.upload("large", archive(20, PICTURES // 20))
            job = service.train("small", "small", RECIPE)
            service.until(job, None)
            driver = browser()
            try:
                page = Page(f"http://{service.host}", driver)
                print("| page | first paint, median | loads |\n|---|---|---|")
                paints(page, [
                    ("the beginning", ""), ("data sets", "datasets"), ("a data set", "datasets/small"), ("one of 20,000 pictures", "datasets/large"),
                    ("train", "train"), ("jobs", "jobs"), ("a job", f"jobs/{job}"), ("models", "models"), ("a model", "models/small"),
                    ("a report", "models/small/versions/1"), ("try it", "try"),
                ])
                scroll(page, service, "large")
            finally:
                driver.quit()


if __name__ == "__main__":
    main()
