"""What events cost, and whether they survive a broker that is killed and a node that is.

    python measurements/events.py [--outage 60] [--kills 50] [--rate 25] [--dim 512]

Needs mosquitto (Debian's package) and paho-mqtt. Everything runs on loopback and in a temporary
folder under the working directory, so that the disk is a real one.

- Costs: of `publish` in the loop, and of the outbox's commits with each way of syncing.
- Throughput: from `publish` to the acknowledgement, through the outbox.
- Outage: the broker is killed (SIGKILL) in mid-run and comes back after `--outage` seconds, while
  events go on at `--rate`; then, does the receiver have each one?
- Kills: a publishing process is killed (SIGKILL) `--kills` times at random moments. The last run
  delivers what is left. Of each run the receiver must have everything from its first event to some
  moment, and everything that the outbox had at the kill.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
from composed import processor

from runtime.node.events import (
    Condition,
    Embedding,
    Event,
    EventIds,
    EventSettings,
    LinesSettings,
    MqttSettings,
    Sink,
    open_sinks,
)
from runtime.node.events.outbox import Outbox

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.runtime.node.broker import Broker, Receiver  # noqa: E402 (the root is on the path now)
from tests.runtime.node.waiting import until  # noqa: E402 (the root is on the path now)

NODE = "bench"

CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from events import some_event
from runtime.node.events import EventIds, EventSettings, MqttSettings, open_sinks
settings = EventSettings(mqtt=MqttSettings(url=sys.argv[2], outbox=sys.argv[3]))
sink = open_sinks(settings, "bench", lambda line: None)
ids = EventIds("bench")
print("begun", flush=True)
while True:
    sink.publish(some_event(ids, int(sys.argv[4])))
    time.sleep(0.002)
"""


def some_event(ids: EventIds, dim: int) -> Event:
    vector = np.random.default_rng(0).standard_normal(dim).astype(np.float32)
    healthy = Condition(healthy=True)
    return Event(
        id=ids.next(),
        node=NODE,
        time=time.time(),
        kind="embedding",
        state="rgb+nir+tir",
        verdicts={"rgb": healthy, "nir": healthy, "tir": healthy},
        embedding=Embedding.of(vector / np.linalg.norm(vector)),
        checkpoint="c" * 64,
        precisions={f"engine_{i}": "int8" for i in range(13)},
    )


def opened(port: int, folder: Path, name: str = "outbox.db") -> Sink:
    mqtt = MqttSettings(url=f"mqtt://127.0.0.1:{port}", outbox=str(folder / name))
    return open_sinks(EventSettings(mqtt=mqtt), NODE, lambda line: print(f"  {line}"))


def timed(call: Callable[[], object], rounds: int, pause: float = 0.0) -> str:
    """Median and 99th percentile in us.

    Args:
        call: what is timed.
        rounds: how often.
        pause: seconds between, in which other threads do what it left them.
    """
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        times.append(1e6 * (time.perf_counter() - began))
        time.sleep(pause)
    return f"p50 {statistics.median(times):.0f} us, p99 {np.percentile(times, 99):.0f} us"


def costs(folder: Path, dim: int) -> None:
    ids = EventIds(NODE)
    event = some_event(ids, dim)
    body = msgspec.json.encode(event)
    print(f"an event of {dim} float16 numbers: {len(body)} bytes in JSON")
    vector = event.embedding.vector() if event.embedding else np.zeros(dim, np.float32)
    print(f"  Embedding.of: {timed(lambda: Embedding.of(vector), 2000)}")
    settings = EventSettings(lines=LinesSettings(path=str(folder / "events.jsonl")))
    sink = open_sinks(settings, NODE)

    print(f"  publish: {timed(lambda: sink.publish(event), 1000, pause=0.002)}")
    sink.close()
    for name, pragma in (
        ("as it is (synchronous = NORMAL)", "NORMAL"),
        ("synced at every commit (FULL)", "FULL"),
    ):
        outbox = Outbox(folder / f"{pragma}.db", 256_000_000)
        outbox._connection.execute(f"PRAGMA synchronous = {pragma}")
        print(f"  outbox, one event a commit, {name}: {timed(_add(outbox, body), 500)}")
        outbox.close()
    outbox = Outbox(folder / "sync.db", 256_000_000)
    times = []
    for _ in range(20):
        outbox.add([("t", body)] * 25)
        began = time.perf_counter()
        outbox.sync()
        times.append(1e3 * (time.perf_counter() - began))
    print(
        f"  outbox.sync, once a second while the broker is away: {statistics.median(times):.1f} ms"
    )
    outbox.close()


def _add(outbox: Outbox, body: bytes) -> Callable[[], object]:
    return lambda: outbox.add([("denet/bench/embedding", body)])


def throughput(folder: Path, dim: int, count: int = 3000) -> None:
    ids = EventIds(NODE)
    with Broker(folder) as broker:
        sink = opened(broker.port, folder, "throughput.db")
        began, used = time.perf_counter(), time.process_time()
        for _ in range(count):
            sink.publish(some_event(ids, dim))
            while sink.snapshot()[0].waiting > 300:
                time.sleep(0.001)
        until(lambda: sink.snapshot()[0].waiting == 0, 120)
        rate = count / (time.perf_counter() - began)
        each = 1e6 * (time.process_time() - used) / count
        sink.close()
    print(f"through the outbox: {rate:.0f} events/s, {each:.0f} us of CPU each")


def outage(folder: Path, seconds: float, rate: float, dim: int) -> None:
    ids, sent = EventIds(NODE), []

    def go_on(for_seconds: float) -> None:
        end = time.monotonic() + for_seconds
        while time.monotonic() < end:
            event = some_event(ids, dim)
            sent.append(event.id)
            sink.publish(event)
            time.sleep(1 / rate)

    with Broker(folder) as broker, closing(Receiver(broker.port)) as receiver:
        sink = opened(broker.port, folder)
        go_on(10)
        broker.kill()
        go_on(seconds)
        waiting = sink.snapshot()[0].waiting
        broker.start()
        receiver.wait()
        back = time.monotonic()
        while sink.snapshot()[0].waiting:
            go_on(0.2)
        caught_up = time.monotonic() - back
        sink.close()
        until(lambda: len(receiver.ids) >= len(sent), 30)
        print(f"broker away for {seconds:.0f} s at {rate:.0f} events/s: {waiting} events waited")
        print(f"  none waits any more {caught_up:.1f} s after its return")
        _judge(sent, receiver)


def _judge(sent: list[str], receiver: Receiver) -> None:
    arrived = Counter(event.id for event in receiver.events)
    twice = len(receiver.events) - len(arrived)
    print(f"  of {len(sent)} events missing: {len(set(sent) - set(arrived))}")
    print(f"  arrived twice (dropped by id): {twice}; then in order: {receiver.ids == sent}")


def kills(folder: Path, count: int, dim: int) -> None:
    with Broker(folder) as broker, closing(Receiver(broker.port)) as receiver:
        _kill(broker, receiver, folder, count, dim)


def _kill(broker: Broker, receiver: Receiver, folder: Path, count: int, dim: int) -> None:
    chance = random.Random(0)
    outbox = folder / "kills.db"
    kept: set[str] = set()
    away = 0
    url = f"mqtt://127.0.0.1:{broker.port}"
    place = str(ROOT / "measurements")
    command = [sys.executable, "-c", CHILD, place, url, str(outbox), str(dim)]
    for _ in range(count):
        _run_and_kill(command, chance.uniform(0.0, 0.6))
        if chance.random() < 0.3:  # some runs find the broker away
            away += 1
            broker.kill()
            _run_and_kill(command, chance.uniform(0.0, 0.6))
            broker.start()
            receiver.wait()
        # A copy, so that looking changes nothing.
        copy = folder / "copy.db"
        for ending in ("", "-wal"):
            source = Path(f"{outbox}{ending}")
            if source.exists():
                Path(f"{copy}{ending}").write_bytes(source.read_bytes())
        with closing(sqlite3.connect(copy)) as connection:
            bodies = connection.execute("SELECT body FROM letters").fetchall()
        kept |= {msgspec.json.decode(body, type=Event).id for (body,) in bodies}
        for ending in ("", "-wal", "-shm"):
            Path(f"{copy}{ending}").unlink(missing_ok=True)
    sink = opened(broker.port, folder, outbox.name)
    carried = sink.snapshot()[0].carried
    until(lambda: sink.snapshot()[0].waiting == 0, 120)
    sink.close()
    time.sleep(1)
    arrived = receiver.ids
    runs: dict[str, list[int]] = {}
    for name in arrived:
        run, _, number = name.rpartition("-")
        runs.setdefault(run, []).append(int(number))
    whole = sum(numbers == list(range(1, len(numbers) + 1)) for numbers in runs.values())
    print(f"{count + away} kills, {away} of them while the broker was away:")
    print(f"  {len(arrived)} events of {len(runs)} runs, {carried} of them left for the last")
    print(f"  runs without a gap and in order: {whole} of {len(runs)}")
    print(f"  missing of {len(kept)} found in the outbox after a kill: {len(kept - set(arrived))}")
    print(f"  arrived twice (dropped by id): {len(receiver.events) - len(arrived)}")


def _run_and_kill(command: list[str], seconds: float) -> None:
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(seconds)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outage", type=float, default=60.0, help="seconds")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rate", type=float, default=25.0, help="events a second")
    parser.add_argument("--dim", type=int, default=512)
    wanted = parser.parse_args()
    print(processor())
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        costs(Path(folder), wanted.dim)
        throughput(Path(folder), wanted.dim)
        if wanted.outage:
            outage(Path(folder), wanted.outage, wanted.rate, wanted.dim)
        if wanted.kills:
            kills(Path(folder), wanted.kills, wanted.dim)


if __name__ == "__main__":
    main()
