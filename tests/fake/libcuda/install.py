"""Builds PyCUDA against the CUDA driver that runs on the host, and installs it and cuda-python's
bindings into a folder of their own: an environment with them could no longer show what an
installation without them says.

    python tests/fake/libcuda/install.py FOLDER

prints the folder to put on PYTHONPATH. It takes two minutes, and needs a C++ compiler and `cuda.h`;
no driver, and no `nvcc`. A second call finds it done.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from build import compile_driver, find_headers, why_not

PYCUDA = "pycuda==2026.1"
BINDINGS = "cuda-bindings>=12.6"


def install(folder: Path) -> Path:
    site, done = folder / "site", folder / f"{PYCUDA}.done"
    if done.exists():
        return site
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    library = compile_driver(folder / "lib")
    headers = find_headers()
    assert headers
    with tempfile.TemporaryDirectory() as place:
        _run(
            [
                *(*pip, "download", "--no-deps", "--no-build-isolation", "--no-binary", ":all:"),
                *("--dest", place, PYCUDA),
            ]
        )
        (archive,) = Path(place).glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(place, filter="data")
        (source,) = (path for path in Path(place).iterdir() if path.is_dir())
        _run(
            [
                *(sys.executable, "configure.py", "--no-cuda-enable-curand"),
                *(f"--cuda-root={headers.parent}", f"--cuda-inc-dir={headers}"),
                f"--cudadrv-lib-dir={library.parent.resolve()}",
            ],
            source,
        )
        _run(
            [
                *(*pip, "install", "--no-build-isolation", "--upgrade", "--target", str(site)),
                *(str(source), BINDINGS),
            ]
        )
    done.touch()
    return site


def _run(command: list[str], folder: Path | None = None) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    if missing := why_not():
        sys.exit(missing)
    try:
        print(install(given.folder).resolve())
    except subprocess.CalledProcessError as error:
        sys.exit(f"PyCUDA cannot be built: exit code {error.returncode}")
