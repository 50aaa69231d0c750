"""Signed bundles: taken with the key that signed them, and refused with any other."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import Bundle, Runtime
from runtime.bundle.signature import SIGNATURE, check_signed, read_keys, sign
from runtime.bundle.slim import slim
from tests.command import denet, refused
from tests.runtime.bundle.damage import BRANCH, assert_refused, edit_manifest
from tests.runtime.bundle.keys import made_key, needs_openssh

pytestmark = needs_openssh


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return made_key(tmp_path / "key")[0]


@pytest.fixture
def public(key: Path) -> Path:
    return key.with_name("key.pub")


@pytest.fixture
def signed(copied: Path, key: Path) -> Path:
    sign(Bundle.open(copied), key)
    return copied


def check(root: Path, key: Path) -> Callable[[], None]:
    return lambda: check_signed(Bundle.open(root), key)


def test_a_signed_bundle_is_taken_by_whoever_demands_it_and_by_all_others(
    signed: Path, public: Path
) -> None:
    check(signed, public)()
    Runtime.load(signed, "ort-cpu", key=public).close()
    Runtime.load(signed, "ort-cpu").close()


def test_one_of_several_keys_is_enough(signed: Path, public: Path, tmp_path: Path) -> None:
    _, other = made_key(tmp_path / "other")
    both = tmp_path / "keys"
    both.write_text(f"# ours\n{other.read_text()}\n{public.read_text()}")
    check(signed, both)()
    assert len(read_keys(both)) == 2


def test_an_unsigned_bundle_is_refused_where_a_signature_is_demanded(
    copied: Path, public: Path
) -> None:
    assert_refused(check(copied, public), str(copied), "not signed", str(public))
    assert_refused(lambda: Runtime.load(copied, "ort-cpu", key=public), "not signed")


def test_another_key_is_refused(signed: Path, tmp_path: Path) -> None:
    _, other = made_key(tmp_path / "other")
    assert_refused(check(signed, other), SIGNATURE, "is not the signature of this bundle")


def test_a_bundle_that_was_changed_since_is_refused(signed: Path, public: Path) -> None:
    edit_manifest(signed, lambda d: d["preprocessing"]["modalities"]["tir"].update(std=[1, 1, 1]))
    assert_refused(check(signed, public), SIGNATURE, "is not the signature of this bundle")


def test_a_signature_of_another_thing_by_the_same_key_is_refused(
    signed: Path, key: Path, public: Path
) -> None:
    for namespace, content in (
        ("file", (signed / "manifest.json").read_bytes()),
        ("denet-bundle", b"a letter"),
    ):
        done = subprocess.run(
            ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", namespace],
            input=content,
            capture_output=True,
            check=True,
        )
        (signed / SIGNATURE).write_bytes(done.stdout)
        assert_refused(check(signed, public), SIGNATURE)


@pytest.mark.parametrize("content", [b"", b"none", b"\0" * 100_000])
def test_what_is_no_signature_is_refused(signed: Path, public: Path, content: bytes) -> None:
    (signed / SIGNATURE).write_bytes(content)
    assert_refused(check(signed, public), SIGNATURE)


def test_every_byte_of_a_signature_counts(signed: Path, public: Path) -> None:
    path = signed / SIGNATURE
    lines = path.read_text().splitlines()
    body = "".join(lines[1:-1])
    for i in (12, 60, len(body) - 12):
        other = body[:i] + ("A" if body[i] != "A" else "B") + body[i + 1 :]
        path.write_text("\n".join([lines[0], other, lines[-1], ""]))
        assert_refused(check(signed, public), SIGNATURE)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_only_ed25519_signs(copied: Path, tmp_path: Path, kind: str) -> None:
    private, public = made_key(tmp_path / "other", kind)
    assert_refused(lambda: sign(Bundle.open(copied), private), "Ed25519")
    assert not (copied / SIGNATURE).exists()
    assert_refused(lambda: read_keys(public), "other.pub", "Ed25519")


def test_a_private_key_is_none_to_verify_with(signed: Path, key: Path) -> None:
    assert_refused(check(signed, key), str(key), ".pub")


def test_a_key_that_is_not_there(copied: Path, tmp_path: Path) -> None:
    none = tmp_path / "none"
    assert_refused(lambda: sign(Bundle.open(copied), none), str(none), "no such key")
    (copied / SIGNATURE).touch()
    assert_refused(check(copied, none), str(none))


def test_without_openssh_it_is_said_what_to_install(
    signed: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert_refused(check(signed, public), "openssh-client")


def test_a_bundle_that_is_made_of_a_signed_one_is_not(signed: Path, tmp_path: Path) -> None:
    made = slim(Bundle.open(signed), tmp_path / "slim.denet", "fp32")
    assert not (made.root / SIGNATURE).exists()


def test_the_commands(copied: Path, key: Path, public: Path, tmp_path: Path) -> None:
    refused(denet("verify", copied, "--key", public), "not signed")
    done = denet("sign", copied, "--key", key)
    assert (done.exit_code, done.output) == (0, f"{copied}: is signed\n")
    done = denet("verify", copied, "--key", public)
    assert done.exit_code == 0
    assert f"is signed by {public}" in done.output
    done = denet("slim", copied, "--out", tmp_path / "slim.denet")
    assert done.exit_code == 0
    assert "sign it again" in done.output
    refused(denet("verify", tmp_path / "slim.denet", "--key", public), "not signed")


def test_a_damaged_bundle_is_not_signed(copied: Path, key: Path) -> None:
    content = bytearray((copied / BRANCH).read_bytes())
    content[-1] ^= 1
    (copied / BRANCH).unlink()
    (copied / BRANCH).write_bytes(content)
    refused(denet("sign", copied, "--key", key), "branch_rgb.onnx", "sha256")
    assert not (copied / SIGNATURE).exists()
