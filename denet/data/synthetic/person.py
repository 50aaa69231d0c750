"""Who is seen: the attributes of an identity, in which modality each shows, and how they are drawn.

An identity is a physique and an outfit, which are geometry and show in every modality, and a look
for each material: a colour that only visible light sees, a reflectance that only near infrared
sees, and a heat that only thermal infrared sees. The three are drawn around what the garment is
made of, so that one tells a little about the others and nothing for certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, TypeVar

import numpy as np

Colour = tuple[float, float, float]
"""Red, green, blue, each in 0..1 as displayed."""

Bottom = Literal["trousers", "shorts", "skirt"]
Hair = Literal["bald", "short", "long"]
Bag = Literal["none", "backpack", "shoulder", "hand"]
Held = Literal["none", "cold drink", "hot drink", "phone"]
PatternKind = Literal["none", "horizontal", "vertical", "checks", "print", "yoke"]


class Material(IntEnum):
    """What a point of the picture shows; 0 is the scene behind the person."""

    SCENE = 0
    SKIN = 1
    EYES = 2
    HAIR = 3
    TOP = 4
    PATTERN = 5  # the second colour of a patterned top; mixed into TOP, painted nowhere itself
    INNER = 6
    BOTTOM = 7
    SHOES = 8
    HAT = 9
    BAG = 10
    HELD = 11
    OCCLUDER = 12


@dataclass(frozen=True)
class Look:
    """How a material looks in each modality.

    Attributes:
        colour: in visible light.
        reflectance: in near infrared, 0..1.
        heat: of its surface; 0 is cold sky, 1 the bare skin of the face.
    """

    colour: Colour
    reflectance: float
    heat: float


@dataclass(frozen=True)
class Physique:
    """The body, in metres. `shoulder` and `hip` are half widths; `girth` scales all thickness."""

    stature: float
    leg: float
    shoulder: float
    hip: float
    head: float
    girth: float


@dataclass(frozen=True)
class Pattern:
    """The pattern of the top: its `period` in metres, its `contrast` 0..1."""

    kind: PatternKind
    period: float
    contrast: float


@dataclass(frozen=True)
class Outfit:
    """What is worn and carried, as geometry.

    Attributes:
        sleeve: the share of the arm that is covered; 0 is sleeveless, 1 reaches the wrist.
        coat: the share of the leg that the top hangs over; 0 ends at the hip.
        legs_covered: the share of the leg that trousers, shorts or skirt cover.
        loose: metres by which garments stand off the body.
        side: +1 carries the bag on the left, -1 on the right.
    """

    sleeve: float
    coat: float
    open_front: bool
    bottom: Bottom
    legs_covered: float
    loose: float
    boots: bool
    hood: bool
    hat: bool
    hair: Hair
    pattern: Pattern
    bag: Bag
    held: Held
    side: Literal[-1, 1]

    @property
    def held_side(self) -> int:
        """The side of what is held: a hand that carries a bag is not free."""
        return -self.side if self.bag == "hand" else self.side


@dataclass(frozen=True)
class Person:
    """One identity; equal in every shot of every camera."""

    physique: Physique
    outfit: Outfit
    looks: Mapping[Material, Look]


# Few colours, and most clothing dark: in visible light alone, many people are alike.
CLOTH_COLOURS: dict[str, Colour] = {
    "black": (0.10, 0.10, 0.11),
    "charcoal": (0.23, 0.23, 0.25),
    "grey": (0.50, 0.50, 0.51),
    "white": (0.88, 0.87, 0.85),
    "navy": (0.14, 0.16, 0.26),
    "blue": (0.29, 0.37, 0.50),
    "khaki": (0.62, 0.54, 0.40),
    "brown": (0.34, 0.24, 0.18),
    "olive": (0.33, 0.35, 0.23),
    "red": (0.58, 0.16, 0.18),
    "pink": (0.80, 0.56, 0.60),
}


@dataclass(frozen=True)
class _Fabric:
    """What a garment is made of: mean and spread of reflectance and heat, and usual colours."""

    reflectance: tuple[float, float]
    heat: tuple[float, float]
    colours: str
    dark_share: float = 0.4


_FABRICS: dict[str, _Fabric] = {
    "cotton": _Fabric((0.62, 0.13), (0.64, 0.06), "black grey white navy red pink khaki olive"),
    "denim": _Fabric((0.56, 0.10), (0.56, 0.05), "blue navy blue black grey"),
    "wool": _Fabric((0.46, 0.13), (0.44, 0.06), "charcoal grey brown khaki navy red"),
    "synthetic": _Fabric((0.68, 0.15), (0.60, 0.08), "black navy blue red olive white"),
    "carbon": _Fabric((0.17, 0.06), (0.50, 0.09), "black charcoal navy"),
    "leather": _Fabric((0.28, 0.09), (0.38, 0.05), "black brown charcoal"),
    "down": _Fabric((0.60, 0.18), (0.29, 0.05), "black navy olive red khaki"),
}
_TOPS = {"cotton": 3, "denim": 1, "wool": 2, "synthetic": 3, "carbon": 2, "leather": 1, "down": 2}
_BOTTOMS = {"cotton": 3, "denim": 4, "wool": 1, "synthetic": 2, "carbon": 2}
_WARM_FABRICS = ("wool", "leather", "down")

_SKIN: tuple[Colour, ...] = (
    (0.87, 0.70, 0.60),
    (0.80, 0.61, 0.49),
    (0.66, 0.47, 0.36),
    (0.42, 0.28, 0.21),
)
_HAIR: tuple[Colour, ...] = (
    (0.09, 0.08, 0.08),
    (0.14, 0.11, 0.10),
    (0.27, 0.19, 0.14),
    (0.56, 0.44, 0.28),
    (0.55, 0.54, 0.53),
)

_Choice = TypeVar("_Choice")


def _pick(random: np.random.Generator, weights: Mapping[_Choice, float]) -> _Choice:
    share = np.array(list(weights.values()), dtype=float)
    return list(weights)[int(random.choice(len(share), p=share / share.sum()))]


def _one_of(random: np.random.Generator, choices: Sequence[_Choice]) -> _Choice:
    return choices[int(random.integers(len(choices)))]


def _near(random: np.random.Generator, colour: Colour, spread: float = 0.02) -> Colour:
    shade = random.normal(0, spread)
    r, g, b = (float(np.clip(c + shade + random.normal(0, spread / 2), 0.03, 0.95)) for c in colour)
    return r, g, b


def _around(
    random: np.random.Generator, value: tuple[float, float], low: float, high: float
) -> float:
    return float(np.clip(random.normal(*value), low, high))


def _garment(random: np.random.Generator, fabric: str) -> Look:
    made = _FABRICS[fabric]
    dark = random.random() < made.dark_share
    name = "black" if dark else _one_of(random, made.colours.split())
    return Look(
        _near(random, CLOTH_COLOURS[name]),
        _around(random, made.reflectance, 0.08, 0.92),
        _around(random, made.heat, 0.18, 0.78),
    )


def _thing(random: np.random.Generator, heat: tuple[float, float]) -> Look:
    """A bag, hat or shoe: any cloth colour, any reflectance."""
    colour = _one_of(random, ("black", "black", *CLOTH_COLOURS))
    return Look(
        _near(random, CLOTH_COLOURS[colour]),
        float(random.uniform(0.12, 0.75)),
        _around(random, heat, 0.05, 0.8),
    )


def draw_person(random: np.random.Generator) -> Person:
    """An identity drawn from `random`."""
    top = _pick(random, _TOPS)
    outfit = _draw_outfit(random, top)
    return Person(_draw_physique(random), outfit, _draw_looks(random, outfit, top))


def _draw_physique(random: np.random.Generator) -> Physique:
    stature = _around(random, (1.71, 0.09), 1.50, 1.95)
    girth = _around(random, (1.0, 0.12), 0.8, 1.35)
    return Physique(
        stature=stature,
        leg=stature * _around(random, (0.49, 0.014), 0.45, 0.53),
        shoulder=stature * _around(random, (0.128, 0.009), 0.105, 0.15) * girth**0.4,
        hip=stature * _around(random, (0.098, 0.008), 0.078, 0.12) * girth**0.7,
        head=_around(random, (0.238, 0.012), 0.21, 0.265),
        girth=girth,
    )


def _draw_outfit(random: np.random.Generator, top: str) -> Outfit:
    warm = top in _WARM_FABRICS
    bare_arms = not warm and random.random() < 0.45
    bottom: Bottom = _pick(
        random, {"trousers": 7, "shorts": 0.3 if warm else 2, "skirt": 1.5 if warm else 2}
    )
    covered = {"trousers": (0.9, 1.0), "shorts": (0.3, 0.55), "skirt": (0.35, 0.85)}[bottom]
    kind: PatternKind = _pick(
        random,
        {"none": 10, "horizontal": 3, "vertical": 2, "checks": 2, "print": 3, "yoke": 2},
    )
    hood = not bare_arms and random.random() < 0.15
    return Outfit(
        sleeve=float(random.uniform(0.1, 0.5) if bare_arms else random.uniform(0.85, 1.0)),
        coat=float(random.uniform(0.25, 0.65)) if warm and random.random() < 0.5 else 0.0,
        open_front=not bare_arms and random.random() < 0.35,
        bottom=bottom,
        legs_covered=float(random.uniform(*covered)),
        loose=float(random.uniform(0.005, 0.035)),
        boots=random.random() < 0.2,
        hood=hood,
        hat=not hood and random.random() < 0.2,
        hair=_pick(random, {"bald": 1, "short": 6, "long": 5}),
        pattern=Pattern(kind, float(random.uniform(0.07, 0.17)), float(random.uniform(0.4, 1))),
        bag=_pick(random, {"none": 5, "backpack": 3, "shoulder": 2, "hand": 2}),
        held=_pick(random, {"none": 6, "cold drink": 1, "hot drink": 1, "phone": 1}),
        side=_one_of(random, (-1, 1)),
    )


def _draw_looks(random: np.random.Generator, outfit: Outfit, top: str) -> dict[Material, Look]:
    # Melanin hardly absorbs near infrared: skin and hair are as bright whatever their colour.
    skin = Look(_near(random, _one_of(random, _SKIN)), _around(random, (0.76, 0.04), 0.6, 0.9), 1.0)
    hair = Look(
        _near(random, _one_of(random, _HAIR)),
        float(random.uniform(0.25, 0.5)),
        float(random.uniform(0.5, 0.7)),
    )
    body = _garment(random, top)
    inner = _garment(random, _one_of(random, ("cotton", "cotton", "synthetic", "wool")))
    # A print is dye, and dye is clear in near infrared; a woven pattern is another yarn.
    woven = random.random() < 0.5
    second = _near(random, _one_of(random, list(CLOTH_COLOURS.values())))
    yarn = float(random.uniform(0.12, 0.85)) if woven else body.reflectance + random.normal(0, 0.02)
    # Glass is opaque to thermal infrared and cold; in visible light glasses are a thin frame.
    glasses = random.random() < 0.3
    r, g, b = (0.6 * c for c in skin.colour)
    held_heat = {"none": 0.5, "cold drink": 0.03, "hot drink": 1.2, "phone": 0.85}[outfit.held]
    return {
        Material.SKIN: skin,
        Material.EYES: Look((r, g, b), 0.45, 0.3 if glasses else 1.02),
        Material.HAIR: hair,
        Material.TOP: body,
        Material.PATTERN: Look(second, float(yarn), body.heat),
        Material.INNER: Look(inner.colour, inner.reflectance, min(inner.heat + 0.12, 0.85)),
        Material.BOTTOM: _garment(random, _pick(random, _BOTTOMS)),
        Material.SHOES: _thing(random, (0.38, 0.07)),
        Material.HAT: _thing(random, (0.42, 0.08)),
        Material.BAG: _thing(random, (0.24, 0.06)),
        Material.HELD: _thing(random, (held_heat, 0.02)),
    }
