"""What the checks have in common."""

import re
import subprocess


def run(*command, root, **more):
    """What it said, in the folder `root`."""
    return subprocess.run(command, cwd=root, capture_output=True, text=True, **more)


def settings(root):
    """The environment variables that topgraft reads: a misspelt one would be passed over in silence."""
    source = (root / "src/config/fields.rs").read_text()
    return set(re.findall(r'"(TOPGRAFT_[A-Z0-9_]+)"', source)) | {"TOPGRAFT_CONFIG"}


def unknown(names, known):
    """What is wrong with these names of environment variables."""
    return [f"topgraft has no setting {name}" for name in names if name.startswith("TOPGRAFT_") and name not in known]


def grace(environment, seconds):
    """What is wrong with the time that a process is given to end, if it has these settings."""
    defaults = {"LAME_DUCK_MS": 0, "DRAIN_SECONDS": 20, "STOP_SECONDS": 20}
    given = {name: int(environment.get(f"TOPGRAFT_{name}", default)) for name, default in defaults.items()}
    needed = given["LAME_DUCK_MS"] / 1000 + max(given["DRAIN_SECONDS"], given["STOP_SECONDS"])
    return [] if seconds > needed else [f"{seconds} s to end, and {needed:g} s are needed"]
