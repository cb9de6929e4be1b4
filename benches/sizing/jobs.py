"""Workers that train, event by event.

Jobs come at random and wait for a worker, the oldest first, as the claim in `store/jobs/queue.rs` has it; a worker has one at a time. A
job may come in shards that any idle worker takes, and a rest that waits for all of them. While other jobs wait nobody is idle, and a job
is one piece.
"""
import heapq
import random
from typing import NamedTuple

ARRIVE, ENDED = range(2)


class Job(NamedTuple):
    """Seconds of each shard, and of what follows them."""

    shards: list
    rest: float


class Result(NamedTuple):
    """Seconds until each job began, and until it was over."""

    waits: list
    spans: list


def simulate(workers, rate, draw, count, seed=1, begin=0.1):
    """`count` jobs at `rate` a second, each `draw(chance)`; the share `begin` of them is left out of the result. With a rate of None all
    come at once."""
    chance = random.Random(seed)
    events, now = [], 0.0
    for number in range(count):
        now += chance.expovariate(rate) if rate else 0.0
        # Ends come before arrivals of the same moment, so that a worker is free.
        heapq.heappush(events, (now, 1, number, ARRIVE))
    arrived, began, ended, jobs, left = [0.0] * count, [None] * count, [None] * count, [None] * count, [0] * count
    # Pieces that wait, the oldest job's first.
    waiting, free = [], workers
    while events:
        time, _, number, kind = heapq.heappop(events)
        if kind == ARRIVE:
            arrived[number], jobs[number] = time, draw(chance)
            left[number] = len(jobs[number].shards)
            pieces = jobs[number].shards or [jobs[number].rest]
            for piece, seconds in enumerate(pieces):
                heapq.heappush(waiting, (number, piece, seconds))
        else:
            free += 1
            left[number] -= 1
            if left[number] == 0 and jobs[number].rest > 0:
                heapq.heappush(waiting, (number, 0, jobs[number].rest))
            elif left[number] <= 0:
                ended[number] = time
        while free and waiting:
            number, _, seconds = heapq.heappop(waiting)
            free -= 1
            began[number] = time if began[number] is None else began[number]
            heapq.heappush(events, (time + seconds, 0, number, ENDED))
    measured = range(int(count * begin), count)
    waits = [began[number] - arrived[number] for number in measured]
    return Result(waits, [ended[number] - arrived[number] for number in measured])
