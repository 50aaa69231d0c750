"""How a person stands or walks, and where a camera sees their joints."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from denet.data.synthetic.person import Outfit, Physique

STATURE = 1.71
"""Metres; of the average person, whom the box around a person is made for."""

UPPER_ARM, FOREARM = 0.30, 0.26
"""Metres."""

THIGH = 0.52
"""The thigh's share of the leg."""

_ANKLE = 0.08

Joint = tuple[float, float, float]
"""Metres to the person's left, up from the ground, and forward."""

Point = NDArray[np.float64]
"""Pixels right and down, and depth towards the camera in metres: (3,)."""


@dataclass(frozen=True)
class Pose:
    """How a person walks at one moment; angles in radians.

    Attributes:
        yaw: turned to the picture's right; 0 faces the camera, pi shows the back.
        phase: of the gait, 0..2 pi.
        stride: the swing of a leg; 0 stands still.
        lean: metres forward for each metre up.
        arms_out: the arms' angle away from the body.
        elbows: the bend of the elbows.
    """

    yaw: float
    phase: float
    stride: float
    lean: float
    arms_out: float
    elbows: float


@dataclass(frozen=True)
class Viewpoint:
    """Where a picture shows a person; lengths in shares of the picture's height.

    Attributes:
        scale: the height of an average person.
        x: of the person, from the picture's middle.
        ground: of the feet, from the top.
        pitch: radians by which the camera looks down.
        roll: radians by which it is turned.
        shear: shift to the right for each unit up.
    """

    scale: float
    x: float
    ground: float
    pitch: float
    roll: float
    shear: float


def skeleton(physique: Physique, pose: Pose, outfit: Outfit) -> dict[str, Joint]:
    """Joints, and the ends of what hangs from them, by name."""
    joints: dict[str, Joint] = {}
    shoulders, leg = physique.stature - physique.head - 0.08, physique.leg

    def forward(y: float) -> float:
        return pose.lean * (y - leg)

    for name, sign in (("left", 1), ("right", -1)):
        swing = pose.stride * math.sin(pose.phase + (0 if sign > 0 else math.pi))
        ahead = math.cos(pose.phase + (0 if sign > 0 else math.pi))
        joints |= _leg(name, sign, physique, swing, pose.stride * max(0.0, ahead))
        arm, bend = -0.75 * swing, pose.elbows
        if sign == outfit.held_side and outfit.held != "none":
            arm, bend = 0.25, 1.75
        elif sign == outfit.side and outfit.bag == "hand":
            arm, bend = 0.4 * arm, 0.1
        shoulder = (sign * (physique.shoulder - 0.05), shoulders - 0.07, forward(shoulders))
        joints |= _arm(name, sign, shoulder, pose.arms_out, arm, bend)
    face = physique.stature - physique.head / 2
    joints |= {
        "neck": (0.0, shoulders + 0.02, forward(shoulders)),
        "throat": (0.0, shoulders + 0.08, forward(shoulders) + 0.02),
        "crotch": (0.0, leg - 0.06, 0.0),
        "waist": (0.0, leg + 0.1, forward(leg + 0.1)),
        "coat_hem": (0.0, leg * (1 - outfit.coat), 0.0),
        "skirt_hem": (0.0, leg * (1 - outfit.legs_covered), 0.0),
        "crown": (0.0, physique.stature, forward(physique.stature)),
        "head": (0.0, face, forward(face) + 0.03),
        "brim": (0.0, face + 0.05, forward(face) + 0.13),
        "hair_top": (0.0, face, forward(face) - 0.03),
        "hair_foot": (0.0, face - 0.27, forward(face) - 0.05),
        "pack_top": (0.0, shoulders - 0.03, forward(shoulders) - 0.17),
        "pack_foot": (0.0, shoulders - 0.45, 0.3 * forward(shoulders) - 0.17),
        "satchel_top": (outfit.side * (physique.hip + 0.06), leg + 0.12, 0.0),
        "satchel_foot": (outfit.side * (physique.hip + 0.07), leg - 0.14, 0.0),
    }
    return joints


def _leg(name: str, sign: int, physique: Physique, swing: float, lifted: float) -> dict[str, Joint]:
    thigh, shin = THIGH * (physique.leg - _ANKLE), (1 - THIGH) * (physique.leg - _ANKLE)
    # The leg that moves forward bends its knee.
    back = swing - 0.08 - 1.3 * lifted
    x = sign * physique.hip * 0.52
    knee = (x, physique.leg - thigh * math.cos(swing), thigh * math.sin(swing))
    ankle = (x, knee[1] - shin * math.cos(back), knee[2] + shin * math.sin(back))
    return {
        f"{name}_hip": (x, physique.leg, 0.0),
        f"{name}_knee": knee,
        f"{name}_ankle": ankle,
        f"{name}_toe": (x + sign * 0.03, ankle[1] - 0.045, ankle[2] + 0.15),
    }


def _arm(
    name: str, sign: int, shoulder: Joint, out: float, swing: float, bend: float
) -> dict[str, Joint]:
    x, y, z = shoulder
    elbow = (
        x + sign * UPPER_ARM * math.sin(out),
        y - UPPER_ARM * math.cos(out) * math.cos(swing),
        z + UPPER_ARM * math.sin(swing),
    )
    hand = (
        # A hand that is raised comes before the body.
        elbow[0] + sign * FOREARM * (0.3 * math.sin(out) - 0.35 * math.sin(bend)),
        elbow[1] - FOREARM * math.cos(swing + bend),
        elbow[2] + FOREARM * math.sin(swing + bend) * 0.93,
    )
    return {f"{name}_shoulder": shoulder, f"{name}_elbow": elbow, f"{name}_hand": hand}


def project(
    joints: dict[str, Joint],
    pose: Pose,
    view: Viewpoint,
    origin: tuple[float, float],
    height: float,
) -> tuple[dict[str, Point], float]:
    """Where `view` shows the joints of a person who stands on the ground.

    Args:
        joints: from `skeleton`.
        pose: its yaw turns the person.
        view: from where they are seen.
        origin: the picture's top middle in pixels, x and y.
        height: the picture's height in pixels.

    Returns:
        The points by name, and the scale in pixels for a metre.
    """
    left, up, ahead = np.array(list(joints.values())).T
    up = up - min(joints["left_ankle"][1], joints["right_ankle"][1]) + _ANKLE
    cos, sin = math.cos(pose.yaw), math.sin(pose.yaw)
    x, near = left * cos + ahead * sin, ahead * cos - left * sin
    # A detector's box follows the person: half of a difference in stature is lost in it.
    scale = height * view.scale / ((STATURE + joints["crown"][1]) / 2)
    y = up * math.cos(view.pitch) - near * math.sin(view.pitch)
    column = origin[0] + height * view.x + scale * (x + (view.shear + view.roll) * y)
    row = origin[1] + height * view.ground - scale * (y - view.roll * x)
    points = np.stack([column, row, near], axis=1)
    return dict(zip(joints, points, strict=True)), scale
