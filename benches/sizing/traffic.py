"""When requests come: endless times in seconds, at a mean rate."""
from parameters import P


def steady(rate, chance):
    """Independent arrivals at this rate."""
    now = 0.0
    while True:
        now += chance.expovariate(rate)
        yield now


def evenly(rate, _):
    """Arrivals at a clock's pace, as `scripts/bench/load.py` sends them."""
    number = 0
    while True:
        yield number / rate
        number += 1


def bursts(rate, chance, burst=P.burst):
    """Independent arrivals whose rate is `factor` times the mean for `on` seconds and lower for `off`, so that the mean is `rate`."""
    factor, on, off = burst
    high, low = rate * factor, rate * (1 - (factor - 1) * on / off)
    # By thinning: candidates at the high rate, of which the low stretch takes some.
    for now in steady(high, chance):
        if now % (on + off) < on or chance.random() * high < low:
            yield now
