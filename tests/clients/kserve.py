"""Asks with KServe's client, and compares with /predict. Arguments: address, model, folder with picture.png and pixels.rgb."""

import asyncio
import base64
import pathlib
import sys

# This file has the package's name: without its folder at the front of the path, the package is what is found.
HERE = str(pathlib.Path(__file__).resolve().parent)
sys.path = [entry for entry in sys.path if entry != HERE]

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

sys.path.append(HERE)
from common import ADDRESS, MODEL, PICTURE, check, get, pixels


def tensor(name, datatype, array, binary):
    tensor = InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


async def infer(client, what, tensor, parameters=None):
    request = InferRequest(model_name=MODEL, infer_inputs=[tensor], request_id="seven", parameters=parameters)
    response = await client.infer(ADDRESS, request, model_name=MODEL)
    assert response.id == "seven" and response.model_name == MODEL, response
    outputs = {output.name: output.as_numpy() for output in response.outputs}
    check(what, outputs["probabilities"], outputs["labels"][0])


async def main():
    side = next(tensor["shape"][1] for tensor in get(f"/v2/models/{MODEL}")["inputs"] if tensor["name"] == "pixels")
    rows = pixels(side)
    encoded = np.array([PICTURE], dtype=np.object_)
    text = np.array([base64.b64encode(PICTURE).decode()], dtype=np.object_)
    binary = {"binary_data_output": True}
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(ADDRESS) is True
        assert await client.is_server_ready(ADDRESS) is True
        assert await client.is_model_ready(ADDRESS, MODEL) is True
        assert await client.is_model_ready(ADDRESS, "nobody") is False
        await infer(client, "floats, JSON both ways", tensor("pixels", "FP32", rows.astype(np.float32), False))
        await infer(client, "floats, binary both ways", tensor("pixels", "FP32", rows.astype(np.float32), True), binary)
        await infer(client, "bytes, binary", tensor("pixels", "UINT8", rows, True))
        await infer(client, "encoded, JSON", tensor("pictures", "BYTES", text, False))
        await infer(client, "encoded, binary", tensor("pictures", "BYTES", encoded, True))
        try:
            wrong = tensor("pictures", "BYTES", np.array([b"no picture"], dtype=np.object_), True)
            await client.infer(ADDRESS, InferRequest(MODEL, [wrong]), model_name=MODEL)
        except httpx.HTTPStatusError as error:
            assert error.response.status_code == 422 and "pictures[0]" in str(error), error
        else:
            raise AssertionError("what is no picture was answered")


asyncio.run(main())
print("all the same")
