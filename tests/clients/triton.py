"""Asks with Triton's client, and compares with /predict. Arguments: address, model, folder with picture.png and pixels.rgb."""

import base64

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from common import ADDRESS, LABEL, MODEL, PICTURE, check, pixels

client = triton.InferenceServerClient(ADDRESS.removeprefix("http://"))
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")
assert not client.is_model_ready("nobody") and not client.is_model_ready(MODEL, "9")
server = client.get_server_metadata()
assert server["name"] == "topgraft" and "binary_tensor_data" in server["extensions"], server
metadata = client.get_model_metadata(MODEL)
assert metadata["name"] == MODEL and metadata["versions"] == ["1"] and metadata["platform"] == "topgraft", metadata
side = next(tensor["shape"][1] for tensor in metadata["inputs"] if tensor["name"] == "pixels")


def tensor(name, datatype, array, binary):
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def infer(what, tensor, outputs=None, **more):
    result = client.infer(MODEL, [tensor], outputs=outputs, **more)
    check(what, result.as_numpy("probabilities"), result.as_numpy("labels")[0])
    return result


rows = pixels(side)
planes = np.ascontiguousarray(rows.transpose(0, 3, 1, 2))
encoded = np.array([PICTURE], dtype=np.object_)
text = np.array([base64.b64encode(PICTURE)], dtype=np.object_)
in_json = [triton.InferRequestedOutput(name, binary_data=False) for name in ("probabilities", "labels")]
in_binary = [triton.InferRequestedOutput(name, binary_data=True) for name in ("labels", "probabilities", "raw_probabilities")]

result = infer("encoded, binary both ways", tensor("pictures", "BYTES", encoded, True), request_id="seven")
assert result.get_response()["id"] == "seven" and result.get_response()["model_version"] == "1", result.get_response()
infer("encoded, JSON both ways", tensor("pictures", "BYTES", text, False), in_json)
infer("encoded, of a version", tensor("pictures", "BYTES", encoded, True), in_binary, model_version="1")
infer("floats by rows, binary", tensor("pixels", "FP32", rows.astype(np.float32), True))
infer("floats by planes, binary", tensor("pixels", "FP32", planes.astype(np.float32), True), in_json)
infer("floats by rows, JSON", tensor("pixels", "FP32", rows.astype(np.float32), False), in_binary)
infer("bytes by rows, binary", tensor("pixels", "UINT8", rows, True))
infer("bytes by planes, JSON", tensor("pixels", "UINT8", planes, False), in_json)
for algorithm in ("gzip", "deflate"):
    infer(
        f"floats, {algorithm}",
        tensor("pixels", "FP32", rows.astype(np.float32), True),
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )

ranked = triton.InferRequestedOutput("probabilities", class_count=2)
best = client.infer(MODEL, [tensor("pictures", "BYTES", encoded, True)], outputs=[ranked]).as_numpy("probabilities")
assert best.shape == (1, 2) and best[0][0].decode().split(":")[2] == LABEL, best

try:
    client.infer(MODEL, [tensor("pictures", "BYTES", np.array([b"no picture"], dtype=np.object_), True)])
except InferenceServerException as error:
    assert error.status() == "422" and "pictures[0]" in error.message(), error
else:
    raise AssertionError("what is no picture was answered")
client.close()
print("all the same")
