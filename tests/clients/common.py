"""What the scripts share: the pictures to send, and what /predict says of them."""

import json
import pathlib
import sys
import urllib.request

import numpy as np

ADDRESS, MODEL = sys.argv[1], sys.argv[2]
FOLDER = pathlib.Path(sys.argv[3])
PICTURE = (FOLDER / "picture.png").read_bytes()


def get(path):
    with urllib.request.urlopen(ADDRESS + path) as answer:
        return json.load(answer)


def predicted():
    """The label, and the probabilities in the model's order of classes."""
    request = urllib.request.Request(
        f"{ADDRESS}/v1/models/{MODEL}/predict", data=PICTURE, headers={"content-type": "image/png"}
    )
    with urllib.request.urlopen(request) as answer:
        prediction = json.load(answer)["predictions"][0]
    classes = get(f"/v1/models/{MODEL}/versions/1")["manifest"]["classes"]
    return prediction["label"], [prediction["probabilities"][name] for name in classes]


def pixels(side):
    """The picture's pixels, [1, side, side, 3], which is what /predict makes of the picture too."""
    return np.frombuffer((FOLDER / "pixels.rgb").read_bytes(), dtype=np.uint8).reshape(1, side, side, 3)


LABEL, PROBABILITIES = predicted()


def check(what, probabilities, label):
    assert np.allclose(np.asarray(probabilities).reshape(-1), PROBABILITIES, atol=1e-3), (what, probabilities, PROBABILITIES)
    label = label.decode() if isinstance(label, bytes) else label
    assert label == LABEL, (what, label, LABEL)
    print(what)
