#!/usr/bin/env python3
"""Train/serve parity: sends every validation picture of a model through its /predict route and compares with the report.

    scripts/parity.py MODEL [--address http://127.0.0.1:8080] [--tolerance 1e-3]

Prints the largest difference of a probability and how many labels agree; exits with 0 if all do, within the tolerance.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "demo"))
from client import Client

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("--address", default="http://127.0.0.1:8080")
parser.add_argument("--tolerance", type=float, default=1e-3)
args = parser.parse_args()

client = Client(args.address)
model = client.json(f"/v1/models/{args.model}")
version = client.json(f"/v1/models/{args.model}/versions/{model['default_version']}")
report = client.json(f"/v1/models/{args.model}/report")
dataset = version["dataset"]["id"]
worst, same = 0.0, 0
for stored in report["predictions"]:
    picture = client.request("GET", f"/v1/datasets/{dataset}/images/{stored['image']}").read()
    served = client.post(f"/v1/models/{args.model}/predict", picture, "application/octet-stream")["predictions"][0]
    same += served["label"] == stored["predicted"]
    pairs = zip(report["classes"], stored["probabilities"])
    worst = max(worst, max(abs(served["probabilities"][name] - p) for name, p in pairs))
total = len(report["predictions"])
print(f"{total} validation pictures, {version['precision']}: {same} labels agree, largest difference {worst:.2e}")
sys.exit(0 if same == total and worst <= args.tolerance else 1)
