"""Runs HAProxy with docker/haproxy.cfg before servers that are a few lines each, and looks at what it does to their traffic.

    python3 tests/deploy/proxy.py [HAPROXY]

Only addresses of this machine are put in the configuration's place: ports, and a name server that knows `server` as 127.0.0.2 and
so on, as Docker's knows a service by the addresses of its containers.
"""

import http.client
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONFIGURATION = Path(__file__).resolve().parents[2] / "docker/haproxy.cfg"
HAPROXY = "haproxy"
GIB = 1 << 30


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]


def until(condition, seconds=10):
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


class Names(threading.Thread):
    """A name server that answers every question with the addresses of the servers that there are."""

    def __init__(self):
        super().__init__(daemon=True)
        self.addresses = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            query, client = self.socket.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            answers = self.addresses if query[end - 4 : end - 2] == b"\0\1" else []
            head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(answers), 0, 0) + query[12:end]
            records = [b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 1, 4) + socket.inet_aton(a) for a in answers]
            self.socket.sendto(head + b"".join(records), client)


class Server(ThreadingHTTPServer):
    """What of topgraft a proxy sees: readiness, an answer, an upload, a stream."""

    daemon_threads = True

    def __init__(self, address, port):
        super().__init__((address, port), Handler)
        self.address = address
        self.ready = True
        self.declared = 0
        self.received = 0
        self.cut = 0
        self.tell = threading.Semaphore(0)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, *_):
        """Connections that the proxy drops are no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/readyz":
            return self.answer(200 if self.server.ready else 503)
        if self.path != "/events":
            return self.answer(200, self.server.address.encode())
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("x-server", self.server.address)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        # An event for each time that the test says so.
        while self.server.tell.acquire(timeout=20):
            self.wfile.write(b"6\r\ndata\n\n\r\n")

    def do_POST(self):
        if self.path == "/cut":
            self.server.cut += 1
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        self.server.declared = int(self.headers["content-length"])
        left = self.server.declared
        while left and (some := self.rfile.read1(min(left, 1 << 16))):
            left -= len(some)
            self.server.received += len(some)
        if not left:
            self.answer(202, b"whole")


class Proxy(unittest.TestCase):
    def setUp(self):
        self.names = Names()
        self.server_port, self.port, self.own = free_port(), free_port(), free_port()
        self.servers = [self.start_server("127.0.0.2"), self.start_server("127.0.0.3")]
        text = CONFIGURATION.read_text()
        for old, new in [
            ("127.0.0.11:53", f"127.0.0.1:{self.names.port}"),
            ("bind :8080", f"bind 127.0.0.1:{self.port}"),
            ("bind :8405", f"bind 127.0.0.1:{self.own}"),
            (" server:8080 ", f" server:{self.server_port} "),
        ]:
            self.assertEqual(text.count(old), 1, old)
            text = text.replace(old, new)
        file = tempfile.NamedTemporaryFile("w", suffix=".cfg")
        self.addCleanup(file.close)
        file.write(text)
        file.flush()
        said = subprocess.run([HAPROXY, "-c", "-f", file.name], capture_output=True, text=True)
        self.assertEqual((said.returncode, re.findall(r"\[(?:WARNING|ALERT)\].*", said.stderr)), (0, []), said.stderr)
        self.proxy = subprocess.Popen([HAPROXY, "-db", "-f", file.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.proxy.wait)
        self.addCleanup(self.proxy.kill)
        self.assertTrue(until(lambda: self.reached(20) == {"127.0.0.2", "127.0.0.3"}))

    def start_server(self, address):
        server = Server(address, self.server_port)
        self.names.addresses.append(address)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def connect(self, port=None):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=15)
        self.addCleanup(connection.close)
        return connection

    def status(self, path, port=None):
        try:
            connection = self.connect(port)
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return None

    def reached(self, requests):
        """The servers that answer so many requests."""
        found = set()
        for _ in range(requests):
            try:
                connection = self.connect()
                connection.request("GET", "/")
                response = connection.getresponse()
                found.add(response.read().decode() if response.status == 200 else response.status)
                connection.close()
            except OSError as error:
                found.add(type(error).__name__)
        return found

    def test_events_pass_as_they_come(self):
        connection = self.connect()
        connection.request("GET", "/events")
        response = connection.getresponse()
        for _ in range(3):
            # The next is made only once this one is here.
            for server in self.servers:
                server.tell.release()
            self.assertEqual(response.readline() + response.readline(), b"data\n\n")

    def test_an_upload_passes_as_it_comes_and_may_be_of_16_gib(self):
        connection = self.connect()
        connection.putrequest("POST", "/v1/datasets")
        connection.putheader("content-length", str(16 * GIB))
        connection.endheaders()
        part = b"x" * (8 << 20)
        connection.send(part)
        self.assertTrue(until(lambda: sum(s.received for s in self.servers) == len(part)))
        self.assertEqual(sum(s.declared for s in self.servers), 16 * GIB)

    def test_a_whole_upload_is_answered(self):
        connection = self.connect()
        connection.request("POST", "/v1/datasets", body=b"x" * (4 << 20))
        self.assertEqual(connection.getresponse().read(), b"whole")

    def test_who_is_not_ready_gets_nothing_new_and_ends_what_it_has(self):
        # A stream at each, so that both have as much to do.
        streams = {}
        for _ in self.servers:
            connection = self.connect()
            connection.request("GET", "/events")
            response = connection.getresponse()
            streams[response.getheader("x-server")] = response
        leaving, staying = self.servers
        leaving.ready = False
        # Compose gives a server that stops 6 s, in which it answers as before.
        time.sleep(5.8)
        self.assertEqual(self.reached(20), {staying.address})
        leaving.tell.release()
        stream = streams[leaving.address]
        self.assertEqual(stream.readline() + stream.readline(), b"data\n\n")
        leaving.ready = True
        self.assertTrue(until(lambda: self.reached(20) == {leaving.address, staying.address}))

    def test_a_new_container_is_found(self):
        self.start_server("127.0.0.4")
        self.assertTrue(until(lambda: "127.0.0.4" in self.reached(20), 15))

    def test_nobody_ready_is_said(self):
        for server in self.servers:
            server.ready = False
        self.assertTrue(until(lambda: self.status("/healthz", self.own) == 503, 15))
        self.assertEqual(self.reached(1), {503})

    def test_a_request_that_reached_a_server_is_not_sent_to_another(self):
        connection = self.connect()
        connection.request("POST", "/cut", body=b"{}")
        self.assertEqual(connection.getresponse().status, 502)
        self.assertEqual(sum(server.cut for server in self.servers), 1)

    def test_its_own_numbers(self):
        self.assertEqual(self.status("/metrics", self.own), 200)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        HAPROXY = sys.argv.pop(1)
    unittest.main()
