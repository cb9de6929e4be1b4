"""Servers that answer predictions, event by event.

Each server does as `inference/` does: a house of `places`, 429 at once beyond it (admission.rs); what waits while a batch is computed
rides the next, at most `batch` of it, models in turns (batching.rs); a model that isn't in memory is loaded by one thread while batches
go on, and the least recently used goes (engine.rs, cache.rs). Requests bring one picture each; nobody gives up or asks again.
"""
import heapq
import itertools
import math
import random
from collections import OrderedDict
from typing import NamedTuple

from balancer import Balancer
from machines import Machine
from parameters import P

ARRIVE, JOIN, DONE, LOADED = range(4)


class Setup(NamedTuple):
    """So many servers of a kind behind a balancer (balancer.py)."""

    machine: Machine
    servers: int = 1
    balancer: str = "least"
    places: int = P.predict_requests
    batch: int = P.max_batch
    # How many models there are, and how many a server keeps in memory.
    models: int = 1
    kept: int = 1
    # The k-th most popular is asked 1/k^zipf as often as the first.
    zipf: float = P.zipf


class Result(NamedTuple):
    """What came of a load, after its beginning."""

    times: list
    refused: int
    utilisation: float
    seconds: float
    hits: float
    batch: float

    @property
    def rate(self):
        return len(self.times) / self.seconds

    @property
    def refused_share(self):
        return self.refused / max(1, self.refused + len(self.times))

    def percentile(self, share):
        return quantile(self.times, share)

    @property
    def mean(self):
        return sum(self.times) / max(1, len(self.times))


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))] if ordered else math.nan


class Server:
    __slots__ = ("batch", "began", "busy", "debt", "inside", "known", "loader_free", "loading", "queue", "waiting")

    def __init__(self):
        self.inside, self.busy, self.debt, self.began, self.loader_free = 0, False, 0.0, 0.0, 0.0
        self.queue, self.batch, self.waiting = [], [], []
        self.known, self.loading = OrderedDict(), set()


def in_turns(queue, most):
    """Which of those that wait ride: models take turns, within a model the oldest goes first."""
    turns, ranked = {}, []
    for place, (_, model) in enumerate(queue):
        turns[model] = turn = turns.get(model, 0) + 1
        ranked.append((turn, place))
    ranked.sort()
    return {place for _, place in ranked[:most]}


def simulate(setup, seconds, arrivals=None, clients=0, seed=1, begin=0.1):
    """Runs a load for so long: `arrivals(rate)` already bound to a rate and taking a source of chance, or `clients` that each wait for
    their answer and ask again. The share `begin` of the time is left out of the result."""
    return Simulation(setup, seconds, arrivals, clients, seed, begin).run()


class Simulation:
    def __init__(self, setup, seconds, arrivals, clients, seed, begin):
        self.setup, self.end, self.start, self.clients = setup, seconds, seconds * begin, clients
        self.chance = random.Random(seed)
        self.servers = [Server() for _ in range(setup.servers)]
        self.balancer = Balancer(setup, self.servers, self.chance)
        self.events, self.number = [], 0
        self.source = arrivals(self.chance) if arrivals else iter(())
        self.times, self.refused, self.work, self.batches, self.pictures = [], 0, 0.0, 0, 0
        self.found, self.missed = 0, 0
        weights = [1 / (k + 1) ** setup.zipf for k in range(setup.models)]
        total, self.shares = 0.0, []
        for weight in weights:
            total += weight
            self.shares.append(total)
        self.ranks = range(setup.models)
        if setup.models > 1:
            self.warm()

    def warm(self):
        """Every server begins with the most popular of the models that it is asked for: what follows from being cold isn't told."""
        for number, server in enumerate(self.servers):
            own = (m for m in self.ranks if self.setup.balancer != "model" or self.balancer.homes[m] == number)
            for model in reversed(list(itertools.islice(own, self.setup.kept))):
                server.known[model] = True

    def at(self, time, kind, server, what=None):
        self.number += 1
        heapq.heappush(self.events, (time, self.number, kind, server, what))

    def run(self):
        for _ in range(self.clients):
            self.at(0.0, ARRIVE, -1, True)
        self.next_arrival()
        act = [self.arrive, self.join, self.done, self.loaded]
        while self.events:
            time, _, kind, server, what = heapq.heappop(self.events)
            if time > self.end:
                break
            act[kind](time, server, what)
        seconds = self.end - self.start
        asked = self.found + self.missed
        return Result(self.times, self.refused, self.work / seconds / self.setup.servers, seconds,
                      self.found / asked if asked else 1.0, self.pictures / max(1, self.batches))

    def next_arrival(self):
        time = next(self.source, None)
        if time is not None:
            self.at(time, ARRIVE, -1, False)

    def model(self):
        if self.setup.models == 1:
            return 0
        return self.chance.choices(self.ranks, cum_weights=self.shares)[0]

    def arrive(self, now, _, is_client):
        if not is_client:
            self.next_arrival()
        model = self.model()
        number = self.balancer.choose(model)
        server = self.servers[number]
        machine = self.setup.machine
        if server.inside >= self.setup.places:
            server.debt += machine.refused
            self.refused += now >= self.start
            return
        self.balancer.moved(number, 1)
        if server.busy:
            server.debt += machine.admitted
        self.at(now + machine.path, JOIN, number, (now, model))

    def join(self, now, number, request):
        server, model = self.servers[number], request[1]
        if self.setup.models > 1 and not self.is_there(now, number, server, model):
            server.waiting.append(request)
            return
        server.queue.append(request)
        if not server.busy:
            self.begin(now, number, server)

    def is_there(self, now, number, server, model):
        if model in server.known:
            server.known.move_to_end(model)
            self.found += now >= self.start
            return True
        self.missed += now >= self.start
        if model not in server.loading:
            server.loading.add(model)
            server.loader_free = max(now, server.loader_free) + self.setup.machine.load
            self.at(server.loader_free, LOADED, number, model)
        return False

    def loaded(self, now, number, model):
        server = self.servers[number]
        server.loading.discard(model)
        server.known[model] = True
        if len(server.known) > self.setup.kept:
            server.known.popitem(last=False)
        server.queue += [request for request in server.waiting if request[1] == model]
        server.waiting = [request for request in server.waiting if request[1] != model]
        if server.busy:
            server.debt += self.setup.machine.load * self.setup.machine.load_share
        elif server.queue:
            self.begin(now, number, server)

    def begin(self, now, number, server):
        most, queue = self.setup.batch, server.queue
        if len(queue) <= most:
            server.batch, server.queue = queue, []
        elif self.setup.models == 1:
            server.batch, server.queue = queue[:most], queue[most:]
        else:
            riding = in_turns(queue, most)
            server.batch = [request for place, request in enumerate(queue) if place in riding]
            server.queue = [request for place, request in enumerate(queue) if place not in riding]
        server.busy, server.debt, server.began = True, 0.0, now
        self.at(now + self.batch_time(server.batch), DONE, number)

    def batch_time(self, batch):
        machine = self.setup.machine
        time = machine.fixed + machine.picture * len(batch)
        if self.setup.models > 1:
            time += machine.model * (len({model for _, model in batch}) - 1)
        if machine.shape == "exponential":
            return self.chance.expovariate(1 / time)
        if machine.noise == 0:
            return time
        return time * math.exp(self.chance.gauss(0.0, machine.noise) - machine.noise**2 / 2)

    def done(self, now, number, _):
        server = self.servers[number]
        if server.debt > 0:
            # The processors were elsewhere for so long meanwhile.
            late, server.debt = server.debt, 0.0
            self.at(now + late, DONE, number)
            return
        if now >= self.start:
            self.work += now - max(server.began, self.start)
            self.batches += 1
            self.pictures += len(server.batch)
            self.times += [now - asked for asked, _ in server.batch]
        for _ in server.batch:
            self.balancer.moved(number, -1)
            if self.clients:
                self.at(now, ARRIVE, -1, True)
        server.busy, server.batch = False, []
        if server.queue:
            self.begin(now, number, server)
