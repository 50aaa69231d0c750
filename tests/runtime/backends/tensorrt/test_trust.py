"""An engine is a program: those that others built are loaded only where a trusted key has signed
for them."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import msgspec
import pytest

from denet.graph import RGB_NIR_TIR
from runtime import Bundle, BundleError
from runtime.backends.tensorrt.files import (
    EngineFacts,
    EngineFileError,
    Found,
    engine_path,
    facts_path,
    find_engines,
    open_engine,
)
from runtime.backends.tensorrt.machine import BuildOptions
from runtime.backends.tensorrt.trust import built_here, sign_engines, trusted_by
from runtime.bundle.forms import Forms
from runtime.machine.key import key_path
from tests.runtime.backends.tensorrt.machines import HERE, write_engines
from tests.runtime.bundle.keys import made_key, needs_openssh

FORMS: Forms = dict.fromkeys(RGB_NIR_TIR.engines, "fp32")
ENGINE = "branch_rgb"


@pytest.fixture
def bundle(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """With engines that another machine built for one like this."""
    opened = Bundle.open(root)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "there"))
    write_engines(opened, FORMS, BuildOptions())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    return opened


def found(bundle: Bundle, key: Path | None = None) -> Found:
    return find_engines(bundle, HERE, FORMS, trusted_by(bundle, key))


def refuses_all(bundle: Bundle, key: Path | None = None) -> bool:
    missing = found(bundle, key).missing
    return missing.keys() == FORMS.keys() and all(
        "not built on this machine" in why and "denet build" in why for why in missing.values()
    )


def test_engines_of_others_are_refused(bundle: Bundle) -> None:
    assert refuses_all(bundle)


def test_engines_of_this_machine_are_taken_wherever_the_bundle_lies(
    bundle: Bundle, tmp_path: Path
) -> None:
    write_engines(bundle, FORMS, BuildOptions(version_compatible=True))
    moved = bundle.root.rename(tmp_path / "elsewhere.denet")
    assert not found(Bundle.open(moved)).missing


def test_a_key_is_drawn_once_and_is_for_its_user_alone(bundle: Bundle) -> None:
    assert not key_path().exists()
    write_engines(bundle, FORMS, BuildOptions())
    key = key_path().read_bytes()
    assert stat.S_IMODE(key_path().stat().st_mode) == 0o600
    write_engines(bundle, FORMS, BuildOptions())
    assert key_path().read_bytes() == key
    key_path().write_bytes(key[:-1])
    with pytest.raises(EngineFileError, match=r"build\.key: damaged"):
        built_here()


def test_a_service_has_its_state_where_systemd_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/denet:{tmp_path}/more")
    assert key_path() == tmp_path / "denet" / "build.key"


def test_facts_that_were_changed_are_no_longer_of_this_machine(bundle: Bundle) -> None:
    """A stranger's engine in the place of one that was built here, with facts to match; and one
    that says it may run code of its own."""
    write_engines(bundle, FORMS, BuildOptions())
    path = engine_path(bundle.root, HERE, "fp32", ENGINE)
    own = open_engine(path).facts
    content = b"another program"
    options = msgspec.structs.replace(own.spec.options, version_compatible=True)
    changed: list[EngineFacts] = [
        msgspec.structs.replace(
            own, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)
        ),
        msgspec.structs.replace(own, spec=msgspec.structs.replace(own.spec, options=options)),
        msgspec.structs.replace(own, code=""),
    ]
    for facts in changed:
        path.write_bytes(content if facts.bytes == len(content) else f"{ENGINE} fp32".encode())
        facts_path(path).write_bytes(msgspec.json.encode(facts))
        assert found(bundle).missing.keys() == {ENGINE}
        assert "not built on this machine" in found(bundle).missing[ENGINE]


@needs_openssh
def test_engines_that_a_trusted_key_signed_for_are_taken(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, public = made_key(tmp_path / "key")
    _, other = made_key(tmp_path / "other")
    assert sign_engines(bundle, key) == 0  # nobody signs for what others built
    assert refuses_all(bundle, public)
    with monkeypatch.context() as there:
        there.setenv("XDG_STATE_HOME", str(tmp_path / "there"))
        assert sign_engines(bundle, key) == len(FORMS)
    assert not found(bundle, public).missing
    assert refuses_all(bundle)
    with pytest.raises(BundleError, match=r"engines\.json\.sig"):
        found(bundle, other)


@needs_openssh
def test_an_engine_that_was_not_signed_for_is_refused_beside_those_that_were(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, public = made_key(tmp_path / "key")
    with monkeypatch.context() as there:
        there.setenv("XDG_STATE_HOME", str(tmp_path / "there"))
        sign_engines(bundle, key)
    path = engine_path(bundle.root, HERE, "fp32", ENGINE)
    facts = msgspec.structs.replace(open_engine(path).facts, seconds=1.0)
    facts_path(path).write_bytes(msgspec.json.encode(facts))
    assert found(bundle, public).missing.keys() == {ENGINE}
    listed = bundle.root / "trt" / "engines.json"
    listed.write_bytes(listed.read_bytes() + b" ")
    with pytest.raises(BundleError, match=r"engines\.json\.sig"):
        found(bundle, public)
