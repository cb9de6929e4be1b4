#!/usr/bin/env python3
"""Kills workers, the server or both at random moments, and compares what comes of it with jobs that were left alone: `make soak`.

Every job must end with the same weights, to the bit, and the same epochs, each once. Needs Pillow.
"""
import argparse
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "bench"))
import picture_body  # noqa: E402
from service import Service  # noqa: E402

# Different in all that a state must remember.
RECIPES = [
    {"preset": "classic", "warm_up": {"epochs": 60}, "fine_tune": {"epochs": 12}},
    {"preset": "balanced", "input_size": 224, "augmentation": {"views": 2}, "warm_up": {"epochs": 40, "ema_decay": 0.9}, "fine_tune": {"epochs": 10}},
    {"preset": "balanced", "input_size": 160, "mixup": 0.2, "shift": 0.2, "warm_up": {"epochs": 50, "patience": 40}, "fine_tune": {"epochs": 10, "schedule": {"kind": "plateau"}, "patience": 8}},
    {"preset": "classic", "precision": "bf16", "fine_tune": {"epochs": 8, "optimizer": {"kind": "sgd", "learning_rate": 1e-3, "momentum": 0.9}}},
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/topgraft")
    parser.add_argument("--weights", default="data/weights/vgg16.safetensors")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--gap", type=float, default=20, help="most seconds between two kills; a job that is never given time for an epoch fails, as it should")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".", prefix=".soak-") as work:
        soak(args, pathlib.Path(work))


def soak(args, work):
    archive = picture_body.archive(classes=3, each=16)
    expected, alone = left_alone(args, work / "alone", archive)
    print(f"left alone: {len(RECIPES)} jobs in {alone:.0f} s", flush=True)
    chance, counts, began, rounds = random.Random(args.seed), {}, time.monotonic(), 0
    wrong = []
    # Jobs again and again, until there were enough kills.
    while sum(counts.values()) < args.kills:
        rounds += 1
        data = work / f"killed-{rounds}"
        ids, found = [], None
        while found is None:
            with Service(args.binary, args.weights, data, 1) as service:
                if not ids:
                    service.upload("pictures", archive)
                    ids = submit(service)
                while True:
                    if sum(counts.values()) >= args.kills or over(service, ids):
                        found = results(service, data, ids)
                        break
                    what = kill(service, chance, args.gap)
                    if what:
                        counts[what] = counts.get(what, 0) + 1
                    if what in ("server", "both"):
                        break
        for number, (was, now) in enumerate(zip(expected, found)):
            if was != now:
                wrong.append(f"round {rounds}, recipe {number}: {difference(was, now)}")
        print(f"round {rounds}: {sum(counts.values())} kills so far, {counts}; {len(wrong)} jobs differ", flush=True)
    jobs = rounds * len(RECIPES)
    print(f"{sum(counts.values())} kills ({counts}) over {jobs} jobs in {time.monotonic() - began:.0f} s: {jobs - len(wrong)} jobs as if left alone")
    if wrong:
        sys.exit("\n".join(wrong))


def left_alone(args, data, archive):
    with Service(args.binary, args.weights, data, 1) as service:
        service.upload("pictures", archive)
        began = time.monotonic()
        ids = submit(service)
        return results(service, data, ids), time.monotonic() - began


def submit(service):
    return [service.train("pictures", f"m{number}", {**recipe, "seed": number}) for number, recipe in enumerate(RECIPES)]


def over(service, ids):
    return all(service.json("GET", f"/v1/jobs/{job}")["state"] not in ("queued", "running") for job in ids)


def results(service, data, ids):
    """Of each job: its state, the checksum of its weights, its epochs without their times."""
    found = []
    for number, job in enumerate(ids):
        while (state := service.json("GET", f"/v1/jobs/{job}"))["state"] in ("queued", "running"):
            time.sleep(0.2)
        epochs = service.json("GET", f"/v1/jobs/{job}/epochs")["items"]
        epochs = [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in epochs]
        manifest = data / "models" / f"m{number}" / "1" / "manifest.json"
        weights = json.loads(manifest.read_text())["files"]["weights.safetensors"] if manifest.exists() else state.get("error")
        found.append({"state": state["state"], "weights": weights, "epochs": epochs})
    return found


def kill(service, chance, gap):
    """Waits a random moment, kills something if it runs, and says what it was."""
    time.sleep(chance.uniform(0.0, gap))
    what = chance.choices(["worker", "server", "both"], [2, 1, 1])[0]
    workers = service.workers()
    if what != "server" and not workers:
        return None
    if what != "worker":
        os.kill(service.process.pid, signal.SIGKILL)
    if what != "server":
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
    return what


def difference(was, now):
    if was["state"] != now["state"]:
        return f"{now['state']}: {now['weights']}"
    places = [[(epoch["phase"], epoch["epoch"]) for epoch in job["epochs"]] for job in (was, now)]
    if places[0] != places[1]:
        return f"{len(places[0])} epochs and {len(places[1])}, of them {len(set(places[1]))} different ones"
    return "other numbers in its epochs" if was["epochs"] != now["epochs"] else "other weights"


if __name__ == "__main__":
    main()
