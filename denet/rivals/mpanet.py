"""MPANet: modality and pattern alignment, for cross-modality search (Wu et al., CVPR 2021).

One ResNet for all modalities. Behind its last two stages, the modality alleviation module takes out
what is the modality's by instance normalization, where a channel's gate says so:

    F' = m F + (1 - m) IN(F),   m = sigmoid(W2 ReLU(W1 GAP(F))).

Pattern alignment: a 1x1 convolution makes P = 6 masks, sigmoid, that pool the map P times; they and
the GAP side by side are the feature f. Masks are kept apart by L_sep, the mean over pairs of the
sum of their products over places. Centre-cluster loss, rho = 0.7:

    L_cc = mean_i ||f_i - c_(y_i)|| + 2 / (I (I - 1)) sum_(k<d) max(rho - ||c_k - c_d||, 0).

Behind a BN neck, one classifier for all modalities (L_id) and one for each, v_m (L_sid). Slow
copies (0.8 old + 0.2 new at each step) of the others' classifiers have to agree with v_m on a
sample of modality m, so that no modality can be told by its prediction:
L_mod = KL(v_m(f) || slow v_k(f)), k != m. The loss is

    L = L_id + L_cc + 0.5 L_sid + 2.5 L_mod + 0.5 L_sep,

weights of the published code for SYSU-MM01. It has two modalities; here L_mod is a mean over the
other ones, L_sid a mean over modalities. What is compared is the feature behind the neck. Left out:
384x128 images, and its schedule.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.graph import Modality
from denet.rivals.heads import centres, classifier, smoothed
from denet.rivals.rival import OneSpace, Setting

PATTERNS = 6
MARGIN = 0.7
SLOWNESS = 0.8
ALONE, MUTUAL, APART = 0.5, 2.5, 0.5


class Alleviation(nn.Module):
    """F (B, C, h, w) -> F', of the same shape."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.gate = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, feature: Tensor) -> Tensor:
        mean = feature.mean(dim=(2, 3), keepdim=True)
        deviation = (feature.var(dim=(2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
        gate = self.gate(mean.flatten(1))[:, :, None, None]
        made: Tensor = gate * feature + (1 - gate) * (feature - mean) / deviation
        return made


def centre_cluster(vectors: Tensor, labels: Tensor, margin: float = MARGIN) -> Tensor:
    """L_cc of vectors (B, D) and labels (B,)."""
    middle, place = centres(vectors, labels)
    spread: Tensor = (vectors - middle[place]).norm(dim=1).mean()
    if len(middle) < 2:
        return spread
    between: Tensor = (margin - functional.pdist(middle)).clamp(min=0).mean()
    total: Tensor = spread + between
    return total


def overlap(masks: Tensor) -> Tensor:
    """L_sep of masks (B, P, h, w): the mean over samples and pairs of their products' sum."""
    flat = masks.flatten(2)
    products = flat @ flat.transpose(1, 2)
    above = torch.triu(torch.ones_like(products[0]), diagonal=1).bool()
    return products[:, above].mean()


class MPANet(OneSpace):
    """The network."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.backbone = setting.resnet("MPANet")
        channels = self.backbone.channels
        before = _width(self.backbone.stages[2])
        self.alleviate = nn.ModuleList([Alleviation(before), Alleviation(channels)])
        self.patterns = nn.Conv2d(channels, PATTERNS, 1)
        self.dim = (PATTERNS + 1) * channels
        self.neck = nn.BatchNorm1d(self.dim)
        self.classifier = classifier(self.dim, setting.identities)
        self.alone = nn.ModuleDict(
            {m: classifier(self.dim, setting.identities) for m in self.modalities}
        )
        self.slow = nn.ModuleDict(
            {m: classifier(self.dim, setting.identities) for m in self.modalities}
        )
        self.slow.load_state_dict(self.alone.state_dict())
        self.slow.requires_grad_(False)
        self.smoothing = setting.train.smoothing

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """f (B, 7C) and the masks (B, 6, h, w)."""
        *first, third, last = self.backbone.stages
        x = self.backbone.stem(image)
        for stage in first:
            x = stage(x)
        x = self.alleviate[0](third(x))
        x = self.alleviate[1](last(x))
        masks = self.patterns(x).sigmoid()
        parts = torch.einsum("bphw,bchw->bpc", masks, x) / x[0, 0].numel()
        return torch.cat([parts.flatten(1), x.mean(dim=(2, 3))], dim=1), masks

    def feature(self, image: Tensor, modality: Modality) -> Tensor:  # noqa: ARG002
        made: Tensor = self.neck(self.both(image)[0])
        return made

    def loss(self, images: Mapping[Modality, Tensor], labels: Tensor) -> Tensor:
        vectors, masks = self.both(torch.cat(list(images.values())))
        every = labels.repeat(len(images))
        normal = self.neck(vectors)
        total = (
            smoothed(self.classifier(normal), every, self.smoothing)
            + centre_cluster(vectors, every)
            + APART * overlap(masks)
        )
        self._follow()
        alone, mutual = [], []
        for m, mine in zip(images, normal.chunk(len(images)), strict=True):
            logits = self.alone[m](mine)
            alone.append(smoothed(logits, labels, self.smoothing))
            for k in images:
                if k != m:
                    with torch.no_grad():
                        told = self.slow[k](mine).log_softmax(dim=1)
                    own = logits.log_softmax(dim=1)
                    mutual.append(
                        functional.kl_div(told, own, reduction="batchmean", log_target=True)
                    )
        total = total + ALONE * torch.stack(alone).mean()
        return total + MUTUAL * torch.stack(mutual).mean() if mutual else total

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the slow copies follow."""
        if self.training:
            pairs = zip(self.slow.parameters(), self.alone.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - SLOWNESS)


def _width(stage: nn.Module) -> int:
    """The channels that a stage of a ResNet ends with."""
    norms = [m for m in stage.modules() if isinstance(m, nn.BatchNorm2d)]
    return max(norm.num_features for norm in norms)
