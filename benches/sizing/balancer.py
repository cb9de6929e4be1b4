"""Which server a request goes to."""
import math

# How far above the average a server may be before a model's requests go to the next one.
FACTOR = 1.5


class Balancer:
    """Chooses `random`ly; those with the `least` connections, by chance among equals; or by `model`: each has a home, and one whose
    home has too much to do is asked of the next server (consistent hashing with bounded loads, Mirrokni et al. 2016)."""

    def __init__(self, setup, servers, chance):
        self.kind, self.servers, self.chance = setup.balancer, servers, chance
        # Servers by how many requests they have: the least busy are found at once, however many there are.
        self.levels = [list(range(len(servers)))] + [[] for _ in range(setup.places + 1)]
        self.place, self.low, self.total = list(range(len(servers))), 0, 0
        self.homes = [chance.randrange(len(servers)) for _ in range(setup.models)]

    def choose(self, model):
        if self.kind == "random":
            return self.chance.randrange(len(self.servers))
        if self.kind == "least":
            level = self.levels[self.low]
            return level[int(self.chance.random() * len(level))]
        bound = math.ceil(FACTOR * (self.total + 1) / len(self.servers))
        at = self.homes[model]
        while self.servers[at].inside >= bound:
            at = (at + 1) % len(self.servers)
        return at

    def moved(self, number, by):
        """A server has got a request more, or one less."""
        server = self.servers[number]
        level, place = self.levels[server.inside], self.place[number]
        last = level.pop()
        if last != number:
            level[place], self.place[last] = last, place
        server.inside += by
        self.total += by
        level = self.levels[server.inside]
        self.place[number] = len(level)
        level.append(number)
        if by < 0:
            self.low = min(self.low, server.inside)
        else:
            while not self.levels[self.low]:
                self.low += 1
