"""Images whose paths say what they are: `{modality}/{identity}_c{camera}_{frame}.jpg`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from denet.data.importing.found import (
    DEFAULT,
    FoundImage,
    ImageSource,
    check_pairs,
    modalities_of,
)
from denet.data.sample import DataError
from denet.folders import images_below, modality_of
from denet.graph import Modality
from denet.images import EXTENSIONS

FIELDS = ("modality", "identity", "camera", "frame")

_NAMES = (
    "{identity}_cam{camera}_{frame}",
    "{identity}_c{camera}s{frame}",
    "{identity}_c{camera}_{frame}",
)

TRIED = (
    *(f"{{modality}}/{name}" for name in _NAMES),
    *_NAMES,
    "{identity}/{modality}/{frame}",
    "{modality}/{identity}/{frame}",
    "{modality}/{identity}_{frame}",
    "{identity}/{frame}",
)
"""Patterns that are tried where none is given, in this order."""


@dataclass(frozen=True)
class PathPattern:
    """What the path of an image looks like, from the source on.

    Attributes:
        text: as it was written.
        expression: of a path without its extension.
        extension: that the path must have, in lower case; "" for any of an image.
    """

    text: str
    expression: re.Pattern[str]
    extension: str

    def match(self, path: str) -> dict[str, str] | None:
        """The fields of a path, in the composed form of Unicode; None if it is another one."""
        stem, dot, ending = path.rpartition(".")
        if not dot or (self.extension and f".{ending.lower()}" != self.extension):
            return None
        found = self.expression.fullmatch(stem)
        return found.groupdict() if found else None


def parse_pattern(text: str) -> PathPattern:
    """A pattern as a user writes it.

    `{modality}`, `{identity}`, `{camera}` and `{frame}` stand for any text without a slash, `*` for
    any that is not looked at, `**` with slashes, too. All else stands for itself.

    Raises:
        DataError: it names another field, one twice, or no identity.
    """
    stem, extension = text, ""
    ending = Path(text).suffix.lower()
    if ending in EXTENSIONS:
        stem, extension = text[: -len(ending)], ending
    parts, seen = [], []
    for part in re.split(r"(\{[^{}]*\}|\*\*|\*)", stem):
        if part.startswith("{"):
            name = part[1:-1]
            if name not in FIELDS:
                known = ", ".join(f"{{{each}}}" for each in FIELDS)
                raise DataError(f"--pattern {text!r}: unknown {part}: choose from {known}")
            if name in seen:
                raise DataError(f"--pattern {text!r}: has {part} twice")
            seen.append(name)
            # An identity may have what separates it from the next field, as in `anna_lena_c1_7`.
            parts.append(f"(?P<{name}>[^/]+?)" if name != "identity" else "(?P<identity>[^/]+)")
        elif part in ("*", "**"):
            parts.append("[^/]*" if part == "*" else ".*")
        else:
            parts.append(re.escape(unicodedata.normalize("NFC", part)))
    if "identity" not in seen:
        raise DataError(f"--pattern {text!r}: has no {{identity}}: who is to be told apart?")
    return PathPattern(text, re.compile("".join(parts)), extension)


def by_pattern(root: Path, pattern: PathPattern, named: Mapping[str, Modality]) -> ImageSource:
    """The images below `root` whose paths fit a pattern.

    Args:
        root: the source.
        pattern: of their paths.
        named: names of modalities, as `parse_modalities` gives them.

    Raises:
        DataError: none fits, a modality is unknown, or two are of one sample and modality.
    """
    return _fitting(root, pattern, _paths(root), named)


def by_guess(root: Path, named: Mapping[str, Modality]) -> ImageSource:
    """The images below `root`, by the first of `TRIED` that fits all of them.

    Raises:
        DataError: none does, or `by_pattern` would not take them.
    """
    paths = _paths(root)
    _check_folders(paths, named)
    for text in TRIED:
        pattern = parse_pattern(text)
        if all(_plausible(pattern.match(name), named) for name in paths):
            return _fitting(root, pattern, paths, named)
    example = next(iter(paths))
    raise DataError(
        f"{root}: nothing tells who is seen in {example} and the other {len(paths) - 1} images: "
        "give --pattern, as '{modality}/{identity}_c{camera}_{frame}.jpg', or --csv"
    )


def _check_folders(paths: Mapping[str, Path], named: Mapping[str, Modality]) -> None:
    """See that folders of unknown modalities are not taken for persons: where the names of files
    tell identity and camera, the folder that they are in tells neither.

    Raises:
        DataError: they are of unknown modalities; names them.
    """
    for name in _NAMES:
        pattern = parse_pattern(f"{{modality}}/{name}")
        fields = [found for path in paths if (found := pattern.match(path)) is not None]
        people = {each["identity"] for each in fields}
        told = len(fields) == len(paths) and all(each["camera"].isdecimal() for each in fields)
        if told and len(people) > 1:
            modalities_of((each["modality"] for each in fields), named)


def _plausible(fields: Mapping[str, str] | None, named: Mapping[str, Modality]) -> bool:
    """Whether fields may be what they are called: a guess takes no folder of a modality for a
    person, and no word for a camera."""

    def is_modality(name: str) -> bool:
        return name.lower() in named or modality_of(name) is not None

    return (
        fields is not None
        and is_modality(fields.get("modality", DEFAULT))
        and not is_modality(fields["identity"])
        and fields.get("camera", "0").isdecimal()
    )


def _paths(root: Path) -> dict[str, Path]:
    """The images below `root`, by their paths from there, in the composed form of Unicode."""
    found = {
        unicodedata.normalize("NFC", path.relative_to(root).as_posix()): path
        for path in images_below(root, DataError)
    }
    if not found:
        raise DataError(f"{root}: holds no images")
    return found


def _fitting(
    root: Path, pattern: PathPattern, paths: Mapping[str, Path], named: Mapping[str, Modality]
) -> ImageSource:
    fields = {name: pattern.match(name) for name in paths}
    others = [paths[name] for name, found in fields.items() if found is None]
    fitting = {name: found for name, found in fields.items() if found is not None}
    if not fitting:
        raise DataError(
            f"{root}: no image fits {pattern.text!r}: one is {next(iter(paths))}, of {len(paths)}"
        )
    folders = modalities_of((f["modality"] for f in fitting.values() if "modality" in f), named)
    images = tuple(
        FoundImage(
            path=paths[name],
            modality=folders[found["modality"]] if "modality" in found else DEFAULT,
            folder=found.get("modality", ""),
            identity=found["identity"],
            camera=found.get("camera"),
            sample=found.get("frame", ""),
        )
        for name, found in fitting.items()
    )
    check_pairs(images, f"let {{frame}} in the pattern tell them apart ({pattern.text})")
    return ImageSource(images, f"the pattern {pattern.text}", _left_out(others))


def _left_out(paths: Sequence[Path]) -> tuple[str, ...]:
    if not paths:
        return ()
    more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
    return (f"left out, since it fits no pattern: {paths[0]}{more}",)
