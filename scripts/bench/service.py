"""A server for a benchmark."""
import http.client
import json
import pathlib
import subprocess
import time


class Service:
    """Runs until the block that it is used in is left."""

    def __init__(self, binary, weights, data, workers):
        self.command = [binary, "serve", "--listen", "127.0.0.1:0", "--workers", str(workers), "--data-dir", str(data), "--weights", weights]
        self.log = pathlib.Path(f"{data}.log")

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log.open("a"), text=True)
        line = self.process.stdout.readline().strip()
        if not line.startswith("listening on http://"):
            self.process.kill()
            raise RuntimeError(f"the server didn't start: {self.log.read_text()[-2000:]}")
        self.host = line.removeprefix("listening on http://")
        while self.request("GET", "/readyz")[0] != 200:
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=60)

    def request(self, method, address, body=None, media_type="application/json"):
        connection = http.client.HTTPConnection(self.host)
        connection.request(method, address, body, {"content-type": media_type} if body else {})
        response = connection.getresponse()
        return response.status, response.read()

    def json(self, method, address, body=None, media_type="application/json"):
        status, text = self.request(method, address, body, media_type)
        if status >= 400:
            raise RuntimeError(f"{method} {address}: {status} {text.decode()}")
        return json.loads(text)

    def post(self, address, picture):
        return self.json("POST", address, picture, "image/jpeg")

    def upload(self, name, archive):
        self.json("POST", f"/v1/datasets?name={name}", archive, "application/zip")
        while (dataset := self.json("GET", f"/v1/datasets/{name}"))["state"] == "ingesting":
            time.sleep(0.1)
        if dataset["state"] != "ready":
            raise RuntimeError(f"the data set: {dataset}")

    def train(self, dataset, model, recipe):
        return self.json("POST", "/v1/jobs", json.dumps({"dataset": dataset, "model": model, "recipe": recipe}))["id"]

    def until(self, job, phase):
        """Waits until the job is in a phase, or has succeeded if none is given."""
        while True:
            state = self.json("GET", f"/v1/jobs/{job}")
            if phase and (state.get("progress") or {}).get("phase") == phase or not phase and state["state"] == "succeeded":
                return
            if state["state"] in ("succeeded", "failed", "cancelled"):
                raise RuntimeError(f"the job ended before {phase}: {state}")
            time.sleep(0.1)

    def stream(self, address, archive):
        """Has a zip's pictures classified; how many answers came, and the last line."""
        connection = http.client.HTTPConnection(self.host)
        connection.request("POST", address, archive, {"content-type": "application/zip"})
        lines = [json.loads(line) for line in connection.getresponse()]
        return sum("label" in line for line in lines), lines[-1]

    def workers(self):
        """Process ids of its workers."""
        parent, found = f"PPid:\t{self.process.pid}\n", []
        for status in pathlib.Path("/proc").glob("[0-9]*/status"):
            try:
                if parent in status.read_text():
                    found.append(int(status.parent.name))
            except OSError:
                pass  # It has ended meanwhile.
        return found

    def memory(self, what):
        """Bytes of memory that the server has (VmRSS), or had at most (VmHWM)."""
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))
