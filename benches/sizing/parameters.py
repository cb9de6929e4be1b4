"""What the simulation and the arithmetic go by: one table, each number with where it is from.

`measured` names the row of docs/performance.md, or the command. `counted` is read off the code. `published` is a vendor's. `assumed`
is nobody's measurement: put your own number in its place.
"""
from types import SimpleNamespace

MEASURED, COUNTED, PUBLISHED, ASSUMED = "measured", "counted", "published", "assumed"

SERVING = "performance.md, Serving"
FLOWERS = "performance.md, flowers17, balanced"
STAGES = "performance.md, Stages"
KERAS = "performance.md, Beside Keras"
PRECISION = "performance.md, The frozen layers"

TABLE = [
    # Serving: a model at 224 pixels, one view, two cores. First of a CPU with VNNI, then of one with AMX.
    ("vnni_single_ms", 45.1, "ms", MEASURED, f"{SERVING}: the engine alone, one picture at a time"),
    ("vnni_alone", 22.4, "pictures/s", MEASURED, f"{SERVING}: the engine alone, 16 outstanding"),
    ("vnni_client_ms", 48.8, "ms", MEASURED, f"{SERVING}: one client, median"),
    ("vnni_http", 21.9, "pictures/s", MEASURED, f"{SERVING}: 16 clients over HTTP"),
    ("vnni_http_p99_ms", 943, "ms", MEASURED, f"{SERVING}: the same, p99"),
    ("vnni_flood", (219, 19.0), "requests/s sent, answered", MEASURED, f"{SERVING}: 219 requests/s for 60 s"),
    ("vnni_models", (22.9, 21.3), "pictures/s of 1 and 50 models", MEASURED, f"{SERVING}: 50 models at random"),
    ("amx_single_ms", 12.2, "ms", MEASURED, f"{SERVING}: as above, AMX"),
    ("amx_alone", 96.3, "pictures/s", MEASURED, f"{SERVING}: as above, AMX"),
    ("amx_client_ms", 14.7, "ms", MEASURED, f"{SERVING}: as above, AMX"),
    ("amx_http", 88.2, "pictures/s", MEASURED, f"{SERVING}: as above, AMX"),
    ("amx_http_p99_ms", 213, "ms", MEASURED, f"{SERVING}: as above, AMX"),
    ("amx_flood", (882, 45.9), "requests/s sent, answered", MEASURED, f"{SERVING}: as above, AMX"),
    ("amx_models", (80.8, 70.9), "pictures/s of 1 and 50 models", MEASURED, f"{SERVING}: as above, AMX"),
    ("predict_requests", 32, "requests", COUNTED, "src/config/fields.rs, default"),
    ("max_batch", 16, "pictures", COUNTED, "src/config/fields.rs, default"),
    ("model_cache_bytes", 2 << 30, "bytes", COUNTED, "src/config/fields.rs, default"),
    ("model_bytes", 27.0e6, "bytes", MEASURED, f"{SERVING}: memory of each further model (224 pixels, 256 units)"),
    ("load_seconds", 0.25, "s", ASSUMED, "54 MB read at 0.5 GB/s, hashed at 1 GB/s, converted at 1 GB/s; one core of the two"),
    ("zipf", 1.0, "exponent", ASSUMED, "the k-th most popular model gets 1/k of what the first gets"),
    # Training: two cores with VNNI.
    ("picture_bytes", 44_000, "bytes", MEASURED, "flowers17: 60 MB, 1,360 pictures"),
    ("ingested", 1360 / 1.2, "pictures/s", MEASURED, f"{FLOWERS}: upload and ingestion"),
    ("features_256", 18.4, "rows/s", MEASURED, f"{FLOWERS}: 4,760 views of 256 × 256"),
    ("features_224", 23.6, "rows/s", MEASURED, f"{STAGES}: features at 224 × 224 with decoding"),
    ("warm_up_224_ms", 1000 * 0.8 / 1360, "ms a picture and epoch", MEASURED, f"{KERAS}: classic, a warm-up epoch 0.8 s"),
    ("fine_tune_224_ms", 1000 * 20.6 / 1360, "ms a picture and epoch", MEASURED, f"{KERAS}: classic, a fine-tune epoch 20.6 s"),
    ("warm_up_256_ms", 1000 * 1.3 / 1360, "ms a picture and epoch", MEASURED, f"{FLOWERS}: 1.0 to 1.6 s an epoch"),
    ("fine_tune_256_ms", 1000 * 30 / 1360, "ms a picture and epoch", MEASURED, f"{FLOWERS}: 30 s an epoch"),
    ("fine_tune_320_ms", 1000 * 49 / 1360, "ms a picture and epoch", MEASURED, "performance.md, flowers17: thorough, 49 s an epoch"),
    ("pool4_share", 35 / 100, "of its numbers", MEASURED, f"{PRECISION}: rows of block4_pool, 35 KB of 100"),
    ("pool5_share", 7 / 50, "of its numbers", MEASURED, f"{PRECISION}: rows of block5_pool, 7 KB of 50"),
    ("validation", 0.25, "of the pictures", COUNTED, "src/recipe/presets.rs"),
    ("index_bytes", 32, "bytes a row and shelf", COUNTED, "src/training/features/shelf/mod.rs"),
    ("training_bytes", 430, "bytes a picture", COUNTED, "its record with two texts (220), its place in the split, what is wanted of it (120), an epoch's order (90)"),
    ("ingest_bytes", 550, "bytes a picture", COUNTED, "src/dataset/ingest/collect.rs: its path twice, content and record"),
    ("driver_bytes", 1500, "bytes a picture", ASSUMED, "a row of 11 columns as the database driver holds it while all are fetched"),
    ("worker_bytes", 1.12e9, "bytes", MEASURED, f"{FLOWERS}: peak memory with AVX2 alone, whose layers learn in f32"),
    ("feature_cache_bytes", 32 << 30, "bytes", COUNTED, "src/config/fields.rs, default"),
    ("probability_bytes", 13, "bytes a picture and class", MEASURED, "decisions.md: a report of 10,000 pictures and 100 classes, 13 MB"),
    ("near_colour", 0.085, "of all pairs", ASSUMED, "pictures whose green differs by 12 of 255 or less in one direction, were it normal with deviation 55"),
    ("pair_ns", 1.5, "ns", ASSUMED, "to look at two hashes and find them unlike"),
    # Database.
    ("image_row_bytes", 291, "bytes", MEASURED, "database.py: migrations/ filled with 200,000 pictures, names of 32 letters"),
    ("enter_us", 6.5, "µs a picture", MEASURED, "database.py: 200,000 pictures entered in one transaction of 1.3 s"),
    ("job_row_bytes", 25_000, "bytes a job", COUNTED, "recipe, 32 epochs and their events, two reports of 17 classes; the square of the classes on top"),
    ("commit_ms", 3.4, "ms", MEASURED, "database.py: 3.2 to 3.7 on the virtual disk of the machine with VNNI; it measures yours"),
    ("heartbeat", 2.0, "a second", COUNTED, "src/jobs/watch.rs, HEARTBEAT"),
    ("shard_rows", 256, "rows", COUNTED, "src/training/features/share.rs, SHARD_ROWS"),
    ("most_shards", 10_000, "", COUNTED, "src/training/features/share.rs, MOST_SHARDS"),
    ("progress", 2.0, "a second", COUNTED, "src/training/progress.rs, INTERVAL"),
    ("poll", 2.0, "a second", COUNTED, "src/jobs/worker.rs, IDLE"),
    ("event_poll", 4.0, "a second", COUNTED, "src/api/jobs/events.rs, POLL"),
    # A GPU: nothing here was measured.
    ("picture_flop", 30.7e9, "FLOP", COUNTED, "15.35 GMAC of the 13 convolutions at 224 × 224, times two"),
    ("gpu_use", 0.30, "of the peak", ASSUMED, "what of a tensor core's peak convolutions in batches of 16 to 64 reach"),
    ("gpu_peak", {"L4": 121e12, "A100": 312e12, "H100": 989e12}, "FLOP/s", PUBLISHED, "NVIDIA data sheets, dense bf16"),
    ("http_core_ms", 2.0, "ms of a core", MEASURED, "machines.py: what HTTP, decoding and the client take beside the network, of two cores 1 ms"),
    # What is asked for.
    ("target_p99", 1.0, "s", ASSUMED, "the aim of the tables"),
    ("target_refused", 0.001, "of the requests", ASSUMED, "the aim of the tables"),
    ("burst", (2.0, 5.0, 25.0), "times the mean, s, s between", ASSUMED, "traffic that comes in bursts"),
    ("job_pictures", (2000, 1.0), "median, sigma", ASSUMED, "sizes of data sets, log-normal: the mean is 3,297"),
]

P = SimpleNamespace(**{name: value for name, value, *_ in TABLE})


def shown(value):
    """A parameter's value for people."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(part)}" for name, part in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(shown, value))
    return f"{value:.3g}" if isinstance(value, float) and (abs(value) >= 1e6 or value != round(value, 2)) else f"{value:,}"


def rows():
    """The table as text."""
    return [(name, f"{shown(value)} {unit}", kind, source) for name, value, unit, kind, source in TABLE]
