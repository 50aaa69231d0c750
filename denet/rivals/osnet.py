"""OSNet as a method of its own (Zhou et al., ICCV 2019): the backbone of `denet.osnet`, x1.0.

Behind the global average stands the layer `fc` (512 numbers, norm, ReLU), which makes the feature,
and the classifier, whose cross-entropy with smoothed labels is the loss. Left out: ImageNet
weights.
"""

from __future__ import annotations

from torch import Tensor, nn

from denet.osnet import OSNet
from denet.rivals.heads import classifier, smoothed
from denet.rivals.rival import Setting, SingleModality

PROJECTED = 512


class OSNetBranch(SingleModality):
    """The network for one modality."""

    dim = PROJECTED

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.network = OSNet("osnet_x1_0")
        self.fc = nn.Sequential(
            nn.Linear(self.network.channels, PROJECTED), nn.BatchNorm1d(PROJECTED), nn.ReLU()
        )
        self.classifier = classifier(PROJECTED, setting.identities, bias=True)
        self.smoothing = setting.train.smoothing

    def feature(self, image: Tensor) -> Tensor:
        made: Tensor = self.fc(self.network(image).mean(dim=(2, 3)))
        return made

    def loss(self, image: Tensor, labels: Tensor) -> Tensor:
        return smoothed(self.classifier(self.feature(image)), labels, self.smoothing)
