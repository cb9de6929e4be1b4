"""A small client of topgraft's HTTP API, standard library only."""
import json
import sys
import urllib.error
import urllib.request


class Client:
    def __init__(self, address):
        self.address = address

    def request(self, method, path, body=None, **headers):
        """The open response; a problem+json answer ends the program with what it says."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.address + path, data=body, method=method, headers=headers)
        try:
            return urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}")

    def get(self, path, **headers):
        return self.request("GET", path, **headers).read().decode()

    def json(self, path):
        return json.loads(self.get(path))

    def post(self, path, body, content_type):
        return json.load(self.request("POST", path, body, content_type=content_type))

    def events(self, path, last=0):
        """Server-sent events as (id, kind, data). Resumes after `last`."""
        fields = {}
        for line in self.request("GET", path, last_event_id=str(last)):
            line = line.decode().rstrip("\r\n")
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            elif "data" in fields:
                yield int(fields.get("id", 0)), fields.get("event", "message"), json.loads(fields["data"])
                fields = {}
