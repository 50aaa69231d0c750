"""How a broker is set: passwords, TLS, the last will, and what is wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install '.[node]'")

from paho.mqtt.client import Client

from runtime.node.events import (
    EventError,
    MqttSettings,
)
from tests.paths import ROOT
from tests.runtime.node.broker import Broker, Receiver
from tests.runtime.node.events.mqtt_parts import (
    CHILD,
    SECRET,
    Start,
    events,
    needs_mosquitto,
    opened,
    publish,
)
from tests.runtime.node.waiting import until

# Refusals


@needs_mosquitto
def test_a_wrong_password_is_one_line_without_it(
    guarded: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setenv("BROKER_PASSWORD", "wrong horse")
    with pytest.raises(EventError, match="refused: not authorized") as caught:
        opened(guarded.port, tmp_path, said, user="node", password_env="BROKER_PASSWORD")
    assert "horse" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert said == []
    # The outbox is free for another try, with the right one from a file.
    (tmp_path / "password").write_text(f"{SECRET}\n")
    opened(
        guarded.port, tmp_path, said, user="node", password_file=str(tmp_path / "password")
    ).close()
    assert SECRET not in "".join(said)


@needs_mosquitto
def test_the_last_will_says_offline(broker: Broker, receiver: Receiver, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, f"mqtt://127.0.0.1:{broker.port}", str(tmp_path / "o.db")],
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
    )
    until(lambda: receiver.statuses == ["online"])
    child.kill()
    child.wait()
    until(lambda: receiver.statuses == ["online", "offline"])


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities; the first has signed a server and a client."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("certificates")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca", "other"):
        own = ["-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
        # Python takes no authority without it from 3.13 on.
        run("req", "-x509", *curve, *own, "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        run("req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
        run("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)
    return folder


@pytest.fixture
def encrypted(start: Start, certificates: Path) -> Broker:
    return start(
        "allow_anonymous true",
        f"cafile {certificates / 'ca.pem'}",
        f"certfile {certificates / 'server.pem'}",
        f"keyfile {certificates / 'server.key'}",
        "require_certificate true",
    )


@needs_mosquitto
def test_tls_with_certificates_of_both_sides(
    encrypted: Broker, certificates: Path, tmp_path: Path
) -> None:
    files = {
        "url": f"mqtts://127.0.0.1:{encrypted.port}",
        "ca_file": str(certificates / "ca.pem"),
        "certificate": str(certificates / "client.pem"),
        "key": str(certificates / "client.key"),
    }

    def configure(client: Client) -> None:
        client.tls_set(files["ca_file"], files["certificate"], files["key"])

    receiver = Receiver(encrypted.port, configure)
    sink = opened(0, tmp_path, **files)
    sent = events(20)
    publish(sink, sent)
    until(lambda: len(receiver.events) == 20)
    sink.close()
    receiver.close()
    assert receiver.events == sent
    with pytest.raises(EventError, match="its certificate does not hold"):
        opened(0, tmp_path, **(files | {"ca_file": str(certificates / "other.pem")}))


# Settings


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"url": "http://broker"}, "write mqtt://HOST:PORT"),
        ({"url": "broker:1883"}, "write mqtt://HOST:PORT"),
        ({"url": "mqtt://"}, "write mqtt://HOST:PORT"),
        ({"url": "mqtt://broker:99999"}, "write mqtt://HOST:PORT"),
        ({"url": "mqtt://broker/topic"}, "after the port"),
        ({"url": f"mqtt://node:{SECRET}@broker"}, "set user"),
        ({"url": f"mqtt://node:x/{SECRET}@broker"}, "set user"),
        ({"url": f"{SECRET}@broker"}, "set user"),
        ({"topic": "denet/{nod}/x"}, "{node} and {kind}"),
        ({"topic": "denet/#"}, "no [+] or #"),
        ({"topic": ""}, "topic"),
        ({"status_topic": "denet/{kind}"}, "only {node}"),
        ({"password_env": "NO_SUCH_VARIABLE"}, "without a user"),
        ({"user": "node", "password_env": "NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE is not set"),
        ({"user": "node", "password_file": "/no/such/file"}, "/no/such/file: cannot be read"),
        ({"user": "node", "password_file": "/x", "password_env": "X"}, "remove one"),
        ({"ca_file": "/x"}, "without TLS"),
        ({"url": "mqtts://broker", "ca_file": "/no/ca"}, "/no/ca: .* No such file"),
        ({"url": "mqtts://broker", "ca_file": __file__}, "cannot be used for TLS"),
        ({"url": "mqtts://broker", "certificate": "/no/c", "key": "/no/k"}, "/no/c, /no/k: "),
        ({"url": "mqtts://broker", "key": "/no/key"}, "without a certificate"),
        ({"outbox": "/no/such/folder/outbox.db"}, "/no/such/folder/outbox.db: cannot be written"),
    ],
)
def test_a_wrong_setting_is_one_line(settings: dict[str, str], told: str, tmp_path: Path) -> None:
    with pytest.raises(EventError, match=told) as caught:
        opened(1883, tmp_path, **settings)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_settings_hide_the_password() -> None:
    for url in (f"mqtt://node:{SECRET}@broker", f"mqtt://a:b@://{SECRET}/@broker", f"{SECRET}@x"):
        assert SECRET not in repr(MqttSettings(url=url, outbox="o", user="node"))
