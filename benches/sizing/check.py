"""The simulation against known results: `simulate.py --check`.

Each is simulated several times from other seeds. The known value must be within 3.5 standard errors of their mean, and one standard
error at most 2 % of it: closer than that nothing in docs/sizing.md is meant.
"""
import itertools
import math
import statistics
import sys

import jobs
import theory
from machines import Machine
from parameters import P
from serving import Setup, simulate
from traffic import bursts, steady

RUNS = 10
ERRORS = 3.5
PRECISION = 0.02
# One picture a second.
PLAIN = Machine("plain", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
EXPONENTIAL = PLAIN._replace(shape="exponential")
# Of a batch the time of one, whatever is in it.
BULK = EXPONENTIAL._replace(fixed=1.0, picture=0.0)
# No two results share their chance.
FIRST_SEED = itertools.count(1, 1000)


def served(rate, count, value, machine=PLAIN, servers=1, balancer="random", places=10_000, batch=1, **more):
    """Runs' values of what `value` takes from a result, of `count` requests each."""
    setup, first = Setup(machine, servers, balancer, places, batch, **more), next(FIRST_SEED)
    return [value(simulate(setup, count / rate, lambda chance: steady(rate, chance), seed=first + run)) for run in range(RUNS)]


def trained(workers, rate, draw, count, value):
    first = next(FIRST_SEED)
    return [value(jobs.simulate(workers, rate, draw, count, first + run)) for run in range(RUNS)]


def mean(values):
    return sum(values) / len(values)


def one(seconds):
    return jobs.Job([], seconds)


def known():
    """Name, the known value, the runs' values."""
    yield "M/M/1, load 0.7: mean time", theory.mm1(0.7, 1)[0], served(0.7, 40_000, lambda r: r.mean, EXPONENTIAL)
    yield "M/M/1, load 0.7: p99", theory.mm1(0.7, 1)[1], served(0.7, 60_000, lambda r: r.percentile(99), EXPONENTIAL)
    yield "M/D/1, load 0.8: mean time", theory.md1(0.8, 1), served(0.8, 40_000, lambda r: r.mean)
    yield "M/M/1/5, load 0.9: share refused", theory.mm1k(0.9, 1, 5)[0], served(0.9, 40_000, lambda r: r.refused_share, EXPONENTIAL, places=5)
    yield "M/M/1/5, load 0.9: mean time", theory.mm1k(0.9, 1, 5)[1], served(0.9, 40_000, lambda r: r.mean, EXPONENTIAL, places=5)
    for most in (4, 16):
        rate = 0.7 * most
        yield f"M/M(1,{most})/1, load 0.7: mean time", theory.bulk(rate, 1, most), served(rate, 80_000, lambda r: r.mean, BULK, batch=most)
    yield "8 servers at random, load 0.7: mean time", theory.mm1(0.7, 1)[0], served(5.6, 60_000, lambda r: r.mean, EXPONENTIAL, 8)
    shares = [1 / (k + 1) ** P.zipf for k in range(500)]
    quick = PLAIN._replace(picture=0.001, load=1e-6)
    hits = served(10, 40_000, lambda r: r.hits, quick, models=500, kept=50)
    yield "50 of 500 models kept: share found", theory.lru_hits(shares, 50), hits
    counts = [len(simulate(Setup(quick, places=10**4), 3000, lambda c: bursts(10, c), seed=s, begin=0.0).times) / 3000 for s in range(RUNS)]
    yield "bursts: mean rate", 10.0, counts
    exponential = lambda chance: one(chance.expovariate(1))
    waits = trained(8, 6.4, exponential, 40_000, lambda r: mean([wait > 0 for wait in r.waits]))
    yield "M/M/8, load 0.8: share that waits", theory.erlang_c(6.4, 1, 8)[0], waits
    yield "M/M/8, load 0.8: mean wait", theory.erlang_c(6.4, 1, 8)[1], trained(8, 6.4, exponential, 120_000, lambda r: mean(r.waits))
    drawn = lambda chance: one(chance.lognormvariate(0, 0.8))
    moments = math.exp(0.8**2 / 2), math.exp(2 * 0.8**2)
    yield "M/G/1, load 0.7: mean wait", theory.mg1(0.7 / moments[0], *moments), trained(1, 0.7 / moments[0], drawn, 60_000, lambda r: mean(r.waits))
    shards = lambda chance: jobs.Job([chance.expovariate(1) for _ in range(6)], 0.0)
    yield "6 shards, workers free: mean span", theory.longest_of(6, 1), trained(200, 0.5, shards, 20_000, lambda r: mean(r.spans))


def bounds():
    """What must lie between two known values: least connections is worse than one queue for all and better than chance."""
    found = mean(served(5.6, 60_000, lambda r: r.mean, EXPONENTIAL, 8, "least"))
    least = 1 + theory.erlang_c(5.6, 1, 8)[1]
    yield "8 servers, least connections: mean time", least, found, theory.mm1(0.7, 1)[0]


def check():
    """Prints a line for each; whether all hold."""
    sound = True
    for name, value, values in known():
        found, error = mean(values), statistics.stdev(values) / math.sqrt(len(values))
        holds = abs(found - value) <= ERRORS * error and error <= PRECISION * value
        sound &= holds
        print(f"{'ok  ' if holds else 'NOT '}{name}: known {value:.4f}, simulated {found:.4f} ± {error:.4f} ({100 * (found / value - 1):+.2f} %)")
    for name, low, found, high in bounds():
        holds = low < found < high
        sound &= holds
        print(f"{'ok  ' if holds else 'NOT '}{name}: simulated {found:.4f}, between {low:.4f} and {high:.4f}")
    return sound


if __name__ == "__main__":
    sys.exit(0 if check() else "the simulation isn't to be trusted")
