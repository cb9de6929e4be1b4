"""What a server takes for its work, out of what was measured of it.

A batch of b pictures takes `fixed` + b × `picture`. Letting a request in, decoding and answering it (`admitted`) and refusing one
(`refused`) take the processors away from the batch under way; a lone request waits `path` for them. All in seconds; of two cores, the
load's own client included, since it ran on them.
"""
import math
from typing import NamedTuple

from parameters import P


class Machine(NamedTuple):
    """Two cores."""

    name: str
    fixed: float
    picture: float
    # Each further model in a batch.
    model: float
    path: float
    admitted: float
    refused: float
    # Standard deviation of the logarithm of a batch's time.
    noise: float
    # A model's loading, and how much of the two cores that takes.
    load: float = P.load_seconds
    load_share: float = 0.5
    # How a batch's time strays: "lognormal", or for the checks "exponential".
    shape: str = "lognormal"

    def for_views(self, views, side):
        """The same for models that see so many views of so many pixels a side. Measured was one of 224."""
        factor = views * (side / 224) ** 2
        return self._replace(name=f"{self.name} {side} × {views}", picture=self.picture * factor, model=self.model * factor)

    @property
    def capacity(self):
        """Most pictures a second, batches full."""
        return 1 / (self.picture + self.admitted + self.fixed / P.max_batch)


def fitted(name):
    """The machine of this name, from its rows in the table.

    Sixteen that are always outstanding ride in two batches, of one and of fifteen: whoever comes back first finds the engine idle. So
    16 pictures take 2 × fixed + 16 × picture, and one alone fixed + picture: two equations, two numbers. The same with HTTP gives
    `admitted`, the flood `refused`, fifty models `model`. `noise` is the only number that is fitted to a quantile.
    """
    single, alone, client = (getattr(P, f"{name}_{what}") for what in ("single_ms", "alone", "client_ms"))
    single, client = single / 1000, client / 1000
    http, p99, flood, models = (getattr(P, f"{name}_{what}") for what in ("http", "http_p99_ms", "flood", "models"))
    fixed = (16 * single - 16 / alone) / 14
    picture = single - fixed
    admitted = 1 / http - 1 / alone
    sent, answered = flood
    refused = (1 / answered - (picture + admitted + fixed / P.max_batch)) / ((sent - answered) / answered)
    one, many = models
    # In batches of 1 and 15 of 50 models there are 1 and 50 × (1 − 0.98^15) = 13.1 different ones.
    further = 50 * (1 - 0.98**15) - 1
    model = 16 * (1 / many - 1 / one) / further
    noise = math.log(p99 / 1000 * http / 16) / 2.326
    return Machine(name.upper(), fixed, picture, model, client - single, admitted, refused, noise)


VNNI, AMX = fitted("vnni"), fitted("amx")
