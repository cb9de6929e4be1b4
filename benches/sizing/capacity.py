"""How many servers a load needs: the simulation, asked again and again."""
import math

from parameters import P
from serving import simulate
from traffic import bursts, steady

# Requests of a simulation, and seconds that it lasts at least: long enough for queues to grow that do.
REQUESTS = 100_000
SECONDS = 60


def trial(setup, rate, traffic, requests=REQUESTS, seed=1):
    """A load on these servers, after a time in which queues form."""
    seconds = max(SECONDS, requests / rate)
    return simulate(setup, seconds, lambda chance: traffic(rate, chance), seed=seed, begin=0.25 if traffic is steady else 0.0)


def meets(result):
    return result.percentile(99) <= P.target_p99 and result.refused_share <= P.target_refused


def servers_needed(setup, rate, traffic=steady):
    """The fewest servers that meet the aim (of hundreds, within a two-hundredth), and what came of the load on them."""
    low = math.ceil(rate / setup.machine.capacity) - 1
    high, step, result = low, 1, None
    while True:
        high += step
        result = trial(setup._replace(servers=high), rate, traffic)
        if meets(result):
            break
        low, step = high, max(2 * step, high // 50)
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        found = trial(setup._replace(servers=middle), rate, traffic)
        low, high, result = (low, middle, found) if meets(found) else (middle, high, result)
    return high, result


def most_of_one(setup, traffic=steady):
    """The most predictions a second that one server takes within the aim, to a fiftieth."""
    low, high = 0.0, setup.machine.capacity
    if not meets(trial(setup._replace(servers=1), 0.02 * high, traffic)):
        return 0.0
    while high - low > setup.machine.capacity / 50:
        middle = (low + high) / 2
        low, high = (middle, high) if meets(trial(setup._replace(servers=1), middle, traffic)) else (low, middle)
    return low
