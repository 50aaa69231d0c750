"""DDAG: dynamic dual-attentive aggregation, for cross-modality search (Ye et al., ECCV 2020).

A ResNet whose stem is one for each modality and whose stages are shared; x is its pooled feature.

Intra-modality weighted-part attention (IWPA): the map pooled in p = 3 stripes x_1 ... x_p gives
(Eq. 2-5)

    a_ij = softmax_j (u(x_i)^T v(x_j)),   x* = BN(BN(x) + sum_i w_i sum_j a_ij z(x_j)),

w a softmax of p learned numbers. It is what is compared. Cross-modality graph attention (CGSA), in
training alone: the samples of a batch are the nodes of a graph whose edges join an identity's
images, A = l l^T + I, whatever their modality (Eq. 6-9); four heads h of a graph attention layer,

    e_ij = LeakyReLU([W x_i, W x_j] a),   a_ij = softmax_j (e_ij) over the edges of i,
    x_i' = ELU(sum_j a_ij W x_j),

and a fifth that classifies their concatenation, give L_g. The loss (Eq. 10-11) is

    L = L_P + 1 / (1 + E[L_P of the epoch before]) L_g,   L_P = CE(x) + L_tri(x) + CE(x*),

so that the graph counts more the better the parts are learned; in the first epoch it counts
nothing. Dropout 0.2, LeakyReLU's slope 0.2 and the residual on BN(x) are those of the published
code. A sample's edges lead to its own images in other modalities, too.
Left out: its learning rate of a tenth for the backbone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from denet.graph import Modality
from denet.rivals.heads import HardTriplet, classifier, smoothed
from denet.rivals.rival import OneSpace, Setting

PARTS = 3
HEADS, HIDDEN = 4, 256
DROPOUT, SLOPE = 0.2, 0.2


class PartAttention(nn.Module):
    """IWPA: stripes (B, C, p) and BN(x) (B, C) -> x* (B, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.u = nn.Linear(channels, channels)
        self.v = nn.Linear(channels, channels)
        self.z = nn.Linear(channels, channels)
        self.weights = nn.Parameter(torch.full((PARTS,), 1 / PARTS))
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, stripes: Tensor, feature: Tensor) -> Tensor:
        parts = stripes.transpose(1, 2)
        attention = (self.u(parts) @ self.v(parts).transpose(1, 2)).softmax(dim=2)
        refined = attention @ self.z(parts)
        weighed = (self.weights.softmax(dim=0)[:, None] * refined).sum(dim=1)
        made: Tensor = self.norm(feature + weighed)
        return made


class GraphAttention(nn.Module):
    """One head: nodes (N, C) on a graph (N, N) of 0 and 1 -> (N, D)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Linear(channels, out, bias=False)
        self.source = nn.Linear(out, 1, bias=False)
        self.target = nn.Linear(out, 1, bias=False)
        for layer in (self.weight, self.source, self.target):
            nn.init.xavier_uniform_(layer.weight, gain=1.414)

    def forward(self, nodes: Tensor, graph: Tensor) -> Tensor:
        made: Tensor = self.weight(nodes)
        # [W x_i, W x_j] a is the sum of two halves.
        edges = functional.leaky_relu(self.source(made) + self.target(made).T, SLOPE)
        attention = edges.masked_fill(graph == 0, float("-inf")).softmax(dim=1)
        combined: Tensor = functional.dropout(attention, DROPOUT, self.training) @ made
        return combined


class DDAG(OneSpace):
    """The network.

    Attributes:
        graph_weight: of L_g, in this epoch.
    """

    graph_weight: Tensor
    part_loss: Tensor
    stages: nn.Sequential

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        resnet = setting.resnet("DDAG")
        channels = resnet.channels
        self.stages = resnet.stages
        self.stems = nn.ModuleDict({m: setting.resnet("DDAG").stem for m in self.modalities})
        self.neck = nn.BatchNorm1d(channels)
        self.classifier = classifier(channels, setting.identities)
        self.parts = PartAttention(channels)
        self.heads = nn.ModuleList(GraphAttention(channels, HIDDEN) for _ in range(HEADS))
        self.out = GraphAttention(HEADS * HIDDEN, setting.identities)
        self.triplet = HardTriplet(setting.train.margin)
        self.smoothing = setting.train.smoothing
        self.dim = channels
        self.register_buffer("graph_weight", torch.zeros(()))
        self.register_buffer("part_loss", torch.zeros(2))  # sum and number in this epoch

    def begin_epoch(self) -> None:
        total, number = self.part_loss.tolist()
        if number:
            self.graph_weight.fill_(1 / (1 + total / number))
        self.part_loss.zero_()

    def three(self, images: Mapping[Modality, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """x, BN(x) and x*, (MB, C) each, modality by modality."""
        feature = self.stages(torch.cat([self.stems[m](image) for m, image in images.items()]))
        pooled = feature.mean(dim=(2, 3))
        stripes = functional.adaptive_avg_pool2d(feature, (PARTS, 1)).flatten(2)
        normal = self.neck(pooled)
        return pooled, normal, self.parts(stripes, normal)

    def feature(self, image: Tensor, modality: Modality) -> Tensor:
        return self.three({modality: image})[2]

    def on_graph(self, nodes: Tensor, labels: Tensor) -> Tensor:
        """Logits (N, identities) of nodes (N, C)."""
        graph = labels[:, None] == labels
        nodes = functional.dropout(nodes, DROPOUT, self.training)
        nodes = torch.cat([functional.elu(head(nodes, graph)) for head in self.heads], dim=1)
        nodes = functional.dropout(nodes, DROPOUT, self.training)
        logits: Tensor = functional.elu(self.out(nodes, graph))
        return logits

    def loss(self, images: Mapping[Modality, Tensor], labels: Tensor) -> Tensor:
        labels = labels.repeat(len(images))
        pooled, normal, attended = self.three(images)
        parts = (
            smoothed(self.classifier(normal), labels, self.smoothing)
            + self.triplet(pooled, labels)
            + smoothed(self.classifier(attended), labels, self.smoothing)
        )
        self.part_loss += torch.stack([parts.detach(), torch.ones_like(parts)])
        on_graph = smoothed(self.on_graph(pooled, labels), labels)
        total: Tensor = parts + self.graph_weight * on_graph
        return total
