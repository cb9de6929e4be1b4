"""What queueing theory says, to hold the simulation against."""
import math


def mm1(rate, service):
    """M/M/1: the mean time in the system, and the 99th percentile of it, which is exponential."""
    mean = service / (1 - rate * service)
    return mean, mean * math.log(100)


def md1(rate, service):
    """M/D/1: the mean time in the system (Pollaczek and Khinchine)."""
    load = rate * service
    return service + load * service / (2 * (1 - load))


def mg1(rate, mean, square):
    """M/G/1: the mean wait, from the service time's mean and mean square."""
    return rate * square / (2 * (1 - rate * mean))


def mm1k(rate, service, places):
    """M/M/1/K: the share that is refused, and the mean time of those who aren't."""
    load = rate * service
    shares = [load**n for n in range(places + 1)]
    total = sum(shares)
    refused = shares[-1] / total
    inside = sum(n * share for n, share in enumerate(shares)) / total
    return refused, inside / (rate * (1 - refused))


def erlang_c(rate, service, servers):
    """M/M/c: the share that waits, and the mean wait."""
    load = rate * service
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = load * blocked / (n + load * blocked)
    waits = blocked / (1 - load / servers * (1 - blocked))
    return waits, waits * service / (servers - load)


def bulk(rate, service, most):
    """M/M(1,b)/1: up to `most` that wait are served together, in an exponential time that their number doesn't change; who comes
    meanwhile waits for the next. The mean time in the system (Medhi 1975).

    While the server is busy, n wait with a probability that is geometric in the root r in (0, 1) of μ r^(b+1) − (λ + μ) r + λ.
    """
    served = 1 / service
    low, high = 0.0, 1 - 1e-12
    for _ in range(200):
        # Positive at 0, negative before the root at 1.
        middle = (low + high) / 2
        if served * middle ** (most + 1) - (rate + served) * middle + rate > 0:
            low = middle
        else:
            high = middle
    root = low
    scale = 1 / (served / rate + 1 / (1 - root))
    return scale * root / (1 - root) ** 2 / rate + service


def lru_hits(shares, kept):
    """A cache of the `kept` last used: the share of requests that find theirs (Che, Tung and Wang 2002)."""
    total = sum(shares)
    shares = [share / total for share in shares]

    def held(time):
        return sum(1 - math.exp(-share * time) for share in shares)

    low, high = 0.0, 1.0
    while held(high) < kept:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if held(middle) < kept else (low, middle)
    return sum(share * (1 - math.exp(-share * high)) for share in shares)


def longest_of(count, mean):
    """The mean of the longest of `count` independent exponential times."""
    return mean * sum(1 / n for n in range(1, count + 1))
