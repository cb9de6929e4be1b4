"""Checks deploy/kubernetes: each overlay is built, and looked at as the cluster would."""

import json
import re
import shutil
import tempfile
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

from common import grace, run, settings, unknown

# The oldest Kubernetes that the files are for, and the newest whose schemas there are.
KUBERNETES = ("1.31", "1.37")
# Secrets that the user makes by hand.
GIVEN = {"topgraft-metrics"}


def built(root, only):
    """Each overlay, and each component alone and all together on top of `cpu`: (name, documents or None, what kubectl said)."""
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "kubernetes"
        shutil.copytree(root / "deploy/kubernetes", base)
        for example in base.glob("overlays/*/*.env.example"):
            shutil.copy(example, example.with_suffix(""))
        components = sorted(path.name for path in base.glob("components/*"))
        for name, chosen in [(f"cpu with {c}", [c]) for c in components] + [("cpu with all", components)]:
            folder = base / "overlays" / name.replace(" ", "-")
            folder.mkdir()
            kustomization = {"namespace": "topgraft", "resources": ["../cpu"], "components": [f"../../components/{c}" for c in chosen]}
            if "keda" in chosen:
                options = {"disableNameSuffixHash": True}
                kustomization["secretGenerator"] = [{"name": "topgraft-keda", "literals": ["connection=x"], "options": options}]
            (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        for overlay in sorted(base.glob(f"overlays/{only}")):
            said = run("kubectl", "kustomize", str(overlay), root=root)
            documents = list(yaml.safe_load_all(said.stdout)) if said.returncode == 0 and not said.stderr else None
            yield overlay.name, documents, said.stderr.strip()


def valid(document, custom):
    """What the schemas say of it."""
    if document["kind"] in custom["kinds"]:
        schema = {"definitions": custom["definitions"], **custom["kinds"][document["kind"]]}
        for error in jsonschema.Draft202012Validator(schema).iter_errors(document):
            yield f"{error.json_path}: {error.message}"
        return
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"no schema: {error}"
        except kubernetes_validate.ValidationError as error:
            yield f"{'.'.join(map(str, error.path))}: {error.message} (Kubernetes {version})"


def pod_of(document):
    """The pod's metadata and specification, if it has one."""
    if document["kind"] == "Pod":
        return document["metadata"], document["spec"]
    template = document.get("spec", {}).get("template") if document["kind"] in ("Deployment", "Job") else None
    return (template["metadata"], template["spec"]) if template else None


def restricted(spec):
    """How a pod strays from the `restricted` standard for pods, and from a root that nobody writes to."""
    security = spec.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
        yield "may run as root"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    if spec.get("automountServiceAccountToken") is not False:
        yield "gets a token of the cluster"
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"has {field}"
    for volume in spec.get("volumes", []):
        if not {"emptyDir", "secret", "configMap"} & volume.keys():
            yield f"volume {volume['name']} is of a kind that isn't allowed"
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} has no limit"
    for container in spec["containers"] + spec.get("initContainers", []):
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{container['name']} may gain rights"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{container['name']} may write to its root"
        if "memory" not in container.get("resources", {}).get("limits", {}):
            yield f"{container['name']} has no memory limit"
        if not re.search(r"[^/]:[\w.-]+$|@sha256:", container["image"]):
            yield f"{container['name']}'s image {container['image']} has no version"


def references(spec):
    """The config maps and secrets that a pod doesn't start without."""
    for container in spec["containers"]:
        for source in container.get("envFrom", []):
            for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if field in source and not source[field].get("optional"):
                    yield kind, source[field]["name"]
        for variable in container.get("env", []):
            for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                reference = variable.get("valueFrom", {}).get(field)
                if reference and not reference.get("optional"):
                    yield kind, reference["name"]
    for volume in spec.get("volumes", []):
        if "secret" in volume and not volume["secret"].get("optional"):
            yield "Secret", volume["secret"]["secretName"]


def coherent(documents, known):
    """What fits the schemas one by one, and not each other."""
    names = {(d["kind"], d["metadata"]["name"]) for d in documents}
    pods = [(d, *pod_of(d)) for d in documents if pod_of(d)]
    for document in documents:
        kind, spec = document["kind"], document.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector"))
        labels = selector.get("matchLabels", {} if kind == "NetworkPolicy" else selector) if selector is not None else None
        if kind == "ServiceMonitor":
            chosen = [d for d in documents if d["kind"] == "Service" and labels.items() <= d["metadata"]["labels"].items()]
            ports = {port["name"] for d in chosen for port in d["spec"]["ports"]}
            if not chosen or any(endpoint["port"] not in ports for endpoint in spec["endpoints"]):
                yield f"{kind}: no service has what it asks for"
        elif labels is not None and not any(labels.items() <= metadata["labels"].items() for _, metadata, _ in pods):
            yield f"{kind} {document['metadata']['name']}: its selector finds no pod"
        target = spec.get("scaleTargetRef")
        if target:
            scaled = [d for d in documents if d["kind"] == "Deployment" and d["metadata"]["name"] == target["name"]]
            if not scaled or "replicas" in scaled[0]["spec"]:
                yield f"{kind}: {target['name']} isn't there, or has a number of replicas of its own"
        for trigger in spec.get("triggers", []):
            if ("TriggerAuthentication", trigger["authenticationRef"]["name"]) not in names:
                yield f"{kind}: no {trigger['authenticationRef']['name']}"
        for secret in spec.get("secretTargetRef", []):
            if ("Secret", secret["name"]) not in names:
                yield f"{kind}: no secret {secret['name']}"
        for endpoint in spec.get("endpoints", []):
            if "authorization" in endpoint and endpoint["authorization"]["credentials"]["name"] not in GIVEN:
                yield f"{kind}: nobody is told to make the secret"
        if kind in ("ConfigMap", "Secret"):
            yield from (f"{kind}: {problem}" for problem in unknown(document.get("data", {}), known))
    for document, metadata, spec in pods:
        where = f"{document['kind']} {document['metadata']['name']}"
        yield from (f"{where}: {problem}" for problem in restricted(spec))
        for kind, name in references(spec):
            if (kind, name) not in names:
                yield f"{where}: there is no {kind} {name}"
        variables = {v["name"]: v.get("value", "0") for c in spec["containers"] for v in c.get("env", [])}
        yield from (f"{where}: {problem}" for problem in unknown(variables, known))
        if document["kind"] == "Deployment":
            yield from (f"{where}: {p}" for p in grace(variables, spec.get("terminationGracePeriodSeconds", 30)))


def kubernetes(root, only="*"):
    custom = yaml.safe_load((root / "tests/deploy/custom-resources.yaml").read_text())
    known = settings(root)
    for name, documents, said in built(root, only):
        if documents is None:
            yield f"{name}: kustomize: {said}"
            continue
        for document in documents:
            where = f"{name}: {document['kind']} {document['metadata'].get('name')}"
            yield from (f"{where}: {problem}" for problem in valid(document, custom))
        yield from (f"{name}: {problem}" for problem in coherent(documents, known))
        server = next(d for d in documents if d["metadata"]["name"] == "topgraft-server" and d["kind"] == "Deployment")
        printed = run("deploy/kubernetes/run.sh", "--print", root=root, input=json.dumps(server))
        if printed.returncode:
            yield f"run.sh: {printed.stderr}"
            continue
        pod = json.loads(printed.stdout)
        yield from (f"run.sh: {problem}" for problem in [*valid(pod, custom), *restricted(pod["spec"])])
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "server":
            yield "run.sh: its pod would get requests"
