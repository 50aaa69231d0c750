"""The metrics of a fleet; and that dashboard and alert rules ask for metrics that there are."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")
pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install '.[node]'")

from runtime.fleet.errors import FleetError
from runtime.fleet.metrics import FleetMetrics
from runtime.fleet.running import FleetSnapshot
from runtime.fleet.settings import FleetMetricsSettings
from runtime.fleet.storing import Refused, SpaceIds, store
from runtime.fleet.worker import Counts
from runtime.node import metrics as node_metrics
from runtime.postgres.address import Address
from runtime.postgres.connecting import Connection
from tests.command import denet
from tests.paths import ROOT
from tests.runtime.fleet.drawn import NOON, event
from tests.runtime.node.broker import Broker

yaml = pytest.importorskip("yaml")

FOLDER = ROOT / "docker" / "monitoring"

DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())

ALERTS: dict[str, Any] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())

SNAPSHOT = FleetSnapshot(Counts(9, 5, 3, 1), 2, "the broker is away", 0)


def scraped(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#")
    }


@pytest.fixture
def metrics(archive: Connection, address: Address) -> Iterator[FleetMetrics]:
    store(archive, SpaceIds(), [event()], [Refused("t", b"x", "y")], NOON + 30)
    made = FleetMetrics(FleetMetricsSettings(port=0), lambda: SNAPSHOT, address)
    yield made
    made.close()


def test_what_a_fleet_tells(metrics: FleetMetrics) -> None:
    found = scraped(metrics.port)
    assert found["denet_fleet_stored_total"] == 5
    assert found["denet_fleet_refused_total"] == 1
    assert found["denet_fleet_forgotten_total"] == 2
    assert found["denet_fleet_away"] == 1
    assert found['denet_fleet_camera_told_seconds{camera="gate-1"}'] == NOON + 20
    assert found['denet_fleet_camera_late_seconds{camera="gate-1"}'] == 10
    assert found["denet_fleet_set_aside"] == 1


def test_while_the_archive_is_away(postgres: object, address: Address) -> None:
    """What the workers know is told all the same: here, there are no tables yet."""
    made = FleetMetrics(FleetMetricsSettings(port=0), lambda: SNAPSHOT, address)
    try:
        found = scraped(made.port)
        assert found["denet_fleet_away"] == 1
        assert not any("camera" in name for name in found)
        with pytest.raises(FleetError, match="already in use"):
            FleetMetrics(FleetMetricsSettings(port=made.port), lambda: SNAPSHOT, address)
    finally:
        made.close()


def test_the_command_serves_them(broker: Broker, url: str, tmp_path: Path) -> None:
    config = tmp_path / "fleet.toml"
    config.write_text(
        f'[archive]\nurl = "{url}"\n[broker]\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
        "[metrics]\nport = 0\n"
    )
    done = denet("fleet", "run", config, "--for", "0.5")
    assert done.exit_code == 0, done.output


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    rules = [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]
    return panels + rules


def test_what_is_asked_for_is_told(metrics: FleetMetrics) -> None:
    """Every metric, by the name that Prometheus has it under."""
    told = {re.split("[{ ]", name)[0] for name in scraped(metrics.port)}
    source = Path(node_metrics.__file__).read_text()
    kinds = re.findall(r'(Counter|Gauge|Histogram)MetricFamily\(\s*"(denet_\w+)"', source)
    for kind, name in kinds:
        told |= {f"{name}_total"} if kind == "Counter" else {name, f"{name}_bucket"}
    told |= {f"{name}_total" for name in re.findall(r'\("(denet_\w+)", "', source)}
    assert len(told) > 30
    asked = {name for each in expressions() for name in re.findall(r"\bdenet_\w+", each)}
    assert asked <= told, asked - told
    assert len(asked) > 15


def test_labels_are_those_that_there_are() -> None:
    known = {"instance", "job", "what", "modality", "fault", "reason", "sink", "stage", "camera"}
    for each in expressions():
        for labels in re.findall(r"(?:by \(([^)]*)\)|\{([^}]*)\})", each):
            for name in re.findall(r"(\w+)\s*(?:=|,|$)", re.sub('"[^"]*"', "", ",".join(labels))):
                assert name in known | {"le"}, (name, each)
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            for name in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
                assert name in known


def test_the_dashboard_is_whole() -> None:
    """By what Grafana needs of each panel; the places of panels do not overlap."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["type"] in ("timeseries", "state-timeline")
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert {each["name"] for each in DASHBOARD["templating"]["list"]} == {"source", "node"}


def test_rules_are_whole() -> None:
    names = [rule["alert"] for group in ALERTS["groups"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    scraping = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    jobs = {each["job_name"] for each in scraping["scrape_configs"]}
    wanted = {job for each in expressions() for job in re.findall(r'job="([^"]+)"', each)}
    assert wanted == jobs
    assert all((FOLDER / name).exists() for name in scraping["rule_files"])


def test_expressions_are_some() -> None:
    """By the grammar of PromQL, where its parser is installed."""
    parser = pytest.importorskip("promql_parser", reason="needs promql-parser")
    for each in expressions():
        parser.parse(each.replace("$node", ".*"))
