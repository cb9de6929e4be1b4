"""What data sets take, by arithmetic: nothing here is simulated."""
from typing import NamedTuple

from parameters import P


class Kind(NamedTuple):
    """A recipe: pixels a side, augmented views, views that a picture is judged by, epochs of both phases; rows a second and milliseconds a
    picture and epoch, of two cores with VNNI."""

    name: str
    side: int
    views: int
    judged: int
    epochs: tuple
    rows_a_second: float
    epoch_ms: tuple

    @property
    def head_alone(self):
        """Whether no convolution learns: then only block5_pool is kept, in 8 bits."""
        return self.epochs[1] == 0

    @property
    def rows(self):
        """Rows kept of each picture."""
        return (1 - P.validation) * (self.views + 1) + P.validation * self.judged

    @property
    def numbers(self):
        """Numbers of a row at block4_pool, and at block5_pool."""
        return (self.side // 16) ** 2 * 512, (self.side // 32) ** 2 * 512

    @property
    def planned_bytes(self):
        """Bytes a row as plan.rs counts them: 8 bits at block4_pool, 16 at block5_pool."""
        at4, at5 = self.numbers
        return at5 if self.head_alone else at4 + 2 * at5

    @property
    def row_bytes(self):
        """Bytes a row on the disk."""
        at4, at5 = self.numbers
        if self.head_alone:
            # A bit a number says which are zero (codec.rs), and then a byte each: of 16 bits it was two.
            return at5 * (1 / 8 + P.pool5_share - 1 / 16)
        return at4 * P.pool4_share + 2 * at5 * P.pool5_share

    @property
    def features_ms(self):
        """Of a picture."""
        return 1000 * self.rows / self.rows_a_second

    @property
    def epochs_ms(self):
        return sum(number * ms for number, ms in zip(self.epochs, self.epoch_ms))

    @property
    def picture_ms(self):
        """All of a job, a picture."""
        return self.features_ms + self.epochs_ms

    def kept(self, pictures, budget=P.feature_cache_bytes):
        """Views that the plan keeps within a budget; None if nothing is kept. No layer below these is narrower, so no other is kept."""
        train, judged = pictures * (1 - P.validation), pictures * P.validation * self.judged
        views = (budget // self.planned_bytes - judged) / train - 1
        return None if views < 0 else min(self.views, int(views))

    def streamed_ms(self):
        """All of a job, a picture, when nothing is kept: each epoch computes what it sees."""
        seen = 1 - P.validation + P.validation * self.judged
        return sum(self.epochs) * 1000 * seen / self.rows_a_second + self.epochs_ms


SCALED = (320 / 256) ** 2
CLASSIC = Kind("classic", 224, 0, 1, (25, 100), P.features_224, (P.warm_up_224_ms, P.fine_tune_224_ms))
BALANCED = Kind("balanced", 256, 2, 2, (20, 8), P.features_256, (P.warm_up_256_ms, P.fine_tune_256_ms))
THOROUGH = Kind("thorough", 320, 12, 2, (20, 16), P.features_224 * (224 / 320) ** 2, (P.warm_up_256_ms * SCALED, P.fine_tune_320_ms))
# For a million and more: no augmented views, one view to judge by, few epochs; and the same without fine-tuning.
FEW = Kind("few", 256, 0, 1, (4, 3), P.features_256, (P.warm_up_256_ms, P.fine_tune_256_ms))
HEAD = FEW._replace(name="head", epochs=(4, 0))
KINDS = (BALANCED, THOROUGH, CLASSIC, FEW, HEAD)


def copies_seconds(pictures):
    """Seconds of one core to look for copies (src/dataset/duplicates.rs): each picture is held against those of nearly its colour."""
    return pictures**2 * P.near_colour * P.pair_ns * 1e-9


def artifact_bytes(side, units=256):
    """A version's weights on the disk, f32: block 5 and the head."""
    return 4 * (3 * 512 * 512 * 9 + (side // 32) ** 2 * 512 * units)


def memory_bytes(side, units=256):
    """The same in memory, bf16."""
    return artifact_bytes(side, units) / 2


def gpu_rate(peak, side=224):
    """Pictures a second of a GPU of this peak. Not measured."""
    return peak * P.gpu_use / (P.picture_flop * (side / 224) ** 2)
