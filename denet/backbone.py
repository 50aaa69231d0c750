"""Backbones: image -> feature map, behind one seam.

A backbone is an `nn.Module` from (B, 3, H, W) to (B, channels, H / stride, W / stride) with the
attributes `channels` and `stride`. Today torchvision's ResNets provide it.
"""

from __future__ import annotations

from pickle import UnpicklingError
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import ResNet

from denet.config import ConfigError


class ResNetFeatures(nn.Module):
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
        self.channels: int = resnet.fc.in_features
        self.stride = 16 * last_stride

    def forward(self, image: Tensor) -> Tensor:
        feature: Tensor = self.stages(self.stem(image))
        return feature


def build_backbone(name: str, last_stride: int, *, pretrained: bool) -> ResNetFeatures:
    """The backbone called `name`, with ImageNet weights if `pretrained`.

    Raises:
        ConfigError: there is no such backbone, or its weights can neither be found in torch's
            cache nor be downloaded.
    """
    names = resnet_names()
    if name not in names:
        raise ConfigError(f"unknown backbone {name!r}: choose from {', '.join(names)}")
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
