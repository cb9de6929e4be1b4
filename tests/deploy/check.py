"""Checks the files that deploy topgraft: docker/, deploy/kubernetes/ and the shell scripts.

    python3 check.py           what is wrong, one line each
    python3 check.py --prove   breaks a copy in many ways; each must be found

Needs kubectl, docker-compose, hadolint and shellcheck on the PATH; `scripts/deploy.sh` gets them.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from cluster import kubernetes
from common import run
from containers import compose

ROOT = Path(__file__).resolve().parents[2]


def files(root):
    said = run("hadolint", "docker/Dockerfile", root=root)
    if said.returncode:
        yield f"hadolint: {said.stdout}{said.stderr}".strip()
    scripts = [str(path.relative_to(root)) for folder in ("scripts", "docker", "deploy") for path in sorted((root / folder).rglob("*.sh"))]
    said = run("shellcheck", "--severity", "warning", ".ci/run", *scripts, root=root)
    if said.returncode:
        yield f"shellcheck: {said.stdout}{said.stderr}".strip()
    source = "".join(path.read_text() for path in (root / "src").rglob("*.rs"))
    metrics = set(re.findall(r'"(topgraft_[a-z_]+)"', source))
    for metric in sorted(set(re.findall(r"\btopgraft_[a-z_]+", (root / "docker/grafana/topgraft.json").read_text()))):
        if metric not in metrics and re.sub("_(bucket|sum|count)$", "", metric) not in metrics:
            yield f"dashboard: topgraft has no metric {metric}"


CHECKS = {"kubernetes": kubernetes, "compose": compose, "files": files}
# What is enough to find a breakage: the overlay that has everything.
QUICKLY = CHECKS | {"kubernetes": lambda root: kubernetes(root, only="gpu")}

# (the check that must find it, the file, what is there, what comes in its place, what must be said)
BREAKAGES = [
    ("kubernetes", "deploy/kubernetes/base/server.yaml", "terminationGracePeriodSeconds: 45", "terminationGracePeriodSecond: 45", "terminationGracePeriodSecond"),
    ("kubernetes", "deploy/kubernetes/base/server.yaml", "terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 30", "30 s are needed"),
    ("kubernetes", "deploy/kubernetes/base/server.yaml", "maxReplicas: 8", 'maxReplicas: "8"', "maxReplicas"),
    ("kubernetes", "deploy/kubernetes/base/server.yaml", "    app.kubernetes.io/component: server\n  ports:", "    app.kubernetes.io/component: serve\n  ports:", "selector finds no pod"),
    ("kubernetes", "deploy/kubernetes/base/server.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "write to its root"),
    ("kubernetes", "deploy/kubernetes/base/server.yaml", "TOPGRAFT_LAME_DUCK_MS\n", "TOPGRAFT_LAMEDUCK_MS\n", "no setting TOPGRAFT_LAMEDUCK_MS"),
    ("kubernetes", "deploy/kubernetes/base/worker.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "may run as root"),
    ("kubernetes", "deploy/kubernetes/base/kustomization.yaml", "  - worker.yaml", "  - workers.yaml", "kustomize"),
    ("kubernetes", "deploy/kubernetes/components/keda/scaled-object.yaml", "pollingInterval", "pollInterval", "pollInterval"),
    ("kubernetes", "deploy/kubernetes/components/keda/kustomization.yaml", "path: /spec/replicas", "path: /spec/strategy", "replicas of its own"),
    ("kubernetes", "deploy/kubernetes/components/prometheus/service-monitor.yaml", "port: http", "port: metrics", "no service has"),
    ("kubernetes", "deploy/kubernetes/overlays/gpu/kustomization.yaml", "  - name: topgraft-keda", "  - name: topgraft-queue", "no secret topgraft-keda"),
    ("compose", "docker/compose.yaml", "healthcheck: {disable: true}", "healthcheck: {disabled: true}", "disabled"),
    ("compose", "docker/compose.yaml", "    profiles: [gpu]\n", "", "starts topgraft, topgraft-gpu"),
    ("compose", "docker/.env", "COMPOSE_PROFILES=single", "COMPOSE_PROFILES=", "profile none: starts"),
    ("compose", "docker/compose.yaml", "target: cuda", "target: gpu", "no target gpu"),
    ("compose", "docker/compose.yaml", "127.0.0.1:3000:3000", "3000:3000", "open to other machines"),
    ("compose", "docker/compose.yaml", "./prometheus.yml", "./prometheus.yaml", "isn't there"),
    ("compose", "docker/compose.yaml", "TOPGRAFT_WORKERS:", "TOPGRAFT_WORKER:", "no setting TOPGRAFT_WORKER"),
    ("compose", "docker/compose.yaml", "${SERVERS:-2}", "${SERVERS}", "SERVERS"),
    ("files", "docker/Dockerfile", "WORKDIR /src\n", "RUN cd /src\n", "hadolint"),
    ("files", "docker/secrets.sh", 'cd "$(dirname "$0")"', "cd $(dirname $0)", "shellcheck"),
    ("files", "docker/grafana/topgraft.json", "topgraft_queue_pictures", "topgraft_queued_pictures", "topgraft_queued_pictures"),
]


def prove():
    """Whether each breakage is found."""
    unfound = 0
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        for name in ("docker", "deploy", "scripts", ".ci", "src", "tests/deploy"):
            shutil.copytree(ROOT / name, copy / name)
        for check, file, old, new, words in BREAKAGES:
            whole = (copy / file).read_text()
            assert old in whole, f"{file} has no {old!r} to break"
            (copy / file).write_text(whole.replace(old, new, 1))
            found = [problem for problem in QUICKLY[check](copy) if words in problem]
            (copy / file).write_text(whole)
            if not found:
                print(f"NOT FOUND: {file}: {old!r} -> {new!r}")
                unfound += 1
    print(f"{len(BREAKAGES) - unfound} of {len(BREAKAGES)} breakages found")
    return unfound


def main():
    if sys.argv[1:] == ["--prove"]:
        return 1 if prove() else 0
    problems = [problem for check in CHECKS.values() for problem in check(ROOT)]
    print("\n".join(dict.fromkeys(problems)) or "the deployment files are right")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
