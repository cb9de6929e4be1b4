"""Holds the served OpenAPI document against the server itself: every operation, with requests that fit it and requests that don't.

Starts a server with a worker, uploads toy pictures, trains a model of a few seconds on them and lets Schemathesis ask. Needs Pillow
and schemathesis from PyPI.
"""

import argparse
import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile

from PIL import Image

HERE = pathlib.Path(__file__).parent
# Of the server under test; made with it.
KEY = ""
RECIPE = {
    "preset": "classic",
    "input_size": 160,
    "batch_size": 8,
    "head": {"units": 16},
    "warm_up": {"epochs": 1},
    "fine_tune": {"epochs": 0, "unfreeze_from": "none"},
}


def pictures():
    """A zip with two classes of eight pictures."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        for name, colour in {"red": (200, 30, 30), "green": (30, 200, 30)}.items():
            for number in range(8):
                shade = tuple(min(255, part + number * 3) for part in colour)
                picture = io.BytesIO()
                Image.new("RGB", (96, 64), shade).save(picture, "PNG")
                folder.writestr(f"{name}/{number}.png", picture.getvalue())
    return archive.getvalue()


def ask(url, body=None, kind="application/json"):
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    headers = {"authorization": KEY, **({"content-type": kind} if data else {})}
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def until(what, seconds=300):
    """Waits for `what` to be true."""
    began = time.monotonic()
    while True:
        try:
            if found := what():
                return found
        except (urllib.error.URLError, ConnectionError):
            pass
        if time.monotonic() - began > seconds:
            sys.exit("the server didn't come up or didn't train in time")
        time.sleep(0.2)


def prepared(base):
    """Something to ask about: a data set, a job that is over, a model."""
    until(lambda: ask(f"{base}/readyz")["ready"])
    dataset = ask(f"{base}/v1/datasets?name=toys", pictures(), "application/zip")["id"]
    until(lambda: ask(f"{base}/v1/datasets/{dataset}")["state"] == "ready")
    job = ask(f"{base}/v1/jobs", {"dataset": "toys", "model": "toys", "recipe": RECIPE})["id"]
    ended = until(lambda: (state := ask(f"{base}/v1/jobs/{job}")["state"]) in ("succeeded", "failed") and state)
    if ended != "succeeded":
        sys.exit(f"the job has {ended}")
    return {"dataset": dataset, "job": job}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--port", type=int, default=8097)
    options = parser.parse_args()
    base = f"http://127.0.0.1:{options.port}"
    with tempfile.TemporaryDirectory() as data:
        folder = ["--data-dir", data]
        make_key = [options.binary, "keys", "create", "--name", "contract", "--scope", "admin", *folder]
        # With a key, because the description says that one is needed: without, Schemathesis is to be refused.
        global KEY
        KEY = "Bearer " + subprocess.run(make_key, check=True, capture_output=True, text=True).stdout.strip()
        listen = ["--listen", f"127.0.0.1:{options.port}", "--auth", "required"]
        server = subprocess.Popen([options.binary, "serve", *listen, *folder, "--weights", options.weights])
        try:
            known = prepared(base)
            config = pathlib.Path(data) / "schemathesis.toml"
            text = (HERE / "schemathesis.toml").read_text()
            config.write_text(text.replace("DATASET", known["dataset"]).replace("JOB", known["job"]))
            command = [sys.executable, "-m", "schemathesis.cli", "--config-file", config, "run", f"{base}/openapi.json"]
            command += ["--checks", "all", "--max-time", options.seconds, "--seed", options.seed, "--continue-on-failure"]
            # Bodies that are archives or pictures are mostly not what is generated: that is known, and no fault.
            command += ["--suppress-health-check", "filter_too_much"]
            command += ["--header", f"Authorization: {KEY}"]
            tested = subprocess.run([str(part) for part in command]).returncode
            alive = server.poll() is None and ask(f"{base}/readyz")["ready"]
        finally:
            server.terminate()
            server.wait()
    sys.exit(tested or (0 if alive else "the server isn't ready any more"))


if __name__ == "__main__":
    main()
