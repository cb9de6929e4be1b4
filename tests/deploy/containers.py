"""Checks docker/: what Compose makes of each profile."""

import json
import re
import shutil
import tempfile
from pathlib import Path

from common import grace, run, settings, unknown

# What `up` starts, by profile.
SERVICES = {
    None: {"topgraft"},
    "gpu": {"topgraft-gpu"},
    "scale": {"server", "worker", "proxy", "database", "store", "prometheus", "grafana"},
}
# Nothing there that could be asked.
UNASKED = {"worker"}


def compose(root):
    known = settings(root)
    stages = re.findall(r"^FROM .* AS (\S+)$", (root / "docker/Dockerfile").read_text(), re.MULTILINE)
    if stages[-1] != "cpu":
        yield "Dockerfile: `cpu` must come last, as it is what is built when nothing is asked for"
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        shutil.copytree(root / "docker", copy / "docker", ignore=lambda *_: ["secrets"])
        config = ["docker-compose", "--file", "docker/compose.yaml"]
        missing = run(*config, "--profile", "scale", "config", "--quiet", root=copy)
        if missing.returncode == 0 or "secrets/" not in missing.stderr:
            yield f"compose: without docker/secrets, `scale` must be refused by name: {missing.stderr}"
        for profile, services in SERVICES.items():
            where = f"compose, profile {profile or 'none'}"
            if profile == "scale":
                made = run("docker/secrets.sh", root=copy)
                if made.returncode:
                    yield f"secrets.sh: {made.stderr}"
            chosen = ["--profile", profile] if profile else []
            said = run(*config, *chosen, "config", "--format", "json", root=copy)
            # What Compose only warns of (a variable that isn't set, say) is wrong, too.
            if said.returncode or said.stderr:
                yield f"{where}: {said.stderr.strip()}"
                continue
            project = json.loads(said.stdout)
            if set(project["services"]) != services:
                yield f"{where}: starts {', '.join(sorted(project['services']))}"
            taken = [p["published"] for s in project["services"].values() for p in s.get("ports", [])]
            if len(taken) != len(set(taken)):
                yield f"{where}: two services on one port"
            for name, service in project["services"].items():
                yield from (f"{where}: {name}: {problem}" for problem in hardened(service, name, known, stages, copy))


def hardened(service, name, known, stages, copy):
    if service.get("read_only") is not True or service.get("cap_drop") != ["ALL"]:
        yield "may write to its root, or has capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "may gain rights"
    image = service.get("image")
    if image and (not re.search(r":[\w.-]+$|@sha256:", image) or image.endswith(":latest")):
        yield f"the image {image} has no version"
    if bool(image) == ("build" in service):
        yield "has an image and is built as well, or neither"
    # topgraft's image has its own.
    if "build" not in service and "test" not in service.get("healthcheck", {}):
        yield "isn't checked"
    if (name in UNASKED) != bool(service.get("healthcheck", {}).get("disable")):
        yield "is checked though nothing answers there, or the other way round"
    for port in service.get("ports", []):
        if port.get("host_ip") != "127.0.0.1":
            yield "is open to other machines"
    for volume in service.get("volumes", []):
        source = Path(volume.get("source", "/"))
        if volume["type"] == "bind" and not (source.is_relative_to(copy / "docker") and source.exists()):
            yield f"mounts {source}, which isn't there"
    environment = service.get("environment", {})
    yield from unknown(environment, known)
    if "build" in service:
        if service["build"].get("target") not in stages:
            yield f"the Dockerfile has no target {service['build'].get('target')}"
        yield from grace(environment, int(service["stop_grace_period"].rstrip("s").replace("1m", "60") or 0))
