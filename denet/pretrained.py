"""Weights of others into a backbone: which tensor of a file belongs where, or that none does.

A file has its own prefixes (`module.`, `backbone.`, `BACKBONE.base.`), classifiers and other heads,
and may have several backbones, one for each modality. The tensors of a backbone are looked for by
the names that its library gives them, behind whatever prefix holds most of them. Where a file uses
other names for the same network, as torchvision's MobileNetV2 for timm's, the order of the tensors
tells, if every shape agrees. A backbone is loaded as a whole or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from denet.backbone import Backbone
from denet.branch import Branch
from denet.config import ConfigError, ModelConfig
from denet.folders import modality_of
from denet.graph import Modality, branch_engine
from denet.model import DENet
from denet.weights import WeightFile

COUNTER = "num_batches_tracked"
"""What batch normalization counts and nothing computes with; old files lack it."""


@dataclass(frozen=True)
class Loaded:
    """What a backbone got.

    Attributes:
        tensors: how many.
        prefix: that their names had in the file.
        left: names in the file that were not used for it.
        by_order: the names were others, and the order told.
    """

    tensors: int
    prefix: str
    left: tuple[str, ...]
    by_order: bool


def load_into(model: DENet, weights: WeightFile) -> str:
    """Load weights into the backbone of every branch.

    Args:
        model: all of its backbones are of one architecture.
        weights: of one such backbone, or of one for each modality.

    Returns:
        What was loaded and what not, in one line.

    Raises:
        ConfigError: they are of another architecture; nothing is loaded then.
    """
    name = model.config.backbone
    found: dict[Modality, Loaded] = {}
    for modality in model.graph.modalities:
        found[modality] = load_backbone(backbone_of(model, modality), weights, modality, name)
    prefixes = {each.prefix for each in found.values()}
    used = {each.tensors for each in found.values()}
    first = next(iter(found.values()))
    left = set(first.left).intersection(*(each.left for each in found.values()))
    told = [f"{weights.source}: {used.pop()} tensors of {name}"]
    if len(prefixes) > 1:
        told.append("one backbone for each modality")
    elif first.prefix:
        told.append(f"under {first.prefix}")
    if first.by_order:
        told.append("by their order")
    if left:
        some = ", ".join(sorted(left)[:3])
        told.append(f"not used: {len(left)} others ({some}{', ...' if len(left) > 3 else ''})")
    return "; ".join([", ".join(told), *_normalized(model.config, weights)])


def backbone_of(model: DENet, modality: Modality) -> Backbone:
    """The backbone of a modality's branch."""
    branch = model.engines[branch_engine(modality)]
    assert isinstance(branch, Branch)
    return branch.backbone


def load_backbone(backbone: Backbone, weights: WeightFile, modality: Modality, name: str) -> Loaded:
    """Load weights into one backbone, all of it.

    Args:
        backbone: to load into.
        weights: of it, with or without a prefix and other tensors.
        modality: whose backbone is taken where there are several.
        name: of the backbone, for messages.

    Raises:
        ConfigError: the file lacks a tensor of it, or has one of another shape.
    """
    own = backbone.state_dict()
    wanted = {n: each for n, each in own.items() if not n.endswith(COUNTER)}
    prefix, matched = _by_name(backbone, wanted, weights.tensors, modality)
    by_order = False
    if len(matched) < len(wanted) and (ordered := _by_order(wanted, weights.tensors)):
        prefix, matched, by_order = "", ordered, True
    if not matched:
        raise ConfigError(
            f"{weights.source}: holds nothing of {name}: its {len(weights.tensors)} tensors have "
            f"other names, such as {next(iter(weights.tensors))}"
        )
    values = {n: _fitted(weights.tensors[matched[n]], wanted[n]) for n in wanted if n in matched}
    wrong = [n for n in wanted if values.get(n) is None]
    if wrong:
        raise ConfigError(
            f"{weights.source}: weights of another architecture than {name}: {len(wrong)} of its "
            f"{len(wanted)} tensors do not fit, first {_misfit(wrong[0], wanted, weights, matched)}"
        )
    used = set(matched.values())
    left = tuple(n for n in weights.tensors if n not in used and not n.endswith(COUNTER))
    if not by_order and (more := _more_of(backbone, wanted, prefix, left)):
        raise ConfigError(
            f"{weights.source}: weights of another architecture than {name}: it has no place for "
            f"{len(more)} tensors, first {more[0]}"
        )
    with torch.no_grad():
        for n, value in values.items():
            assert value is not None
            own[n].copy_(value)
    keep_statistics(backbone)
    return Loaded(len(values), prefix, left, by_order)


def keep_statistics(backbone: nn.Module) -> None:
    """Say of every batch normalization that its statistics are of real images, which files of old
    do not."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d) and module.num_batches_tracked is not None:
            module.num_batches_tracked.clamp_(min=1)


def _by_name(
    backbone: Backbone,
    wanted: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    modality: Modality,
) -> tuple[str, dict[str, str]]:
    """The prefix under which most of a backbone is, and the file's name for each of its tensors."""
    best: tuple[str, dict[str, str]] = ("", {})
    for names in ({n: backbone.library_name(n) for n in wanted}, {n: n for n in wanted}):
        # timm's feature maps join by an underscore what its classifiers join by a dot.
        searched = {library.replace(".", "_"): n for n, library in names.items()}
        prefixes: Counter[str] = Counter()
        for given in tensors:
            parts = given.split(".")
            for i in range(len(parts)):
                own = searched.get("_".join(parts[i:]))
                if own is not None:
                    prefixes["".join(f"{part}." for part in parts[:i])] += 1
        if not prefixes:
            continue
        most = max(prefixes.values())
        tied = [prefix for prefix, count in prefixes.items() if count == most]
        prefix = next((each for each in tied if modality in _named(each)), tied[0])
        matched = {
            searched[rest]: given
            for given in tensors
            if given.startswith(prefix)
            and (rest := given.removeprefix(prefix).replace(".", "_")) in searched
        }
        if len(matched) > len(best[1]):
            best = prefix, matched
    return best


def _more_of(
    backbone: Backbone, wanted: Mapping[str, Tensor], prefix: str, left: Sequence[str]
) -> list[str]:
    """Of the names that are left, those of a part that the backbone has, and that is longer in the
    file: `layer3.5.conv1.weight` of a deeper network."""
    parts = {backbone.library_name(n).partition(".")[0] + "_" for n in wanted}
    return [
        n
        for n in left
        if n.startswith(prefix)
        and n.removeprefix(prefix).replace(".", "_").startswith(tuple(parts))
    ]


def _named(prefix: str) -> set[Modality | None]:
    """The modalities that a prefix names: `NI.` or `engines.branch_rgb.`."""
    return {modality_of(word) for part in prefix.split(".") for word in part.split("_")}


def _by_order(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The file's name for each tensor, if the file begins with tensors of all these shapes in this
    order; empty if not."""
    given = [n for n in tensors if not n.endswith(COUNTER)]
    if len(given) < len(wanted):
        return {}
    pairs = list(zip(wanted, given))  # noqa: B905
    if any(wanted[own].shape != tensors[other].shape for own, other in pairs):
        return {}
    return dict(pairs)


def _fitted(given: Tensor, wanted: Tensor) -> Tensor | None:
    """A tensor of the file as the backbone needs it; None if it is of another shape.

    A first convolution for one channel becomes one for three that does the same to a grey image.
    """
    if given.shape == wanted.shape:
        return given
    if given.ndim == 4 and given.shape[1] == 1 and wanted.shape[1:2] == (3,):
        spread = given.repeat(1, 3, 1, 1) / 3
        return spread if spread.shape == wanted.shape else None
    return None


def _misfit(
    name: str, wanted: Mapping[str, Tensor], weights: WeightFile, matched: Mapping[str, str]
) -> str:
    shape = tuple(wanted[name].shape)
    if name not in matched:
        return f"{name} {shape}, which it lacks"
    other = matched[name]
    return f"{name} {shape}: its {other} is {tuple(weights.tensors[other].shape)}"


def _normalized(config: ModelConfig, weights: WeightFile) -> list[str]:
    """What to say where a recipe normalizes images otherwise than the weights were trained on."""
    if weights.mean is None or weights.std is None:
        return []
    others = [
        m
        for m in config.graph.modalities
        if (config.normalization_of(m).mean, config.normalization_of(m).std)
        != (weights.mean, weights.std)
    ]
    if not others:
        return []
    return [
        f"it was trained on images normalized by mean {list(weights.mean)} and std "
        f"{list(weights.std)}, and the recipe has others for {', '.join(others)}: see "
        "[model.normalization]"
    ]
