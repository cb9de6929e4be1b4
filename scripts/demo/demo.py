#!/usr/bin/env python3
"""From pictures to predictions through the HTTP API: `make demo`, or `make demo DATASET=path-to-folder-or-archive`.

Starts a server on a free port with a data folder of its own, uploads, trains, draws the epochs as they come, prints both
reports and what the model says of pictures that it never saw. Exits with 0 only if the accuracy is far above chance.
"""
import argparse
import json
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import pictures as sources
from client import Client

# The default.
RECIPE = "{}"
BAR = 40
HELD_OUT_CLASSES = 20


def main():
    args = arguments()
    started = time.time()
    home = Path(args.home)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    classes, which = sources.find(args.dataset, home)
    total = sum(len(files) for files in classes.values())
    print(f"Pictures: {which} ({total} in {len(classes)} classes).")
    held_out = hold_out(classes, home)
    archive = pack(classes, home)
    server, client = start(args, home)
    try:
        accuracy = tour(client, archive, held_out, args.recipe)
    finally:
        server.terminate()
        server.wait(timeout=60)
    chance = 1 / len(classes)
    print(f"\nThe whole demo took {(time.time() - started) / 60:.1f} minutes; final validation accuracy {accuracy:.4f}, chance is {chance:.4f}.")
    farewell(home, next(iter(held_out.values())))
    if accuracy < (1 + chance) / 2:
        sys.exit(f"An accuracy of {accuracy:.4f} is not far above chance ({chance:.4f}): something is wrong.")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/topgraft")
    parser.add_argument("--weights", default="data/weights/vgg16.safetensors")
    parser.add_argument("--home", default="demo", help="folder for everything that the demo makes; emptied first")
    parser.add_argument("--dataset", help="folder or archive (zip, tar, tar.gz) of Class/picture")
    parser.add_argument("--recipe", default=RECIPE, help="recipe as JSON")
    return parser.parse_args()


def hold_out(classes, home):
    """Takes the last picture of each class (of the first classes) out of the data set: {class: path}."""
    held_out = {}
    for name in sorted(classes)[:HELD_OUT_CLASSES]:
        if len(classes[name]) > 2:
            file = max(classes[name])
            path = home / "held-out" / f"{name}-{file}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(classes[name].pop(file)())
            held_out[name] = path
    return held_out


def pack(classes, home):
    archive = home / "pictures.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for name, files in sorted(classes.items()):
            for file, read in sorted(files.items()):
                out.writestr(f"pictures/{name}/{file}", read())
    return archive


def start(args, home):
    """Starts the server on a free port and waits until it answers."""
    command = [args.binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", str(home / "data"), "--weights", args.weights]
    log = open(home / "server.log", "w")
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    for line in server.stdout:
        if line.startswith("listening on "):
            address = line.split()[-1]
            print(f"Server: {address}, log in {home}/server.log")
            client = Client(address)
            while server.poll() is None:
                try:
                    client.get("/healthz")
                    return server, client
                except OSError:
                    time.sleep(0.1)
    sys.exit(f"the server didn't start; its log says:\n{(home / 'server.log').read_text()}")


def tour(client, archive, held_out, recipe):
    """Upload, train, report, predict. Answers the final accuracy."""
    dataset = upload(client, archive)
    body = {"dataset": dataset["name"], "model": "demo", "recipe": json.loads(recipe)}
    job = client.post("/v1/jobs", json.dumps(body).encode(), "application/json")
    print(f"Job {job['id']}: {describe(job['recipe'])}\n")
    job = follow(client, job)
    if job["state"] != "succeeded":
        sys.exit(f"the job ended {job['state']}: {job.get('error')}")
    print("\n" + client.get("/v1/models/demo/report?format=text"))
    report = client.json("/v1/models/demo/report")
    print("Pictures that the model never saw:")
    right = 0
    for name, path in held_out.items():
        answer = client.post("/predict?top_k=3", path.read_bytes(), "application/octet-stream")["predictions"][0]
        right += answer["label"] == name
        mark = "ok " if answer["label"] == name else "NO "
        print(f"  {mark} {name:>14}  " + "  ".join(f"{c} {p:.3f}" for c, p in answer["probabilities"].items()))
    print(f"{right} of {len(held_out)} right.")
    return report["phases"][-1]["accuracy"]


def upload(client, archive):
    started = time.time()
    with open(archive, "rb") as body:
        size = archive.stat().st_size
        response = client.request("POST", "/v1/datasets?name=demo", body, content_type="application/zip", content_length=str(size))
    dataset = json.load(response)
    while dataset["state"] == "ingesting":
        time.sleep(0.2)
        dataset = client.json(f"/v1/datasets/{dataset['id']}")
    if dataset["state"] != "ready":
        sys.exit(f"the data set is {dataset['state']}: {dataset.get('error')}")
    megabytes = size / 1e6
    print(f"Data set: {dataset['images']} pictures, {megabytes:.1f} MB, uploaded and ready in {time.time() - started:.1f} s.")
    for rejected in dataset["rejected"][:5]:
        print(f"  left out {rejected['path']}: {rejected['reason']}")
    return dataset


def describe(recipe):
    phase = lambda p: f"{p['epochs']} epochs {p['optimizer']['kind']} {p['optimizer']['learning_rate']:g}"
    return f"{phase(recipe['warm_up'])}, then {phase(recipe['fine_tune'])} from {recipe['fine_tune']['unfreeze_from']}"


def follow(client, job):
    """Draws the job's events until it ends; reconnects where the connection breaks."""
    last, told = 0, None
    while True:
        for last, kind, data in client.events(f"/v1/jobs/{job['id']}/events", last):
            if kind == "progress" and data["phase"] == "features":
                percent = int(data["fraction"] * 10) * 10
                if percent != told:
                    told = percent
                    print(f"\rfeatures {percent:>3} %", end="\n" if percent == 100 else "", flush=True)
            elif kind == "epoch":
                bar = "█" * round(data["val_accuracy"] * BAR)
                print(
                    f"{data['phase']:>9} {data['epoch']:>3}  loss {data['train_loss']:.3f}  val loss {data['val_loss']:.3f}  "
                    f"val accuracy {data['val_accuracy']:.4f} {bar:<{BAR}} {data['seconds']:.1f} s",
                    flush=True,
                )
        job = client.json(f"/v1/jobs/{job['id']}")
        if job["state"] not in ("queued", "running"):
            return job


def farewell(home, picture):
    print(f"""
To go on with it:
  make serve DATA={home}/data
  curl --data-binary @{picture} 'http://127.0.0.1:8080/predict?top_k=3'
  curl http://127.0.0.1:8080/v1/models/demo
  curl 'http://127.0.0.1:8080/v1/models/demo/report?format=text'
""")


if __name__ == "__main__":
    main()
