"""Signatures: who made a bundle. Ed25519, by `ssh-keygen -Y` of OpenSSH 8.2 or later.

The signature of a bundle is of its manifest, which has the sha256 of every other file. It lies
beside it, so that a bundle is the same with and without one.
"""

from __future__ import annotations

import base64
import binascii
import shutil
import subprocess
import tempfile
from pathlib import Path

from denet.files import written_whole
from denet.reading import read_file, read_text
from runtime.bundle.bundle import Bundle
from runtime.bundle.manifest import MANIFEST, BundleError

SIGNATURE = f"{MANIFEST}.sig"

KINDS = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com")
"""Of keys: those in a file, and those in a token."""

LIMIT = 1 << 16
"""Bytes of a signature or a file of keys; one has some hundred."""

_NAMESPACE = "denet-bundle"
"""What a signature is for: one of a letter or a commit by the same key is none of a bundle."""

_SIGNER = "denet"

_PATIENCE = 60.0
"""Seconds for a verification, which takes some milliseconds."""


def has_signature(root: Path) -> bool:
    """Whether the bundle at `root` has a signature, by whomever."""
    return (root / SIGNATURE).exists()


def sign(bundle: Bundle, key: Path) -> None:
    """Sign a bundle; a signature that it has is replaced.

    Args:
        bundle: whose files were verified.
        key: a private key, or the public one of a key that the SSH agent or a token has.

    Raises:
        BundleError: it cannot be signed, or the signature not be written.
    """
    write_signature(bundle.root / SIGNATURE, bundle.content, key)


def check_signed(bundle: Bundle, key: Path) -> None:
    """See that a bundle is signed by a key.

    Args:
        bundle: with the manifest that was read, which is what is compared.
        key: a file of public keys, one a line, of which any will do.

    Raises:
        BundleError: it is not signed, or by another key, or OpenSSH is missing.
    """
    if not has_signature(bundle.root):
        raise BundleError(
            f"{bundle.root}: is not signed, and a signature by {key} is demanded: whoever made it "
            "can sign it (`denet sign`)"
        )
    check_signature(bundle.root / SIGNATURE, bundle.content, key)


def write_signature(path: Path, content: bytes, key: Path) -> None:
    """Write the signature of `content` to `path`. Raises: as `sign`."""
    if not key.is_file():
        raise BundleError(f"{key}: there is no such key (make one with `ssh-keygen -t ed25519`)")
    # A passphrase is asked for on the terminal, so it may take as long as it does.
    command = [_ssh_keygen(), "-Y", "sign", "-f", str(key), "-n", _NAMESPACE]
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    if done.returncode:
        raise BundleError(f"{key}: cannot sign: {_reason(done.stderr)}")
    if not _is_ed25519(done.stdout):
        raise BundleError(f"{key}: is no Ed25519 key: make one with `ssh-keygen -t ed25519`")
    try:
        with written_whole(path) as temporary:
            temporary.write_bytes(done.stdout)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error.strerror or error}") from None


def check_signature(path: Path, content: bytes, key: Path) -> None:
    """See that the signature at `path` is of `content`, by a key. Raises: as `check_signed`."""
    trusted = "".join(f'{_SIGNER} namespaces="{_NAMESPACE}" {k}\n' for k in read_keys(key))
    signature = read_file(path, BundleError, LIMIT)
    command = [_ssh_keygen(), "-Y", "verify", "-I", _SIGNER, "-n", _NAMESPACE]
    with tempfile.TemporaryDirectory(prefix="denet-") as folder:
        allowed, copy = Path(folder, "allowed"), Path(folder, "signature")
        allowed.write_text(trusted, encoding="ascii")
        copy.write_bytes(signature)
        try:
            done = subprocess.run(
                [*command, "-f", str(allowed), "-s", str(copy)],
                input=content,
                capture_output=True,
                check=False,
                timeout=_PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise BundleError(f"{path}: cannot be verified: ssh-keygen does not end") from None
    if done.returncode:
        raise BundleError(
            f"{path}: is not the signature of this bundle by {key}: {_reason(done.stderr)}: take "
            "the bundle from whoever has that key"
        )


def read_keys(path: Path) -> list[str]:
    """The public keys of a file, each as "ssh-ed25519 AAAA...".

    Raises:
        BundleError: it cannot be read, or has another line than such keys and comments.
    """
    keys = []
    for line in read_text(path, BundleError, LIMIT).splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        kind, _, rest = line.strip().partition(" ")
        body = rest.split(" ")[0]
        if kind not in KINDS or not _is_base64(body):
            raise BundleError(
                f"{path}: is no file of public Ed25519 keys: give what `ssh-keygen -t ed25519` "
                "wrote, the file that ends in .pub"
            )
        keys.append(f"{kind} {body}")
    if not keys:
        raise BundleError(f"{path}: has no key")
    return keys


def _is_base64(text: str) -> bool:
    try:
        return text.isascii() and bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False


def _is_ed25519(signature: bytes) -> bool:
    body = b"".join(signature.splitlines()[1:-1])
    return KINDS[0].encode() in base64.b64decode(body)


def _ssh_keygen() -> str:
    found = shutil.which("ssh-keygen")
    if found is None:
        raise BundleError(
            "ssh-keygen is not installed, and signatures need it: install OpenSSH (apt install "
            "openssh-client)"
        )
    return found


def _reason(complaints: bytes) -> str:
    lines = complaints.decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip() and "Signing data" not in line]
    return said[0].rstrip(".") if said else "ssh-keygen does not say why"
