"""Backbones: image -> feature map, behind one seam.

A backbone is an `nn.Module` from (B, 3, H, W) to (B, channels, H / stride, W / stride) with the
attributes `channels` and `stride`. torchvision's ResNets provide it by their names, OSNet as
`osnet_x1_0` to `osnet_x0_25`, any model of `timm` that has a spatial feature map as `timm:NAME`,
and `resnet10` is torchvision's ResNet with one basic block in each stage, for training on a CPU.
"""

from __future__ import annotations

from difflib import get_close_matches
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import BasicBlock, ResNet

from denet.config import ConfigError
from denet.osnet import STRIDE, WIDTHS, OSNet

TIMM = "timm:"
"""What the name of a timm backbone begins with."""


class Backbone(nn.Module):
    """What every backbone is: image (B, 3, H, W) -> feature (B, C, H / stride, W / stride).

    Attributes:
        channels: C.
        stride: pixels of the image for one position of the feature map, in each direction.
    """

    channels: int
    stride: int

    def library_name(self, name: str) -> str:
        """What the library that it is from calls one of its parameters or buffers: the name in
        files of weights."""
        return name


class ResNetFeatures(Backbone):
    """A torchvision ResNet up to its last stage.

    With `last_stride` 1 the last stage keeps the resolution of the stage before it, as is usual
    in re-identification (stride 16 instead of 32).
    """

    def __init__(self, resnet: ResNet, last_stride: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.stages = nn.Sequential(resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4)
        if last_stride == 1:
            for module in resnet.layer4.modules():
                if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                    module.stride = (1, 1)
        self.channels = resnet.fc.in_features
        self.stride = 16 * last_stride

    def library_name(self, name: str) -> str:
        """As torchvision calls it: `conv1`, `bn1`, `layer1` to `layer4`."""
        part, place, rest = name.split(".", 2)
        of_stem = {"0": "conv1", "1": "bn1"}
        return f"{of_stem[place] if part == 'stem' else f'layer{int(place) + 1}'}.{rest}"

    def forward(self, image: Tensor) -> Tensor:
        feature: Tensor = self.stages(self.stem(image))
        return feature


class OSNetFeatures(Backbone):
    """An OSNet up to its last feature map.

    Raises:
        ConfigError: a stride that OSNet does not have is asked for.
    """

    def __init__(self, name: str, last_stride: int) -> None:
        super().__init__()
        if last_stride != 1:
            raise ConfigError(f"backbone {name} has a stride of {STRIDE}: set last_stride = 1")
        self.network = OSNet(name)
        self.channels = self.network.channels
        self.stride = STRIDE

    def forward(self, image: Tensor) -> Tensor:
        feature: Tensor = self.network(image)
        return feature


class TimmFeatures(Backbone):
    """The last feature map of a timm model, whatever its family.

    Args:
        name: as timm knows it, with or without the tag of its weights.
        last_stride: 1 asks timm for an output stride of 16, which not every family offers.
        image_size: height and width; a transformer is built for it.
        pretrained: load the weights that timm names, from its cache or the hub.

    Raises:
        ConfigError: timm has no such model, it has no spatial feature map or not at this stride,
            or its weights cannot be had.
    """

    def __init__(
        self, name: str, last_stride: int, image_size: tuple[int, int], *, pretrained: bool
    ) -> None:
        super().__init__()
        import timm  # takes a second: only who asks for it pays

        if not timm.is_model(name):
            near = ", ".join(TIMM + n for n in get_close_matches(name, timm.list_models()))
            raise ConfigError(
                f"timm has no model {name!r}" + (f": has {near}, ..." if near else "")
            )
        self.network = _timm_network(name, 16 * last_stride, image_size, pretrained)
        with torch.no_grad():
            made = self.network.eval()(torch.zeros(1, 3, *image_size))[-1]
        self.network.train()
        self.channels = int(self.network.feature_info.channels()[-1])
        if made.ndim != 4 or made.shape[1] != self.channels:
            raise ConfigError(
                f"backbone {TIMM}{name}: its last feature has the shape {tuple(made.shape[1:])}, "
                "which is no map of channels: choose a backbone that has one"
            )
        self.stride = image_size[0] // made.shape[2]
        if self.stride != 16 * last_stride or image_size[1] != self.stride * made.shape[3]:
            raise ConfigError(
                f"backbone {TIMM}{name}: makes {made.shape[2]}x{made.shape[3]} of an image of "
                f"{image_size[0]}x{image_size[1]}, which is no stride of {16 * last_stride}: "
                f"try last_stride = {3 - last_stride}"
            )

    def library_name(self, name: str) -> str:
        """As timm calls it in a classifier; what hands out features may wrap one as `model`."""
        wrapper = [child for child, _ in self.network.named_children()] == ["model"]
        return name.removeprefix("network.model." if wrapper else "network.")

    def forward(self, image: Tensor) -> Tensor:
        feature: Tensor = self.network(image)[-1]
        return feature


def _timm_network(name: str, stride: int, image_size: tuple[int, int], pretrained: bool) -> Any:
    import timm

    arguments = _timm_arguments(name, stride, image_size)
    try:
        return timm.create_model(name, pretrained=pretrained, **arguments)
    except Exception as error:  # the hub's client raises a dozen kinds
        if not pretrained:
            raise
        raise ConfigError(
            f"the weights of {TIMM}{name} are neither in the cache nor can they be "
            f"downloaded ({type(error).__name__}): start from random weights"
        ) from None


def _timm_arguments(name: str, stride: int, image_size: tuple[int, int]) -> dict[str, Any]:
    """With what timm makes the last feature map of a model, at this stride where it can."""
    import timm

    # A family takes one of these arguments or none, and says so by refusing the other ones. It is
    # asked on the meta device, where a network has no memory and draws no random numbers.
    choices: tuple[dict[str, Any], ...] = ({"output_stride": stride}, {"img_size": image_size}, {})
    for choice in choices:
        arguments = {"features_only": True, "out_indices": (-1,), **choice}
        try:
            with torch.device("meta"):
                timm.create_model(name, **arguments)
        except (TypeError, AssertionError, NotImplementedError, RuntimeError, AttributeError):
            continue
        return arguments
    raise ConfigError(f"backbone {TIMM}{name}: timm cannot give its feature map")


def build_backbone(
    name: str, last_stride: int, image_size: tuple[int, int], *, pretrained: bool
) -> Backbone:
    """The backbone called `name`, with ImageNet weights if `pretrained`.

    Raises:
        ConfigError: there is no such backbone, it does not fit the stride or the image, or its
            weights can neither be found in the cache nor be downloaded.
    """
    if name.startswith(TIMM):
        return TimmFeatures(name.removeprefix(TIMM), last_stride, image_size, pretrained=pretrained)
    if name == "resnet10":
        if pretrained:
            raise ConfigError("resnet10 has no ImageNet weights: start from random ones")
        return ResNetFeatures(ResNet(BasicBlock, [1, 1, 1, 1]), last_stride)
    if name in WIDTHS:
        if pretrained:
            raise ConfigError(f"{name}: its weights cannot be downloaded: start from random ones")
        return OSNetFeatures(name, last_stride)
    names = resnet_names()
    if name not in names:
        known = ", ".join(("resnet10", *WIDTHS, *names))
        raise ConfigError(f"unknown backbone {name!r}: choose from {known}, or {TIMM}NAME")
    return _resnet(name, last_stride, pretrained)


def _resnet(name: str, last_stride: int, pretrained: bool) -> ResNetFeatures:
    resnet = models.get_model(name, weights=None)
    assert isinstance(resnet, ResNet)
    if pretrained:
        weights = models.get_model_weights(name).DEFAULT
        try:
            resnet.load_state_dict(weights.get_state_dict(progress=False, check_hash=True))
        except (URLError, OSError, RuntimeError, EOFError, UnpicklingError) as error:
            raise ConfigError(
                f"ImageNet weights for {name!r} are neither whole in "
                f"{torch.hub.get_dir()}/checkpoints nor can they be downloaded from {weights.url} "
                f"({error or type(error).__name__}): put the file there, or start from random "
                "weights"
            ) from None
    return ResNetFeatures(resnet, last_stride)


def resnet_names() -> list[str]:
    """torchvision's ResNets (plain, wide, ResNeXt) by name."""
    return [
        n
        for n in models.list_models(module=models)
        if models.get_model_builder(n).__module__.endswith("resnet")
    ]
