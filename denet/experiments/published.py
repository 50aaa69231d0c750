"""Every figure of the paper's Tables I to VII, in per cent, as they are printed.

Each table is rows by method, and the numbers of a row by the names that the columns of our own
tables have (`denet.experiments.figure`): the metric, then the state by what is available, the
missing rate, or the modalities of query and gallery. The paper's "missing NIR" is `rgb+tir`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Published = Mapping[str, Mapping[str, float]]
"""Rows by method, and of each its figures by column."""

ON_PEOPLE, ON_VEHICLES = "RGBNT201", "RGBNT100"

FOUR_STATES = ("complete", "rgb+tir", "rgb+nir", "rgb")
"""The columns of Tables I and III: none missing, NIR, TIR, both."""

RANKS = ("mAP", "R1", "R5", "R10")


def _columns(places: Iterable[str], metrics: Iterable[str]) -> tuple[str, ...]:
    metrics = tuple(metrics)
    return tuple(f"{metric} {place}" for place in places for metric in metrics)


def _rows(columns: tuple[str, ...], rows: Mapping[str, str], on: str) -> Published:
    return {
        f"{method} ({on})": dict(zip(columns, map(float, figures.split()), strict=True))
        for method, figures in rows.items()
    }


TABLE_1 = _rows(
    _columns(FOUR_STATES, ("mAP", "R1")),
    {
        "MLFN": "24.66 23.68 21.03 21.48 22.52 22.78 19.40 19.85",
        "HACNN": "19.34 14.71 16.78 13.50 13.44 11.23 12.34 10.43",
        "OSNet": "22.12 22.85 17.90 18.44 20.43 21.03 16.76 17.23",
        "CAL": "25.63 26.30 23.05 23.58 21.35 22.40 20.52 21.63",
        "PFNet": "38.46 38.88 31.90 29.78 25.50 25.83 26.40 23.44",
        "DENet": "42.41 42.23 35.40 36.82 33.00 35.40 32.42 29.20",
    },
    ON_PEOPLE,
)

_DIRECTIONS = ("rgb -> tir", "tir -> rgb", "rgb -> nir", "nir -> rgb")

TABLE_2 = {
    **_rows(
        _columns(_DIRECTIONS, ("mAP", "R1")),
        {
            "HC loss": "16.74 14.25 16.53 19.32 20.54 22.19 21.80 22.93",
            "DDAG": "18.09 14.79 20.01 18.05 21.39 20.37 24.76 21.66",
            "MPANet": "19.00 20.82 20.28 23.14 20.04 30.96 26.03 26.54",
        },
        ON_PEOPLE,
    ),
    **_rows(
        _columns(("rgb+tir", "rgb+nir"), ("mAP", "R1")),
        {"DENet": "35.4 36.82 33.00 35.40"},
        ON_PEOPLE,
    ),
}
"""Of the cross-modality methods the directions between two modalities, of DENet a state."""

TABLE_3 = _rows(
    _columns(FOUR_STATES, ("mAP", "R1", "R5")),
    {
        "Baseline": "62.1 87.1 89.0 58.9 85.5 87.6 53.8 79.2 82.0 46.5 70.0 74.2",
        "DENet": "68.1 89.2 91.1 62.0 85.5 88.1 56.0 80.9 84.5 50.1 74.2 78.0",
    },
    ON_VEHICLES,
)

TABLE_4 = _rows(
    _columns(("complete",), RANKS),
    {
        "DMML": "58.5 82.0 85.1 86.2",
        "Circle Loss": "59.4 81.7 83.7 85.2",
        "HAMNet": "64.1 84.7 88.0 89.4",
        "DENet": "68.1 89.2 91.1 92.0",
    },
    ON_VEHICLES,
)

TABLE_5 = _rows(
    _columns(("25%",), RANKS),
    {
        "none of L_rec, L_sim, DEM": "25.95 23.12 36.13 45.20",
        "L_rec": "30.52 27.91 41.40 51.73",
        "L_sim": "31.05 28.60 45.94 56.85",
        "DEM": "31.42 29.10 44.98 53.82",
        "L_rec + DEM": "32.93 31.64 47.67 59.90",
        "L_sim + DEM": "31.20 32.58 52.25 61.17",
        "L_rec + L_sim": "33.40 35.52 52.40 62.83",
        "DENet": "34.30 40.18 57.42 65.90",
    },
    ON_PEOPLE,
)

TABLE_6 = _rows(
    _columns(("25%",), RANKS),
    {
        "Image Generation": "30.70 32.61 41.45 50.74",
        "Feature Generation": "31.62 35.30 47.25 57.73",
        "DENet": "34.30 40.18 57.42 65.90",
    },
    ON_PEOPLE,
)

TABLE_7: Mapping[str, Published] = {
    state: _rows(_columns((state,), RANKS), rows, ON_PEOPLE)
    for state, rows in {
        "rgb+nir": {"fixed": "30.00 32.51 53.62 62.10", "dynamic": "33.00 35.40 55.02 62.90"},
        "rgb+tir": {"fixed": "34.85 34.60 48.82 57.81", "dynamic": "35.40 36.82 53.60 64.10"},
        "rgb": {"fixed": "31.10 26.91 42.00 52.26", "dynamic": "32.42 29.20 45.26 53.38"},
        "complete": {
            "fixed": "39.25 36.64 52.37 62.80",
            "single direction": "35.02 33.14 47.10 57.95",
            "dynamic": "42.41 42.23 55.30 64.52",
        },
    }.items()
}
"""By state: the paper's rows of missing TIR, NIR, both and none."""
