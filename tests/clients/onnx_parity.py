"""An exported model in ONNX Runtime: its probabilities must be those that /predict answered with.

Arguments: the ONNX file; a folder with pixels.rgb, pictures of the model's input size as raw RGB one after another, and
expected.json, for each picture the probability of each class by name.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime

TOLERANCE = 1e-3

model, folder = sys.argv[1], pathlib.Path(sys.argv[2])
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
metadata = session.get_modelmeta().custom_metadata_map
classes = json.loads(metadata["classes"])
side = json.loads(metadata["preprocessing"])["input_size"]
pictures = np.fromfile(folder / "pixels.rgb", np.uint8).reshape(-1, side, side, 3)
expected = json.loads((folder / "expected.json").read_text())
expected = np.array([[probabilities[name] for name in classes] for probabilities in expected])
assert len(classes) > 1 and expected.shape == (len(pictures), len(classes)), (classes, expected.shape)

# All at once, and each alone.
together = session.run(["probabilities"], {"pictures": pictures})[0]
alone = np.concatenate([session.run(["probabilities"], {"pictures": picture[None]})[0] for picture in pictures])
for found in together, alone:
    worst = np.abs(found - expected).max()
    assert worst <= TOLERANCE, f"{worst} from what was served:\n{found}\n{expected}"
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5), found
print("all the same")
