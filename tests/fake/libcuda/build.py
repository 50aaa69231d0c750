"""Compiles the CUDA driver that runs on the host: `libcuda.so.1`.

    python tests/fake/libcuda/build.py FOLDER [--sanitize]

Needs a C compiler and `cuda.h` of a CUDA toolkit. The names of all functions are read off that
header: those that nothing here implements say that they are not supported.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAME = "libcuda.so.1"
HEADERS = ("cuda.h", "cudaProfiler.h")

DECLARED = re.compile(r"\bCUresult\s+(cu[A-Z]\w*)\s*\(")
RENAMED = re.compile(r"^#define (cu[A-Z]\w*) (?:__CUDA_API_\w+\()?(cu[A-Z]\w*)\)?$", re.MULTILINE)
ERROR = re.compile(r"\b(CUDA_SUCCESS|CUDA_ERROR_\w+)\s*=\s*(\d+)")


def find_compiler() -> str | None:
    return next(filter(None, map(shutil.which, ("gcc", "cc", "clang"))), None)


def find_headers() -> Path | None:
    """The folder that has `cuda.h`."""
    nvcc = shutil.which("nvcc")
    folders = [Path(f) for f in os.environ.get("CPATH", "").split(":") if f]
    folders += [Path(nvcc).resolve().parents[1] / "include"] if nvcc else []
    folders += [Path("/usr/local/cuda/include"), Path("/usr/include")]
    return next((folder for folder in folders if (folder / HEADERS[0]).is_file()), None)


def why_not() -> str | None:
    """What is missing to compile it; None if nothing."""
    if find_compiler() is None:
        return "no C compiler"
    if find_headers() is None:
        return "no cuda.h (CPATH=/usr/local/cuda/include)"
    return None


def compile_driver(folder: Path, *, sanitize: bool = False) -> Path:
    """Compile it into `folder`, with the name that programs are linked with beside it.

    Returns: the library's path.
    """
    compiler, headers = find_compiler(), find_headers()
    assert compiler
    assert headers
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(HERE.glob("*.c"))
    code = "".join(f'#include "{name}"\n' for name in HEADERS)
    preprocess = [compiler, "-E", "-x", "c", "-", f"-I{headers}"]
    text = _run([*preprocess, "-P"], code)
    names = sorted(set(DECLARED.findall(text)))
    renamed = dict(RENAMED.findall(_run([*preprocess, "-dM"], code)))
    _write_names(folder / "names.h", names, renamed, ERROR.findall(text))
    own = _run([compiler, "-E", "-P", f"-I{headers}", f"-I{folder}", *map(str, sources)])
    made = set(re.findall(r"\bCUresult\s+(cu[A-Z]\w*)\s*\([^;{]*\)\s*\{", own))
    missing = [name for name in names if name not in made]
    stubs = folder / "unsupported.c"
    stubs.write_text(
        "int unsupported(const char *);\n"
        + "".join(f'int {name}(void) {{ return unsupported("{name}"); }}\n' for name in missing)
    )
    exports = folder / "exports.map"
    exports.write_text("{ global: cu*; host_cuda_*; local: *; };\n")
    flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-fPIC", "-shared", "-pthread"]
    flags += ["-fsanitize=address", "-fno-omit-frame-pointer"] if sanitize else []
    library = folder / NAME
    _run(
        [
            *(compiler, *flags, f"-I{headers}", f"-I{folder}", *map(str, sources), str(stubs)),
            *("-o", str(library), f"-Wl,-soname,{NAME}", f"-Wl,--version-script,{exports}"),
            *("-Wl,-Bsymbolic", *([] if sanitize else ["-Wl,--no-undefined"])),
        ]
    )
    link = folder / "libcuda.so"
    link.unlink(missing_ok=True)
    link.symlink_to(NAME)
    return library


def _write_names(
    path: Path, names: list[str], renamed: dict[str, str], errors: list[tuple[str, str]]
) -> None:
    """What the header says: its functions by the name that is asked for, and its errors."""
    asked = {name: name for name in names}
    asked |= {name: real for name, real in renamed.items() if real in asked}
    lines = ["struct named { const char *name; void (*function)(void); };"]
    lines += [f'extern char at_{name}[] __asm__("{name}");' for name in names]
    lines += ["static const struct named functions[] = {"]
    lines += [f'    {{"{name}", (void (*)(void))at_{real}}},' for name, real in asked.items()]
    lines += ["};", "static const struct { int code; const char *name, *text; } error_names[] = {"]
    for name, code in errors:
        words = name.removeprefix("CUDA_").removeprefix("ERROR_").replace("_", " ").lower()
        words = "no error" if name == "CUDA_SUCCESS" else words
        lines.append(f'    {{{code}, "{name}", "{words}"}},')
    path.write_text("\n".join([*lines, "};", ""]))


def _run(command: list[str], text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command[:3])} ...: {done.stderr}")
    if done.stderr:
        print(done.stderr, file=sys.stderr)
    return done.stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sanitize", action="store_true", help="with AddressSanitizer")
    given = parser.parse_args()
    print(compile_driver(given.folder, sanitize=given.sanitize))
