"""Configurations for others that run the graph of a state: NVIDIA Triton and DeepStream.

What stands in them is checked as far as it can be without these programs: by Triton's protocol, and
by the names that DeepStream's parser knows. Neither has run one of ours.
"""

from __future__ import annotations

from denet.graph import State
from export.graphs.names import EMBEDDING
from runtime.bundle.manifest import Manifest

DELAY = 2000
"""Microseconds that Triton lets a request wait for others."""

MODES = {"fp32": 0, "fp16": 2}
"""DeepStream's `network-mode` of a precision; of all others it is that of INT8."""

INT8_MODE = 1


def model_name(state: State) -> str:
    """What Triton calls the model of a state: it takes no plus sign for a name."""
    return "denet_" + state.name.replace("+", "_")


def triton_config(state: State, manifest: Manifest, batch: int) -> str:
    """The `config.pbtxt` of a state's graph for Triton's ONNX backend."""
    size = manifest.preprocessing
    inputs = "".join(
        f'input {{ name: "{m}" data_type: TYPE_FP32 dims: [ 3, {size.height}, {size.width} ] }}\n'
        for m in state.available
    )
    return (
        f'name: "{model_name(state)}"\n'
        'backend: "onnxruntime"\n'
        f"max_batch_size: {batch}\n"
        f"{inputs}"
        f'output {{ name: "{EMBEDDING}" data_type: TYPE_FP32 '
        f"dims: [ {manifest.head.dim} ] }}\n"
        f"dynamic_batching {{ max_queue_delay_microseconds: {DELAY} }}\n"
    )


def deepstream_config(
    state: State, manifest: Manifest, precision: str, batch: int, engine: str
) -> str:
    """The configuration of DeepStream's `nvinfer` as a secondary engine, which embeds the objects
    that another one found.

    Args:
        state: of one modality: `nvinfer` feeds a single image.
        manifest: of the bundle.
        precision: of the graph.
        batch: objects at once.
        engine: the path of the TensorRT engine, from the folder of the configuration.
    """
    size = manifest.preprocessing
    keys = {
        "gpu-id": 0,
        "gie-unique-id": 2,
        "operate-on-gie-id": 1,
        "process-mode": 2,
        "network-type": 100,
        "output-tensor-meta": 1,
        "onnx-file": f"../{state.name}.onnx",
        "model-engine-file": engine,
        "batch-size": batch,
        "network-mode": MODES.get(precision, INT8_MODE),
        "infer-dims": f"3;{size.height};{size.width}",
        "model-color-format": 0,
        "net-scale-factor": "1.0",
        "maintain-aspect-ratio": 0,
        "scaling-filter": 1,
        "output-blob-names": EMBEDDING,
    }
    lines = "".join(f"{key}={value}\n" for key, value in keys.items())
    return (
        "# Embeds the objects of the engine with gie-unique-id 1. The graph normalizes by itself:\n"
        "# it takes red, green and blue from 0 to 255. The embedding is in NvDsInferTensorMeta.\n"
        "# Checked against the names of the parser, never run in DeepStream.\n"
        f"[property]\n{lines}"
    )
