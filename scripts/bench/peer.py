"""Times another implementation of the two-phase recipe: peer.py SCRIPT --dataset FOLDER|ZIP --body ONNX.

SCRIPT is called with --dataset, --body, --warmup and --finetune and prints lines such as `warm-up epoch 1: 230.5 s`. Two epochs of
each phase are run, or --epochs; the last of each counts, and 25 + 100 of them are what the whole recipe would take.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

LINE = re.compile(r"(warm-up|fine-tune) epoch \d+: ([0-9.]+) s")
EPOCHS = {"warm-up": 25, "fine-tune": 100}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("script", type=pathlib.Path)
    parser.add_argument("--dataset", type=pathlib.Path, required=True)
    parser.add_argument("--body", type=pathlib.Path, required=True)
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        seconds = run(args, pictures(args.dataset, pathlib.Path(work)))
    missing = EPOCHS.keys() - seconds.keys()
    if missing:
        sys.exit(f"{args.script} printed no time of a {' or '.join(sorted(missing))} epoch")
    whole = sum(EPOCHS[phase] * seconds[phase] for phase in EPOCHS)
    print(f"peer: a warm-up epoch {seconds['warm-up']:.1f} s, a fine-tune epoch {seconds['fine-tune']:.1f} s")
    print(f"peer: the whole of 25 + 100 epochs: {whole:.0f} s (from these figures)")


def pictures(dataset, work):
    """A folder of class folders, whatever was given."""
    if dataset.is_dir():
        return dataset
    with zipfile.ZipFile(dataset) as archive:
        archive.extractall(work)
    inner = [path for path in work.iterdir() if path.is_dir()]
    return inner[0] if len(inner) == 1 else work


def run(args, folder):
    command = [sys.executable, args.script, "--dataset", folder, "--body", args.body]
    command += ["--warmup", str(args.epochs), "--finetune", str(args.epochs)]
    seconds = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(f"  {line}", end="", flush=True)
            if found := LINE.match(line):
                seconds[found[1]] = float(found[2])
    if process.returncode:
        sys.exit(f"{args.script} ended with {process.returncode}")
    return seconds


main()
