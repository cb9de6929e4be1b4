#!/usr/bin/env python3
"""How fast predictions are served: `make bench-serve`.

Trains a small model at 224 pixels, then measures, in one run: the engine alone (cargo bench --bench serve), the server over HTTP with
16 clients and with one, 50 models at random, an archive of 5,000 pictures, predictions beside a training job, ten times more
requests than can be answered, and other engines' raw compute if a script that prints it is given. Prints a Markdown
table. Needs Pillow.
"""
import argparse
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

from load import Result, closed, opened, percentile, picture_body
from service import Service

PARTS = ["engine", "http", "single", "models", "large", "training", "overload", "raw"]
CLIENTS = 16
MODELS = 50
LARGE = 5000
RECIPE = {"preset": "classic", "warm_up": {"epochs": 2}, "fine_tune": {"epochs": 1}}
# Trains until it is stopped.
ENDLESS = {"preset": "classic", "warm_up": {"epochs": 1}, "fine_tune": {"epochs": 1000}}


def main():
    args = arguments()
    rows = []
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-serve-") as work:
        bench = Bench(args, pathlib.Path(work), rows)
        for part in args.only.split(","):
            print(f"… {part}", file=sys.stderr, flush=True)
            getattr(bench, part)()
    print("\n| | |\n|---|---|")
    for name, figure in rows:
        print(f"| {name} | {figure} |")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/topgraft")
    parser.add_argument("--weights", default="data/weights/vgg16.safetensors")
    parser.add_argument("--seconds", type=int, default=20, help="seconds of each load")
    parser.add_argument("--overload-seconds", type=int, default=60)
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--raw", help="script that prints what other engines compute")
    parser.add_argument("--body", help="the ONNX file that it takes")
    args = parser.parse_args()
    if unknown := set(args.only.split(",")) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return args


class Bench:
    """One run's parts; each notes its rows."""

    def __init__(self, args, work, rows):
        self.args, self.work, self.rows = args, work, rows
        self.dataset = work / "pictures.zip"
        self.dataset.write_bytes(picture_body.archive(classes=3, each=8))
        self.model = work / "model"
        self.topgraft("train", "--dataset", self.dataset, "--model", self.model, "--recipe", json.dumps(RECIPE))
        self.pictures = [picture_body.photograph(seed) for seed in range(24)]
        self.rate = None
        self.alone = {}

    def topgraft(self, command, *options):
        line = [self.args.binary, *command.split(), *map(str, options)]
        line += ["--data-dir", str(self.work / "data"), "--weights", self.args.weights]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def note(self, name, figure):
        self.rows.append((name, figure))
        print(f"{name}: {figure}", file=sys.stderr, flush=True)

    def service(self, models=1, workers=0):
        """A server with so many models, fine-tuned on the same pictures from different seeds."""
        data = self.work / f"served-{models}"
        if not data.exists():
            with Service(self.args.binary, self.args.weights, data, 1) as service:
                service.upload("small", self.dataset.read_bytes())
                for number in range(models):
                    job = service.train("small", f"m{number}", {**RECIPE, "seed": number})
                    service.until(job, None)
        return Service(self.args.binary, self.args.weights, data, workers)

    def engine(self):
        line = ["cargo", "bench", "--locked", "--bench", "serve", "--", "--model", self.model, "--weights", self.args.weights]
        line += ["--seconds", str(self.args.seconds)]
        done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
        self.alone = {name: float(value) for name, value in re.findall(r"^(\w+) ([0-9.]+)$", done.stdout, re.M)}
        self.note("engine alone, 16 pictures outstanding", f"{self.alone['pictures_per_second']:.1f} pictures/s")
        self.note("engine alone, one picture at a time", f"{self.alone['single_ms']:.1f} ms")

    def http(self):
        with self.service() as service:
            closed(service, ["/v1/models/m0/predict"], self.pictures, CLIENTS, 5)
            result = closed(service, ["/v1/models/m0/predict"], self.pictures, CLIENTS, self.args.seconds)
        self.rate = result.rate
        share = f", {result.rate / self.alone['pictures_per_second']:.0%} of the engine alone" if self.alone else ""
        self.note("16 clients, 500 × 500 JPEGs over HTTP", f"{result.rate:.1f} pictures/s{share}; {result.times()}")

    def single(self):
        with self.service() as service:
            closed(service, ["/v1/models/m0/predict"], self.pictures, 1, 3)
            result = closed(service, ["/v1/models/m0/predict"], self.pictures, 1, self.args.seconds)
        median = percentile(result.latencies, 50)
        more = f", {median - self.alone['single_ms']:.1f} more than the engine alone" if self.alone else ""
        self.note("one client", f"median {median:.1f} ms{more}; p99 {percentile(result.latencies, 99):.1f} ms")

    def models(self):
        addresses = [f"/v1/models/m{number}/predict" for number in range(MODELS)]
        with self.service(MODELS) as service:
            closed(service, addresses[:1], self.pictures, CLIENTS, 5)
            one = closed(service, addresses[:1], self.pictures, CLIENTS, self.args.seconds)
            before = service.memory("VmRSS")
            for address in addresses:
                service.post(address, random.choice(self.pictures))
            many = closed(service, addresses, self.pictures, CLIENTS, self.args.seconds)
            grown = (service.memory("VmRSS") - before) / (MODELS - 1)
        self.note("50 models at random, 16 clients", f"{many.rate:.1f} pictures/s, {many.rate / one.rate:.0%} of one model's {one.rate:.1f}; {many.times()}")
        self.note("memory of each further model", f"{grown / 1e6:.1f} MB")

    def large(self):
        archive = picture_body.archive(classes=4, each=LARGE // 4)
        with self.service() as service:
            service.post("/v1/models/m0/predict", self.pictures[0])
            before, began = service.memory("VmRSS"), time.monotonic()
            answered, done = service.stream("/v1/models/m0/predict", archive)
            seconds, peak = time.monotonic() - began, service.memory("VmHWM")
        if not (answered == done["pictures"] == LARGE and done["failed"] == 0):
            raise RuntimeError(f"{answered} answers, and at the end {done}")
        self.note(f"an archive of {LARGE} pictures, {len(archive) / 1e6:.0f} MB", f"{answered / seconds:.1f} pictures/s, {seconds:.0f} s; memory {before / 1e6:.0f} MB before, at most {peak / 1e6:.0f} MB")

    def training(self):
        rate = (self.rate or 20) / 5
        with self.service(workers=1) as service:
            load = lambda: opened(service, "/v1/models/m0/predict", self.pictures, rate, self.args.seconds)
            load()
            idle = load()
            service.upload("pictures", picture_body.archive(classes=3, each=300))
            job = service.train("pictures", "trained", ENDLESS)
            service.until(job, "features")
            features = load()
            service.until(job, "fine_tune")
            beside = load()
        quiet = percentile(idle.latencies, 99)
        self.note(f"p99 at {rate:.1f} requests/s, idle machine", f"{quiet:.0f} ms; {idle.times()}")
        for name, result in [("extracts features", features), ("fine-tunes", beside)]:
            p99 = percentile(result.latencies, 99)
            self.note(f"p99 while a job {name}", f"{p99:.0f} ms, {p99 / quiet:.2f} times; {result.times()}; {result.failed()}")

    def overload(self):
        rate = (self.rate or 20) * 10
        with self.service() as service:
            full = closed(service, ["/v1/models/m0/predict"], self.pictures, 32, self.args.seconds)
            memory, result = [service.memory("VmRSS")], Result()
            # Twice the half: what grows shows in both.
            for _ in range(2):
                result += opened(service, "/v1/models/m0/predict", self.pictures, rate, self.args.overload_seconds / 2)
                memory.append(service.memory("VmRSS"))
        self.note("a full house of 32 clients", f"{full.rate:.1f} pictures/s; {full.times()}")
        self.note(f"{rate:.0f} requests/s for {self.args.overload_seconds} s", f"{result.rate:.1f} answered/s; {result.times()}; {result.failed()}")
        self.note("memory before, half-way and after", ", ".join(f"{bytes / 1e6:.0f} MB" for bytes in memory))

    def raw(self):
        if not self.args.raw:
            return
        done = subprocess.run([sys.executable, self.args.raw, self.args.body], check=True, stdout=subprocess.PIPE, text=True)
        for name, batch, rate in re.findall(r"^(\S+)\s+batch\s+(\d+):\s+([0-9.]+) images/s", done.stdout, re.M):
            ratio = f", ours over HTTP with all layers {self.rate / float(rate):.2f} times" if self.rate and batch == "16" else ""
            self.note(f"{name}, raw compute of the body, batch {batch}", f"{rate} pictures/s{ratio}")


if __name__ == "__main__":
    main()
