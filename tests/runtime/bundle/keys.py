"""Keys to sign with."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

needs_openssh = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen of OpenSSH is not installed"
)


def made_key(path: Path, kind: str = "ed25519") -> tuple[Path, Path]:
    """A new private key at `path`, without a passphrase, and the public one beside it."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", str(path)], check=True
    )
    return path, path.with_name(f"{path.name}.pub")
