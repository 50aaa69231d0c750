"""Events from the broker to the archive: shared, once, and through every outage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("psycopg", reason="needs psycopg: pip install '.[central]'")
pytest.importorskip("paho.mqtt", reason="needs paho-mqtt: pip install '.[node]'")

from runtime.fleet.opening import opened_archive
from runtime.fleet.running import Fleet
from runtime.fleet.settings import FleetSettings
from runtime.node.events import EventIds, TrackEvent
from runtime.postgres.address import Address
from runtime.postgres.connecting import connect
from tests.command import denet
from tests.runtime.fleet.drawn import body, event, pooled, unit
from tests.runtime.fleet.sending import Publisher, persistent, running, settings_of
from tests.runtime.node.broker import Broker
from tests.runtime.node.waiting import until
from tests.runtime.postgres.server import Server


def events(count: int, node: str = "gate-1") -> list[TrackEvent]:
    ids = EventIds(node)
    return [
        event(ids, f"track-{number // 4}", "updated", node=node, duration=float(number % 4))
        for number in range(count)
    ]


def ids_in(settings: FleetSettings) -> list[str]:
    with opened_archive(settings) as connection:
        return sorted(str(row[0]) for row in connection.execute("SELECT id FROM events"))


def test_workers_share_what_comes(broker: Broker, publisher: Publisher, url: str) -> None:
    settings = settings_of(broker.port, url, workers=3)
    sent = [made for node in ("a", "b", "c") for made in events(40, node)]
    with running(settings) as fleet:
        until(lambda: _subscribed(fleet))
        publisher.send(sent)
        until(lambda: fleet.snapshot().counts.stored == 120)
        shares = [worker.counts.stored for worker in fleet.workers]
        assert min(shares) > 0
        publisher.send(sent)  # as a node does that did not hear of them
        until(lambda: fleet.snapshot().counts.again == 120)
        assert fleet.snapshot().counts.received == 240
    assert ids_in(settings) == sorted(made.id for made in sent)


def test_what_comes_while_workers_are_away_waits(
    broker: Broker, publisher: Publisher, url: str
) -> None:
    settings = settings_of(broker.port, url)
    with running(settings) as fleet:
        until(lambda: _subscribed(fleet))
    sent = events(50)
    publisher.send(sent)
    assert ids_in(settings) == []
    broker.kill()
    broker.start()
    with running(settings) as fleet:
        until(lambda: fleet.snapshot().counts.stored == 50)
    assert ids_in(settings) == sorted(made.id for made in sent)


def test_nothing_is_acknowledged_that_is_not_stored(
    broker: Broker, publisher: Publisher, own: Server
) -> None:
    """The database dies under way and comes back; the workers die; nothing is missing."""
    settings = settings_of(broker.port, own.setting())
    said: list[str] = []
    sent = events(60)
    with running(settings, said) as fleet:
        until(lambda: _subscribed(fleet))
        publisher.send(sent[:20])
        until(lambda: fleet.snapshot().counts.stored == 20)
        own.kill()
        publisher.send(sent[20:40])
        until(lambda: any("events wait at the broker" in line for line in said))
        assert fleet.snapshot().away
    publisher.send(sent[40:])
    own.start()
    with running(settings) as fleet:
        until(lambda: fleet.snapshot().counts.stored == 40)
        assert fleet.snapshot().failures == 0
    assert ids_in(settings) == sorted(made.id for made in sent)


def test_workers_wait_for_a_database_that_comes_back(
    broker: Broker, publisher: Publisher, own: Server
) -> None:
    settings = settings_of(broker.port, own.setting(), workers=1)
    said: list[str] = []
    with running(settings, said) as fleet:
        until(lambda: _subscribed(fleet))
        own.kill()
        publisher.send(events(30))
        until(lambda: said)
        own.start()
        until(lambda: fleet.snapshot().counts.stored == 30)
        assert fleet.snapshot().away == ""
    assert [line for line in said if "reached again" in line]


def test_a_broker_that_comes_back_is_found_again(broker: Broker, url: str) -> None:
    settings = settings_of(broker.port, url, workers=2)
    said: list[str] = []
    with running(settings, said) as fleet:
        until(lambda: _subscribed(fleet))
        broker.kill()
        until(lambda: fleet.snapshot().away)
        broker.start()
        until(lambda: _subscribed(fleet))
        publisher = Publisher(broker)
        publisher.send(events(10))
        publisher.close()
        until(lambda: fleet.snapshot().counts.stored == 10)
    assert len([line for line in said if "is connected again" in line]) == 2


def test_what_is_away_at_the_start_is_waited_for(tmp_path: Path, url: str) -> None:
    broker = Broker(tmp_path, *persistent(tmp_path))
    said: list[str] = []
    with running(settings_of(broker.port, url, workers=1), said) as fleet:
        assert "it is waited for" in said[0]
        with broker:
            until(lambda: _subscribed(fleet))


def test_draining_ends_sessions(broker: Broker, publisher: Publisher, url: str) -> None:
    """From three workers to one: what waits for the others is not lost."""
    settings = settings_of(broker.port, url, workers=3)
    with running(settings) as fleet:
        until(lambda: _subscribed(fleet))
    sent = events(30)
    publisher.send(sent)
    draining = Fleet(settings, print, draining=True)
    draining.start()
    publisher.send(events(0))
    until(draining.ended)
    draining.stop()
    assert ids_in(settings) == sorted(made.id for made in sent)
    with running(settings_of(broker.port, url, workers=1)) as fleet:
        until(lambda: _subscribed(fleet))
        more = events(20, "gate-2")
        publisher.send(more)
        until(lambda: fleet.snapshot().counts.stored == 20)


def test_what_cannot_be_stored_is_set_aside(
    broker: Broker, publisher: Publisher, url: str, tmp_path: Path
) -> None:
    """Each with its reason; the others go on, and an update reads it later."""
    settings = settings_of(broker.port, url, workers=1)
    good = events(4)
    later = json.loads(body(event("z-1")))
    wrong = {
        "not an event of a track": b"\xff\x00 no json",
        "event schema 2": json.dumps(later | {"schema": 2}).encode(),
        "not of a track": json.dumps(later | {"kind": "notice"}).encode(),
        "required field `track`": json.dumps({k: later[k] for k in later if k != "track"}).encode(),
        "character NUL": body(event("y-1")).replace(b':"person"', b':"per\\u0000son"'),
        "a time in it is none": body(event("x-1", time=1e300)),
        "is empty or too long": body(event("w" * 5000)),
        "not of length 1": body(event("v-1", embeddings=[pooled(unit(1) * 2)])),
        "unknown state": body(event("u-1", embeddings=[pooled(unit(1), "sonar")])),
    }
    said: list[str] = []
    with running(settings, said) as fleet:
        until(lambda: _subscribed(fleet))
        publisher.send([*good[:2], *wrong.values(), *good[2:]])
        until(lambda: fleet.snapshot().counts.received == len(good) + len(wrong))
        counts = fleet.snapshot().counts
        assert (counts.stored, counts.aside) == (len(good), len(wrong))
    config = tmp_path / "fleet.toml"
    config.write_text(f'[archive]\nurl = "{url}"\n')
    shown = denet("fleet", "aside", config).output
    for reason in wrong:
        assert reason in shown, shown
        assert any(reason in line for line in said), said
    assert f"{len(wrong)} messages are set aside" in shown
    # An update that reads the second schema.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.fleet.arrival.SCHEMA", 2)
        shown = denet("fleet", "aside", config, "--retry").output
    assert "1 messages are stored" in shown
    assert "z-1" in ids_in(settings)
    denet("fleet", "aside", config, "--drop")
    assert denet("fleet", "aside", config).output.strip() == "0 messages are set aside"


def test_what_only_postgresql_refuses_costs_the_others_nothing(
    broker: Broker, publisher: Publisher, url: str, address: Address
) -> None:
    settings = settings_of(broker.port, url, workers=1)
    with running(settings) as fleet:
        until(lambda: _subscribed(fleet))
        with connect(address) as connection:
            connection.execute("ALTER TABLE events ADD CHECK (id <> 'bad-1')")
        good = events(5)
        publisher.send([*good, event("bad-1", "track-x")])
        until(lambda: fleet.snapshot().counts.received == 6)
        counts = fleet.snapshot().counts
        assert (counts.stored, counts.aside) == (5, 1)
    with connect(address) as connection:
        (row,) = connection.execute("SELECT topic, reason FROM aside").fetchall()
    assert row[0] == "(event bad-1)"
    assert "the archive refuses it" in row[1]
    assert ids_in(settings) == sorted(made.id for made in good)


def test_two_machines_of_one_name_are_told(broker: Broker, url: str) -> None:
    said: list[str] = []
    settings = settings_of(broker.port, url, workers=1)
    with running(settings, said) as fleet:
        until(lambda: _subscribed(fleet))
        with running(settings) as other:
            until(lambda: any("is another connected as" in line for line in said))
            assert other.workers


def _subscribed(fleet: Fleet) -> bool:
    return all(
        w._subscription is not None and not w.broker_away and not w.archive_away
        for w in fleet.workers
    )


def test_a_command_runs_workers(
    broker: Broker, publisher: Publisher, url: str, tmp_path: Path
) -> None:
    config = tmp_path / "fleet.toml"
    config.write_text(
        f'[archive]\nurl = "{url}"\n[broker]\nurl = "mqtt://127.0.0.1:{broker.port}"\n'
    )
    assert denet("fleet", "run", config, "--for", "0.5").exit_code == 0
    publisher.send(events(12))
    done = denet("fleet", "run", config, "--for", "3", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["counts"] == {"received": 12, "stored": 12, "again": 0, "aside": 0}
    shown = denet("fleet", "status", config).output
    assert "gate-1" in shown
    assert "events 12, tracks 3, embeddings 3, pictures 0" in shown
