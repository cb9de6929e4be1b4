"""Load on a server: so many clients that each wait for their answer, or requests at a rate whatever the answers do."""
import collections
import http.client
import random
import threading
import time

import picture_body

__all__ = ["Result", "closed", "opened", "percentile", "picture_body"]

# Threads that send requests at a rate: more than can be inside the server at once.
SENDERS = 400


class Result:
    """What came of a load."""

    def __init__(self):
        self.latencies, self.statuses, self.seconds = [], collections.Counter(), 0.0

    def __iadd__(self, more):
        self.latencies += more.latencies
        self.statuses += more.statuses
        self.seconds += more.seconds
        return self

    @property
    def rate(self):
        return self.statuses[200] / self.seconds

    def times(self):
        return ", ".join(f"p{p} {percentile(self.latencies, p):.0f} ms" for p in (50, 95, 99))

    def failed(self):
        others = {status: count for status, count in sorted(self.statuses.items(), key=str) if status != 200}
        return f"200: {self.statuses[200]}" + "".join(f", {status}: {count}" for status, count in others.items())


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)] if ordered else float("nan")


def post(connection, address, picture):
    connection.request("POST", address, picture, {"content-type": "image/jpeg"})
    response = connection.getresponse()
    response.read()
    return response.status


def run(act, threads):
    """Has so many threads act, each with its number, and waits for them; the seconds that it took."""
    began = time.monotonic()
    running = [threading.Thread(target=act, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return time.monotonic() - began


def closed(service, addresses, pictures, clients, seconds):
    """Clients that send the next request when they have their answer."""
    result, lock, end = Result(), threading.Lock(), time.monotonic() + seconds

    def client(number):
        choose, connection = random.Random(number), http.client.HTTPConnection(service.host)
        while time.monotonic() < end:
            sent = time.monotonic()
            status = post(connection, choose.choice(addresses), choose.choice(pictures))
            with lock:
                result.statuses[status] += 1
                if status == 200:
                    result.latencies.append(1000 * (time.monotonic() - sent))

    result.seconds = run(client, clients)
    return result


def opened(service, address, pictures, rate, seconds):
    """Requests at a rate; each is timed from when it should have been sent, so a late sender flatters nothing."""
    result, lock, began = Result(), threading.Lock(), time.monotonic()
    due = iter([began + number / rate for number in range(int(rate * seconds))])

    def sender(number):
        choose, connection = random.Random(number), http.client.HTTPConnection(service.host)
        while True:
            with lock:
                at = next(due, None)
            if at is None:
                return
            time.sleep(max(0.0, at - time.monotonic()))
            try:
                status = post(connection, address, choose.choice(pictures))
            except (OSError, http.client.HTTPException) as error:
                status, connection = type(error).__name__, http.client.HTTPConnection(service.host)
            with lock:
                result.statuses[status] += 1
                if status == 200:
                    result.latencies.append(1000 * (time.monotonic() - at))

    result.seconds = run(sender, min(SENDERS, int(rate * 4) + 1))
    return result
