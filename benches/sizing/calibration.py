"""The simulation beside what was measured: the table Serving of docs/performance.md.

Rows marked `fitted` are what machines.py took its numbers from: that they agree shows the fit, not the model. All others are predicted.
"""
from machines import AMX, VNNI
from parameters import P
from serving import Setup, simulate
from traffic import evenly

# Name, what is measured, VNNI, AMX; None where docs/performance.md says nothing.
MEASURED = [
    ("engine alone, 16 outstanding", "pictures/s", True, 22.4, 96.3),
    ("16 clients", "pictures/s", True, 21.9, 88.2),
    ("16 clients", "p50 ms", False, 733, 180),
    ("16 clients", "p99 ms", True, 943, 213),
    ("one client", "p50 ms", True, 48.8, 14.7),
    ("one client", "p99 ms", False, 73, 27),
    ("50 models, of one model's rate", "%", True, 93, 88),
    ("32 clients, a full house", "pictures/s", False, 22.2, 83.1),
    ("32 clients, a full house", "p50 ms", False, 1400, 377),
    ("32 clients, a full house", "p99 ms", False, 1600, 509),
    ("flood of ten times that", "answered/s", True, 19.0, 45.9),
    ("flood of ten times that", "share of 429 %", False, 91.0, 94.7),
    ("flood of ten times that", "p99 ms", False, 1900, 900),
    ("4 or 17.6 requests/s, idle machine", "p50 ms", False, 55, 19),
    ("4 or 17.6 requests/s, idle machine", "p99 ms", False, 80, 38),
]


def simulated(machine, flood, slow):
    """What the simulation says of the same loads, row by row."""
    def clients(count, machine=machine, **more):
        return simulate(Setup(machine, **more), 4000, clients=count)

    def sent(rate, seconds):
        return simulate(Setup(machine), seconds, lambda chance: evenly(rate, chance))

    alone = clients(16, machine._replace(path=0.0, admitted=0.0))
    sixteen, one, house = clients(16), clients(1), clients(32)
    fifty = clients(16, models=50, kept=50, zipf=0.0)
    overload, idle = sent(flood, 600), sent(slow, 4000)
    ms = lambda result, share: 1000 * result.percentile(share)
    return [
        alone.rate, sixteen.rate, ms(sixteen, 50), ms(sixteen, 99), ms(one, 50), ms(one, 99), 100 * fifty.rate / sixteen.rate,
        house.rate, ms(house, 50), ms(house, 99), overload.rate, 100 * overload.refused_share, ms(overload, 99), ms(idle, 50), ms(idle, 99),
    ]


def rows():
    """Each row as text, with how far the simulation is off."""
    vnni, amx = simulated(VNNI, P.vnni_flood[0], 4.0), simulated(AMX, P.amx_flood[0], 17.6)
    for (name, what, fit, *measured), *found in zip(MEASURED, vnni, amx):
        cells = [f"{value:,.4g} | {says:,.4g} | {100 * (says / value - 1):+.0f} %" for value, says in zip(measured, found)]
        yield [name, what, "fitted" if fit else "", *cells]
