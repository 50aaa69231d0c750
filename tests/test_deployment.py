"""docker/compose.yaml and docker/kubernetes/, which nobody here can run as a whole: what can be
told by reading them, and by starting what they start."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import typer

import cli
from runtime.fleet.settings import read_fleet_settings
from tests.paths import ROOT
from tests.runtime.node.broker import MOSQUITTO, free_port

yaml = pytest.importorskip("yaml")

DOCKER = ROOT / "docker"
MANIFESTS = sorted((DOCKER / "kubernetes").glob("*.yaml"))
DOCUMENTS = [d for path in MANIFESTS for d in yaml.safe_load_all(path.read_text()) if d]
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SECRETS = "/run/secrets/"


def kinds(*names: str) -> list[dict[str, Any]]:
    return [document for document in DOCUMENTS if document["kind"] in names]


WORKLOADS = kinds("Deployment", "StatefulSet")

each_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda d: d["metadata"]["name"])


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def images() -> list[str]:
    composed = [service["image"] for service in COMPOSE["services"].values()]
    return composed + [c["image"] for w in WORKLOADS for c in pod(w)["containers"]]


def test_manifests_are_what_kubernetes_takes() -> None:
    validate = pytest.importorskip(
        "kubernetes_validate", reason="needs kubernetes-validate, which .ci/run installs"
    )
    for document in DOCUMENTS:
        validate.validate(document, validate.latest_version(), strict=True)


@pytest.mark.parametrize("path", [DOCKER / "compose.yaml", *MANIFESTS], ids=lambda path: path.name)
def test_yamllint_has_nothing_to_say(path: Path) -> None:
    pytest.importorskip("yamllint", reason="needs yamllint, which .ci/run installs")
    from yamllint import linter
    from yamllint.config import YamlLintConfig

    rules = (
        "{extends: default, rules: {line-length: {max: 130}, document-start: disable,"
        "octal-values: disable}}"
    )
    assert list(linter.run(path.read_text(), YamlLintConfig(rules))) == []


def test_images_are_pinned() -> None:
    for image in images():
        assert re.fullmatch(r"[\w./-]+:[\w.-]*\d\.\d[\w.-]*", image), image


@each_workload
def test_a_workload_holds_to_the_rules_of_its_namespace(workload: dict[str, Any]) -> None:
    """Those of the pod security standard "restricted", and no file system to write into."""
    (namespace,) = kinds("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert workload["metadata"]["namespace"] == namespace["metadata"]["name"]
    spec = pod(workload)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        rules = container["securityContext"]
        assert rules["allowPrivilegeEscalation"] is False
        assert rules["capabilities"] == {"drop": ["ALL"]}
        assert rules["readOnlyRootFilesystem"] is True
        assert {"readinessProbe", "livenessProbe"} <= container.keys()
        assert container["resources"]["limits"]["memory"]


@each_workload
def test_what_a_workload_names_is_there(workload: dict[str, Any]) -> None:
    name, spec = workload["metadata"]["name"], pod(workload)
    assert workload["spec"]["selector"]["matchLabels"] == {"app": name}
    assert workload["spec"]["template"]["metadata"]["labels"] == {"app": name}
    given = {v["name"] for v in spec["volumes"]}
    given |= {v["metadata"]["name"] for v in workload["spec"].get("volumeClaimTemplates", ())}
    claims = {claim["metadata"]["name"] for claim in kinds("PersistentVolumeClaim")}
    for volume in spec["volumes"]:
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["claimName"] in claims
    for container in spec["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} == given
    ports = {port["name"] for c in spec["containers"] for port in c.get("ports", ())}
    (service,) = (s for s in kinds("Service") if s["metadata"]["name"] == name)
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    assert service["spec"]["selector"] == {"app": name}


def test_what_compose_names_is_there() -> None:
    for name, service in COMPOSE["services"].items():
        assert set(service["secrets"]) <= COMPOSE["secrets"].keys()
        assert service["restart"] == "unless-stopped"
        assert service["security_opt"] == ["no-new-privileges:true"]
        used = set(re.findall(rf"{SECRETS}([\w.]+)", yaml.safe_dump(service)))
        if name == "broker":
            used |= set(re.findall(rf"{SECRETS}([\w.]+)", (DOCKER / "mosquitto.conf").read_text()))
        if "/etc/denet/fleet.toml" in service.get("command", ()):
            used |= set(re.findall(rf"{SECRETS}([\w.]+)", (DOCKER / "fleet.toml").read_text()))
        assert used == set(service["secrets"])
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (DOCKER / source).exists() or source == "./models", source
            else:
                assert source in COMPOSE["volumes"]
    for service in COMPOSE["services"].values():
        if build := service.get("build"):
            assert (DOCKER / build["context"] / build["dockerfile"]).is_file()


def test_no_secret_is_in_it() -> None:
    for path in (*DOCKER.rglob("*.yaml"), DOCKER / "mosquitto.conf"):
        text = path.read_text()
        assert not re.search(r"PRIVATE KEY|PASSWORD: |password:[ \t]*\S", text), path
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("secrets/")
    assert "docker/secrets/" in (ROOT / ".gitignore").read_text()
    assert not kinds("Secret")


def test_both_start_the_same_server() -> None:
    (triton,) = (w for w in WORKLOADS if w["metadata"]["name"] == "triton")
    cluster = pod(triton)["containers"][0]["args"]
    for mine, theirs in zip(COMPOSE["services"]["triton"]["command"], cluster, strict=True):
        same = mine.partition("${")[0] == theirs.partition("$(")[0]
        assert same or mine.startswith("--metrics-address="), (mine, theirs)
    told = (DOCKER / "README.md").read_text()
    assert all(path.name in told for path in (*MANIFESTS, DOCKER / "compose.yaml"))


def test_the_fleet_reads_its_configuration(tmp_path: Path) -> None:
    """And both run the same commands, with the secrets that it names."""
    text = (DOCKER / "fleet.toml").read_text()
    named = set(re.findall(rf"{SECRETS}([\w.]+)", text))
    for secret in named:
        (tmp_path / secret).write_text("a word")
        (tmp_path / secret).chmod(0o600)
    config = tmp_path / "fleet.toml"
    config.write_text(text.replace(SECRETS, f"{tmp_path}/"))
    settings = read_fleet_settings(config)
    assert settings.broker.url == f"mqtts://broker:{COMPOSE['services']['broker']['ports'][0][:4]}"
    assert settings.archive.address.host == "gallery"
    composed = [
        service["command"]
        for service in COMPOSE["services"].values()
        if service["image"].startswith("denet-fleet:")
    ]
    (fleet,) = (w for w in WORKLOADS if w["metadata"]["name"] == "fleet")
    assert [c["args"] for c in pod(fleet)["containers"]] == composed
    app = typer.main.get_command(cli.app)
    for group, command, _ in composed:
        assert command in app.commands[group].commands  # type: ignore[attr-defined]
    told = (DOCKER / "README.md").read_text()
    assert all(f"`{secret}`" in told for secret in named)


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
def test_the_broker_starts_with_its_configuration(tmp_path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=localhost", "-keyout", "broker.key", "-out", "broker.pem"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "broker_passwords").touch(0o600)
    port = free_port()
    text = (DOCKER / "mosquitto.conf").read_text().replace("8883", f"{port} 127.0.0.1")
    text = text.replace(SECRETS, f"{tmp_path}/").replace("/mosquitto/data/", f"{tmp_path}/")
    (tmp_path / "mosquitto.conf").write_text(f"user root\n{text}")
    process = subprocess.Popen(
        [str(MOSQUITTO), "-c", "mosquitto.conf"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    ask = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", "broker.pem"]
    try:
        for _ in range(100):
            done = subprocess.run(ask, cwd=tmp_path, input="", capture_output=True, text=True)
            if "Verify return code: 0" in done.stdout or process.poll() is not None:
                break
            time.sleep(0.1)
        assert "Verify return code: 0" in done.stdout
    finally:
        process.terminate()
        said = process.communicate(timeout=10)
    assert "rror" not in said[1], said
