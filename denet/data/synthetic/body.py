"""An identity in a pose, painted part by part as a camera sees it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from denet.data.synthetic.painter import Floats, Painter, Patch, azimuth, cover
from denet.data.synthetic.person import Material, Pattern, Person
from denet.data.synthetic.pose import FOREARM, THIGH, UPPER_ARM, Point, Pose


def paint_person(
    painter: Painter, person: Person, pose: Pose, at: dict[str, Point], scale: float
) -> None:
    """Paint `person` into `painter`, the farthest part first.

    Args:
        painter: where.
        person: who.
        pose: in which `at` shows them.
        at: their joints, from `pose.project`.
        scale: pixels for a metre.
    """
    body = _Body(painter, person, pose, at, scale)
    for _, part in sorted(body.parts(), key=lambda item: item[0]):
        part()


def _rank(depth: float) -> float:
    """When a part is painted: the legs come at -1, the torso over them at 0.

    What is behind the body is behind its legs as well.
    """
    return depth if depth > -0.03 else depth - 2


class _Body:
    def __init__(
        self, painter: Painter, person: Person, pose: Pose, at: dict[str, Point], scale: float
    ) -> None:
        self.painter, self.pose, self.at, self.scale = painter, pose, at, scale
        self.physique, self.outfit = person.physique, person.outfit

    def parts(self) -> list[tuple[float, Callable[[], None]]]:
        """Each part with its rank."""
        outfit = self.outfit
        parts: list[tuple[float, Callable[[], None]]] = [
            (-0.01, self._neck),
            (0.0, self._torso),
            (0.02, self._head),
        ]
        for name, sign in (("left", 1), ("right", -1)):
            knee = float(self.at[f"{name}_knee"][2])
            parts.append((0.1 * knee - 1, partial(self._leg, name, 0.95 if knee > 0 else 0.75)))
            arm = self._depth(f"{name}_elbow", f"{name}_hand")
            light = 0.97 if self.at[f"{name}_elbow"][2] > -0.05 else 0.75
            parts.append((_rank(arm), partial(self._arm, name, sign, light)))
        if outfit.bottom == "skirt":
            parts.append((-0.5, self._skirt))
        if outfit.hair == "long" and not outfit.hood:
            behind = self._depth("hair_top", "hair_foot") < self._depth("head")
            parts.append((-0.02 if behind else 0.03, self._long_hair))
        if outfit.bag == "backpack":
            parts.append((_rank(3 * self._depth("pack_top", "pack_foot")), self._backpack))
        if outfit.bag == "shoulder":
            parts.append((_rank(self._depth("satchel_top", "satchel_foot")), self._satchel))
        return parts

    def _depth(self, *names: str) -> float:
        return float(sum(self.at[name][2] for name in names)) / len(names)

    def _wide(self, lateral: float, deep: float) -> float:
        """Pixels of the half width of an elliptical section, as it is turned to the camera."""
        yaw = self.pose.yaw
        return self.scale * math.hypot(lateral * math.cos(yaw), deep * math.sin(yaw))

    def _limb(self, start: str, end: str, first: float, last: float) -> Patch:
        scale = self.scale
        return self.painter.limb(self.at[start], self.at[end], first * scale, last * scale)

    def _ball(self, middle: str, radius: float) -> Patch:
        return self.painter.ball(self.at[middle], radius * self.scale, radius * self.scale)

    def _leg(self, name: str, light: float) -> None:
        girth, outfit = self.physique.girth, self.outfit
        skirt = outfit.bottom == "skirt"
        covered, loose = (0.0, 0.0) if skirt else (outfit.legs_covered, outfit.loose)
        hip, knee, ankle, toe = (f"{name}_{joint}" for joint in ("hip", "knee", "ankle", "toe"))
        shin = self._limb(knee, ankle, 0.062 * girth + loose, 0.044 + loose)
        material = cover(
            Material.SKIN,
            (shin.along < (covered - THIGH) / (1 - THIGH), Material.BOTTOM),
            (shin.along > (0.55 if outfit.boots else 0.95), Material.SHOES),
        )
        self.painter.put(shin, material, distal=0.35 + 0.35 * shin.along, light=light)
        shoe = self._limb(ankle, toe, 0.05, 0.042)
        self.painter.put(shoe, Material.SHOES, distal=0.8, light=light)
        thigh = self._limb(hip, knee, 0.094 * girth + loose / 2, 0.064 * girth + loose)
        material = cover(Material.BOTTOM, (thigh.along > covered / THIGH, Material.SKIN))
        self.painter.put(thigh, material, distal=0.1 + 0.25 * thigh.along, light=light)

    def _skirt(self) -> None:
        hip = self._wide(self.physique.hip + 0.03, 0.13)
        hem = hip * 1.12 + self.scale * self.outfit.loose * 2
        widths = [(0.0, hip * 0.9), (1.0, hem)]
        patch = self.painter.shape(self.at["waist"], self.at["skirt_hem"], widths)
        self.painter.put(patch, Material.BOTTOM, distal=0.15 + 0.3 * patch.along)

    def _torso(self) -> None:
        physique, outfit = self.physique, self.outfit
        girth, loose = physique.girth, outfit.loose
        # From the neck to the crotch: the share of the way, half width and half depth in metres.
        sections = [
            (0.0, 0.075, 0.065),
            (0.06, physique.shoulder * 0.66, 0.085),
            (0.14, physique.shoulder * 0.93, 0.115 * girth),
            (0.40, physique.shoulder * 0.88 + loose / 2, 0.135 * girth + loose / 2),
            (0.68, (physique.shoulder + physique.hip) * 0.43 + loose, 0.125 * girth + loose),
            (1.0, physique.hip + 0.02 + loose / 2, 0.13 * girth + loose / 2),
        ]
        top, foot = self.at["neck"], self.at["crotch"]
        crotch = 1.0
        if outfit.coat:
            foot = self.at["coat_hem"]
            crotch = float((self.at["crotch"] - top)[1] / (foot - top)[1])
            sections = [(share * crotch, a, b) for share, a, b in sections]
            sections.append((1.0, physique.hip + 0.055 + loose, 0.155 * girth + loose))
        widths = [(share, self._wide(a, b)) for share, a, b in sections]
        patch = self.painter.shape(top, foot, widths)
        angle, along = azimuth(patch, self.pose.yaw), patch.along / crotch
        layers = [(along > (2.0 if outfit.coat else 0.93), Material.BOTTOM)]
        if outfit.open_front:
            layers.append(((np.abs(angle) < 0.15 + 0.3 * along) & (along < 0.9), Material.INNER))
        if outfit.bag == "backpack":
            layers.append(((np.abs(np.abs(angle) - 0.75) < 0.13) & (along < 0.5), Material.BAG))
        if outfit.bag == "shoulder":
            line = np.abs(outfit.side * angle * 0.32 - (along - 0.45)) < 0.05
            layers.append((line & (np.abs(angle) < math.pi / 2), Material.BAG))
        pattern = _pattern(outfit.pattern, 0.17 * angle, along * (physique.stature * 0.33), angle)
        self.painter.put(patch, cover(Material.TOP, *layers), pattern=pattern)

    def _arm(self, name: str, sign: int, light: float) -> None:
        girth, outfit = self.physique.girth, self.outfit
        loose, length = outfit.loose * 0.8, UPPER_ARM + FOREARM
        shoulder, elbow, hand = (f"{name}_{joint}" for joint in ("shoulder", "elbow", "hand"))
        upper = self._limb(shoulder, elbow, 0.054 * girth + loose, 0.046 * girth + loose)
        lower = self._limb(elbow, hand, 0.045 * girth + loose, 0.033 + loose)
        if sign == outfit.side and outfit.bag == "hand":
            self._tote(hand)
        self.painter.put(self._ball(hand, 0.047), Material.SKIN, distal=0.55)
        for patch, start, part in ((lower, UPPER_ARM, FOREARM), (upper, 0.0, UPPER_ARM)):
            reach = start + patch.along * part
            self.painter.put(
                patch,
                cover(Material.TOP, (reach > outfit.sleeve * length, Material.SKIN)),
                pattern=_pattern(outfit.pattern, 0.06 * patch.across, reach, None),
                distal=0.1 + 0.35 * reach / length,
                light=light,
            )
        if sign == outfit.held_side and outfit.held != "none":
            self._held(hand)

    def _held(self, hand: str) -> None:
        tall, wide = (0.075, 0.038) if self.outfit.held == "phone" else (0.1, 0.045)
        rise = np.array([0, tall * self.scale, 0])
        widths = [(0.0, wide * self.scale), (1.0, wide * self.scale)]
        at = self.at[hand]
        self.painter.put(
            self.painter.shape(at - 1.3 * rise, at + 0.5 * rise, widths), Material.HELD
        )

    def _tote(self, hand: str) -> None:
        at, wide = self.at[hand], self._wide(0.06, 0.15)
        foot = at + np.array([0, 0.4 * self.scale, 0])
        widths = [(0.0, wide * 0.25), (0.3, wide * 0.8), (0.4, wide), (1.0, wide)]
        self.painter.put(self.painter.shape(at, foot, widths), Material.BAG, distal=0.5)

    def _backpack(self) -> None:
        wide = self._wide(0.155, 0.105)
        shares = [(0, 0.55), (0.05, 0.8), (0.12, 0.92), (0.6, 1.0), (0.95, 0.95), (1, 0.85)]
        widths = [(along, wide * share) for along, share in shares]
        patch = self.painter.shape(self.at["pack_top"], self.at["pack_foot"], widths)
        self.painter.put(patch, Material.BAG)

    def _satchel(self) -> None:
        wide = self._wide(0.05, 0.14)
        top, foot = self.at["satchel_top"], self.at["satchel_foot"]
        self.painter.put(self.painter.shape(top, foot, [(0, wide), (1, wide)]), Material.BAG)

    def _neck(self) -> None:
        patch = self._limb("throat", "neck", 0.058, 0.065)
        self.painter.put(patch, Material.TOP if self.outfit.hood else Material.SKIN, light=0.8)

    def _head(self) -> None:
        outfit, high = self.outfit, self.physique.head / 2 * self.scale
        wide = self._wide(0.082, 0.098)
        if outfit.hood:
            hood = self.painter.ball(self.at["head"], wide * 1.22, high * 1.12)
            self.painter.put(hood, Material.TOP, light=0.9)
        patch = self.painter.ball(self.at["head"], wide, high)
        # The face is where the surface looks forward.
        toward = np.sqrt(np.maximum(1 - patch.across**2 - patch.down**2, 0))
        front = np.cos(np.arctan2(patch.across, toward) - self.pose.yaw)
        along = patch.along
        layers = [((np.abs(along - 0.47) < 0.06) & (front > 0.35), Material.EYES)]
        if outfit.hair != "bald":
            layers.append(((along < 0.27) | ((front < 0.15) & (along < 0.72)), Material.HAIR))
        if outfit.hood:
            layers.append(((along < 0.2) | (front < 0.45), Material.TOP))
        if outfit.hat:
            layers.append((along < 0.36, Material.HAT))
        self.painter.put(patch, cover(Material.SKIN, *layers))
        if outfit.hat and self.at["brim"][2] > self.at["head"][2] - 0.1:
            self.painter.put(self._ball("brim", 0.045), Material.HAT, light=0.8)

    def _long_hair(self) -> None:
        patch = self._limb("hair_top", "hair_foot", 0.1, 0.09)
        self.painter.put(patch, Material.HAIR, light=0.95)


def _pattern(
    pattern: Pattern, around: Floats, along: Floats, angle: Floats | None
) -> NDArray[np.float32] | float:
    """How much of the second colour shows.

    Args:
        pattern: of the garment.
        around: metres around the body or the arm.
        along: metres down from the neck or the shoulder.
        angle: from the person's front, radians; None on an arm.
    """
    if pattern.kind == "none":
        return 0.0
    period, contrast = pattern.period, np.float32(pattern.contrast)
    across, down = around % period < period / 2, along % period < period / 2
    if pattern.kind == "checks":
        return (across.astype(np.float32) + down) * (contrast / 2)
    if pattern.kind == "print":
        if angle is None:
            return 0.0
        shows = (np.abs(angle) < 0.6) & (along > 0.1) & (along < 0.1 + 1.6 * period)
    elif pattern.kind == "yoke":
        shows = along < 0.16
    else:
        shows = down if pattern.kind == "horizontal" else across
    return shows * contrast
