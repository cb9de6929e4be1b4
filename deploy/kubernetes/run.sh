#!/usr/bin/env bash
# Runs topgraft's command line in the cluster, with the servers' image, settings and secrets:
#   deploy/kubernetes/run.sh keys create --name admin --scope admin
# In a pod of its own, since servers don't start before there is a key. What the command prints comes here and to no log.
# NAMESPACE=… for another namespace than topgraft.
set -euo pipefail
kubectl=(kubectl --namespace "${NAMESPACE:-topgraft}")
name=topgraft-command-$RANDOM

# The pod of the deployment on standard input, but idle: it takes part in nothing and ends by itself.
pod() {
    python3 -c '
import json, sys
template = json.load(sys.stdin)["spec"]["template"]
spec, container = template["spec"], template["spec"]["containers"][0]
for field in ("args", "ports", "startupProbe", "livenessProbe", "readinessProbe"):
    container.pop(field, None)
spec.pop("topologySpreadConstraints", None)
resources = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "4Gi"}}
container.update(name="command", command=["sleep", "600"], resources=resources)
spec.update(restartPolicy="Never", activeDeadlineSeconds=600, terminationGracePeriodSeconds=1)
labels = {"app.kubernetes.io/name": "topgraft", "app.kubernetes.io/component": "command"}
metadata = {"name": sys.argv[1], "labels": labels}
print(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
' "$name"
}

# For the check of these files, which has no cluster.
if [ "${1:-}" = --print ]; then
    pod
    exit
fi
"${kubectl[@]}" get deployment topgraft-server --output json | pod | "${kubectl[@]}" create --filename - >&2
trap '"${kubectl[@]}" delete pod "$name" --wait=false >&2' EXIT
"${kubectl[@]}" wait "pod/$name" --for=condition=Ready --timeout=300s >&2
"${kubectl[@]}" exec "$name" -- topgraft "$@"
