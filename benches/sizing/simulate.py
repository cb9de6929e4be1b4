#!/usr/bin/env python3
"""How much of everything: `make sizing` prints what docs/sizing.md is made of.

Parameters with their sources (parameters.py), the simulation beside what was measured (calibration.py), then what predictions, models,
jobs and pictures need. `--check` holds the simulation against queueing theory instead (check.py). Python's standard library is all that
it needs; it takes ten minutes, and the same seeds give the same numbers.
"""
import argparse
import math
import sys

import calibration
import check
import jobs
import parameters
import theory
from capacity import most_of_one, servers_needed, trial
from machines import AMX, VNNI
from parameters import P
from pictures import BALANCED, FEW, HEAD, KINDS, artifact_bytes, copies_seconds, gpu_rate, memory_bytes
from serving import Setup, quantile
from traffic import bursts, steady

RATES = (10, 100, 1000, 10_000)
MACHINES = [VNNI, VNNI.for_views(2, 256), AMX, AMX.for_views(2, 256)]
PICTURES = (10_000, 1_000_000, 100_000_000)
# How busy servers may be that are planned for.
SPARE = 0.8


def table(title, head, rows):
    print(f"\n## {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)


def amount(bytes):
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if bytes >= size:
            return f"{bytes / size:.3g} {unit}"
    return f"{bytes / 1e3:.3g} KB"


def span(seconds):
    for unit, size in (("years", 31_557_600), ("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def inputs():
    table("Parameters", ["name", "value", "", "source"], parameters.rows())
    fits = [[m.name] + [f"{1000 * part:.3g} ms" for part in (m.fixed, m.picture, m.model, m.path, m.admitted, m.refused)]
            + [f"{m.noise:.2f}", f"{m.capacity:.1f}/s"] for m in MACHINES]
    table("Machines: two cores, models of so many pixels × views", ["", "a batch", "a picture in it", "a further model in it", "way of a lone request",
          "let in", "refused", "noise", "most pictures"], fits)


def calibrated():
    head = ["load", "", "", "VNNI measured", "simulated", "off", "AMX measured", "simulated", "off"]
    table("Simulated and measured", head, calibration.rows())


def servers():
    def line(machine, rate):
        setup = Setup(machine)
        least, result = servers_needed(setup, rate)
        burst, _ = servers_needed(setup, rate, bursts)
        spare = max(least + 1, math.ceil(rate / machine.capacity / SPARE))
        calm = trial(setup._replace(servers=spare), rate, steady)
        ms = [f"{1000 * found.percentile(50):.0f}, {1000 * found.percentile(99):.0f} ms" for found in (result, calm)]
        return [machine.name, f"{rate:,}", f"{rate / machine.capacity:.1f}", least, f"{result.utilisation:.0%}", ms[0], spare, ms[1], burst]

    head = ["two cores with", "predictions/s", "busy", "at least", "then busy", "p50, p99", "to plan with", "p50, p99", "at least, in bursts"]
    table("Servers for p99 of 1 s and 0.1 % of 429, least connections", head, (line(m, rate) for m in MACHINES for rate in RATES))


def one_server():
    def line(machine):
        setup = Setup(machine)
        cells = [most_of_one(setup), most_of_one(setup, bursts), most_of_one(setup._replace(batch=4)), most_of_one(setup._replace(places=16))]
        return [machine.name, f"{machine.capacity:.1f}"] + [f"{cell:.1f}" for cell in cells]

    head = ["two cores with", "at most", "within the aim", "in bursts", "max_batch 4", "predict_requests 16"]
    table("Predictions a second of one server, or of one of many chosen at random", head, (line(m) for m in MACHINES))


def models():
    def line(count, rate, balancer, gibibytes, load=P.load_seconds):
        kept = min(count, int(gibibytes * 2**30 // P.model_bytes))
        setup = Setup(VNNI._replace(load=load), balancer=balancer, models=count, kept=kept)
        needed, result = servers_needed(setup, rate)
        return [f"{count:,}", f"{rate:,}", balancer, f"{gibibytes} GiB, {kept:,}", f"{load} s", needed, f"{result.hits:.0%}", f"{result.utilisation:.0%}",
                f"{1000 * result.percentile(50):.0f}, {1000 * result.percentile(99):.0f} ms"]

    small = [(10, rate, "least", 2) for rate in RATES]
    # A cache of 252 GiB holds them all.
    large = [(10_000, rate, *how) for rate in RATES[:3] for how in (("least", 2), ("model", 2), ("model", 8), ("least", 64), ("least", 252))]
    rest = [(10_000, 10_000, "model", 2), (10_000, 100, "model", 2, 0.1), (10_000, 100, "model", 2, 1.0)]
    head = ["models", "predictions/s", "balancer", "cache of each, models in it", "a load", "servers", "found there", "busy", "p50, p99"]
    table("Servers for models of which the k-th is asked 1/k as often as the first; two cores with VNNI", head,
          (line(*case) for case in small + large + rest))


def training():
    median, sigma = P.job_pictures
    draw = lambda chance: jobs.Job([], chance.lognormvariate(math.log(median), sigma) * BALANCED.picture_ms / 1000)
    mean = median * math.exp(sigma**2 / 2) * BALANCED.picture_ms / 1000

    weights = artifact_bytes(BALANCED.side)

    def line(a_day):
        rate = a_day / 86_400
        workers = math.floor(rate * mean) + 1
        while True:
            result = jobs.simulate(workers, rate, draw, max(20_000, 10 * a_day))
            if quantile(result.waits, 95) <= 900:
                return [f"{a_day:,}", f"{rate * mean:.2f}", workers, f"{rate * mean / workers:.0%}", span(quantile(result.waits, 50)),
                        span(quantile(result.waits, 95)), span(quantile(result.spans, 95)), f"{workers * (P.heartbeat + P.progress):.0f}",
                        amount(a_day * weights), amount(a_day * P.job_row_bytes)]
            workers += 1

    head = ["jobs a day", "workers busy", "workers", "busy", "wait p50", "p95", "until the end p95", "commits/s at most", "artifacts a day", "database a day"]
    table(f"Workers for 95 % of jobs to begin within 15 min; balanced, two cores with VNNI, {span(mean)} a job on average", head,
          (line(a_day) for a_day in (10, 100, 1000, 10_000)))


def data_sets():
    def line(kind, pictures):
        kept = kind.kept(pictures)
        rows = kind.rows * pictures
        memory = P.worker_bytes + pictures * P.training_bytes + (1 if kind.head_alone else 2) * P.index_bytes * rows
        return [kind.name, f"{pictures:,}", f"{kind.rows:g}", amount(rows * kind.row_bytes), amount(rows * kind.planned_bytes),
                "nothing" if kept is None else kept, amount(memory), span(kind.features_ms * pictures / 1000),
                ", ".join(span(ms * pictures / 1000) for number, ms in zip(kind.epochs, kind.epoch_ms) if number), span(kind.picture_ms * pictures / 1000),
                span(kind.streamed_ms() * pictures / 1000)]

    head = ["recipe", "pictures", "rows a picture", "features on disk", "as planned", "views kept within 32 GiB", "memory", "features",
            "an epoch of each phase", "the job", "with nothing kept"]
    table("Data sets on two cores with VNNI", head, (line(kind, pictures) for kind in KINDS for pictures in PICTURES))
    rest = [[f"{n:,}", amount(n * P.picture_bytes), amount(2 * n * P.picture_bytes), span(n / P.ingested), span(copies_seconds(n)),
             amount(n * P.ingest_bytes), amount(n * P.driver_bytes), amount(n * P.image_row_bytes), span(n * P.enter_us / 1e6)] for n in PICTURES]
    table("Data sets whatever the recipe", ["pictures", "pack", "pack and archive", "ingestion", "looking for copies", "memory of that", "rows fetched, for a moment",
          "database", "entered in"], rest)
    sizes = [[kind.name, f"{kind.kept(1):g}", *(f"{most(kind, views):,}" for views in (kind.views, 0))] for kind in KINDS]
    table("Most pictures within a feature_cache_bytes of 32 GiB", ["recipe", "views", "with all views", "with none"], sizes)


def most(kind, views):
    rows = (1 - P.validation) * (views + 1) + P.validation * kind.judged
    return int(P.feature_cache_bytes / kind.planned_bytes / rows)


def shards():
    """What it brings that idle workers help to compute the features of one job."""

    def line(kind, pictures, workers):
        # Held-out pictures are a quarter: as many rows as pictures, about.
        pieces = min(P.most_shards, math.ceil(pictures / P.shard_rows))
        features, rest = kind.features_ms * pictures / 1000, kind.epochs_ms * pictures / 1000
        draw = lambda chance: jobs.Job([features / pieces * chance.lognormvariate(0, 0.15) for _ in range(pieces)], rest)
        spans = [jobs.simulate(workers, None, draw, 1, seed, 0.0).spans[0] for seed in range(5)]
        whole = sum(spans) / len(spans)
        return [kind.name, f"{pictures:,}", workers, span(whole - rest), span(rest), span(whole)]

    cases = [(kind, pictures, workers) for kind in (FEW, HEAD) for pictures in PICTURES[1:] for workers in (1, 4, 16, 64)]
    table("Features of one job in shards whose times vary by 15 %",
          ["recipe", "pictures", "workers of two cores", "features", "epochs", "together"], (line(*case) for case in cases))


def cards():
    def line(name, peak):
        rate, whole = gpu_rate(peak), gpu_rate(peak, 256)
        return [name, f"{peak / 1e12:.0f} TFLOP/s", f"{rate:,.0f}", f"{whole / 2:,.0f}", f"{rate * P.http_core_ms / 1000:.1f}",
                *(f"{math.ceil(load / (0.7 * rate))}, {math.ceil(load / (0.35 * whole))}" for load in RATES[2:])]

    head = ["card", "peak, dense bf16", "pictures/s at 224 × 1", "at 256 × 2", "cores beside it", "cards for 1,000/s, both", "for 10,000/s"]
    table("GPUs: arithmetic, nothing measured; cards 70 % busy", head, (line(*card) for card in P.gpu_peak.items()))


def database():
    def line(workers, commit_ms):
        rate = workers * (P.heartbeat + P.progress)
        busy = rate * commit_ms / 1000
        wait = f"{1000 * (theory.md1(rate, commit_ms / 1000) - commit_ms / 1000):.1f} ms" if busy < 1 else "without end"
        return [workers, f"{rate:.0f}", commit_ms, f"{busy:.0%}", wait]

    table("SQLite's one writer: busy workers, commits of heartbeats and progress", ["workers", "commits/s", "ms a commit", "busy", "mean wait"],
          (line(workers, ms) for ms in (1.0, P.commit_ms, 10.0) for workers in (1, 8, 32, 128)))
    statements = [["a worker that waits", f"{3 * P.poll:.0f} selects/s", "0"],
                  ["a worker with a job", f"{P.heartbeat + 3 * P.progress:.0f} statements/s", f"{P.heartbeat + P.progress:.0f}/s"],
                  ["a server", "1.2 selects/s", "0"],
                  ["whoever follows a job's events", f"{2 * P.event_poll:.0f} selects/s", "0"],
                  ["a prediction", "1 select, 2 with a key", "1 a minute and key"]]
    table("Who asks the database for what", ["", "asks", "commits"], statements)
    lines = [[side, amount(artifact_bytes(side)), amount(memory_bytes(side)), amount(10_000 * artifact_bytes(side)), amount(10_000 * memory_bytes(side))]
             for side in (224, 256, 320)]
    table("A model's own layers, 256 units", ["pixels", "on disk", "in memory", "10,000 on disk", "10,000 in memory"], lines)
    reports = [[f"{pictures:,}", *(amount(pictures * P.validation * classes * P.probability_bytes) for classes in (17, 100, 1000))] for pictures in PICTURES]
    table("A version's report on disk, by classes", ["pictures", "17", "100", "1,000"], reports)


PARTS = {"parameters": inputs, "calibration": calibrated, "servers": servers, "one": one_server, "models": models, "jobs": training,
         "pictures": data_sets, "shards": shards, "gpu": cards, "database": database}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="hold the simulation against known results")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    args = parser.parse_args()
    if args.check:
        sys.exit(0 if check.check() else "the simulation isn't to be trusted")
    if unknown := set(args.only.split(",")) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    for part in args.only.split(","):
        PARTS[part]()


if __name__ == "__main__":
    main()
