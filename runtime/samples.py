"""Samples on disk: a folder in the layout of RGBNT201, or single files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from denet.errors import DenetError
from denet.folders import (
    is_folder,
    modality_folders,
    paired_images,
    sample_name,
    stray_images,
)
from denet.graph import RGB_NIR_TIR, Graph, Modality, State


class SampleError(DenetError):
    """A folder or file from which no samples can be taken; the message names it."""


@dataclass(frozen=True)
class ImageFiles:
    """The image files of one sample; a modality that is not in `files` is missing."""

    name: str
    files: Mapping[Modality, Path]

    def within(self, state: State) -> ImageFiles | None:
        """The sample as if only `state` were available; None if the sample is not that rich."""
        if not set(state.available) <= set(self.files):
            return None
        return ImageFiles(self.name, {m: self.files[m] for m in state.available})


def choose_samples(
    folder: Path | None,
    single: Mapping[Modality, Path | None],
    *,
    state: str | None,
    every_state: bool,
    graph: Graph = RGB_NIR_TIR,
) -> list[ImageFiles]:
    """The samples that a user names: those of a folder, or one given file by file.

    Args:
        folder: in the layout that `find_samples` reads.
        single: the files of one sample.
        state: take only the modalities of this state; samples that lack one are left out.
        every_state: take each sample once for each state that it is rich enough for.
        graph: whose modalities and states these are.

    Raises:
        SampleError: nothing is named, or both; or no sample fits, or a file is of a modality that
            the graph has not.
        StateError: `state` is not the name of a state.
    """
    wanted = None if state is None else graph.parse(state)
    files = {m: path for m, path in single.items() if path is not None}
    if (folder is None) == (not files):
        raise SampleError("name either a folder of images, or single files by --rgb, --nir, --tir")
    if others := [m for m in files if m not in graph.modalities]:
        raise SampleError(
            f"--{others[0]}: the model takes {', '.join(graph.modalities)}, and no {others[0]}"
        )
    if wanted is not None and every_state:
        raise SampleError("--state and --every-state exclude each other")
    samples = find_samples(folder, graph) if folder else [ImageFiles(_common_name(files), files)]
    if wanted is not None:
        kept = [limited for s in samples if (limited := s.within(wanted)) is not None]
        if not kept:
            raise SampleError(f"{folder or 'the files'}: no sample has all of {wanted.name}")
        return kept
    return in_every_state(samples, graph) if every_state else samples


def in_every_state(samples: Sequence[ImageFiles], graph: Graph) -> list[ImageFiles]:
    """Each sample once for each state that it is rich enough for, state by state."""
    return [
        kept for state in graph.states for s in samples if (kept := s.within(state)) is not None
    ]


def missing_everywhere(samples: Sequence[ImageFiles], graph: Graph) -> list[Modality]:
    """The modalities of `graph` of which no sample has an image."""
    return [m for m in graph.modalities if not any(m in sample.files for sample in samples)]


def _common_name(files: Mapping[Modality, Path]) -> str:
    return sample_name(next(iter(files.values())))


def find_samples(root: Path, graph: Graph = RGB_NIR_TIR) -> list[ImageFiles]:
    """The samples in `root`, ordered by name, numbers in it by their value.

    `root` holds one folder for each modality (`RGB`, `NI` or `NIR`, `TI` or `TIR`, in any
    case). Images with the same name, extension aside, are one sample; one that is absent from a
    folder is missing there. Symbolic links are followed, hidden files passed over.

    Args:
        root: the folder.
        graph: whose modalities are wanted; images of others are passed over.

    Raises:
        SampleError: `root` is no such folder, holds no image, or holds one whose modality
            cannot be told; or a folder in it cannot be read.
    """
    if not is_folder(root, SampleError):
        if root.is_file():
            raise SampleError(
                f"{root}: is a file: name the folder that holds RGB, NI or TI (one is enough), and "
                "in them the images of a sample under the same name"
            )
        raise SampleError(f"{root}: there is no such folder of images")
    stray = next(stray_images(root, SampleError), None)
    if stray is not None:
        raise SampleError(
            f"{stray}: in no known modality folder: images are expected in "
            f"{root}/RGB, {root}/NI or {root}/TI"
        )
    folders = modality_folders(root, SampleError)
    found = paired_images({m: f for m, f in folders.items() if m in graph.modalities}, SampleError)
    others = {m: folder for m, folder in folders.items() if m not in graph.modalities}
    if not found and paired_images(others, SampleError):
        raise SampleError(
            f"{root}: holds no image of {' or '.join(graph.modalities)}, which is all that the "
            "model takes"
        )
    if not found:
        raise SampleError(f"{root}: holds no images (expected in RGB/, NI/ and TI/)")
    return [
        ImageFiles(name, {m: files[m] for m in graph.modalities if m in files})
        for name, files in found.items()
    ]
