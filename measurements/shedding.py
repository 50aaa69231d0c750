"""What a node embeds under more load than it has time for: crops dropped, or modalities shed.

    python measurements/shedding.py BUNDLE [--seconds 60] [--deadline 0.25] [--times 1,1.5,2,3,4]

BUNDLE carries what says the worth of its states: a calibration with labels, a projection, or
scores. Crops in the complete state come evenly, at so many times the rate that the engines sustain
in full batches of 8, to the last stage of a node: its backlog, batches, engines and events, and
nothing else (no frames are decoded, and nobody is searched for). Printed: the share of crops that
was embedded within the deadline after its capture, the share that was dropped, what the crops are
worth on average (those that were not embedded in time: nothing), and in which states they ran.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from composed import processor

from runtime.bundle.bundle import Bundle
from runtime.gallery.scores import carried_scores
from runtime.node.announcer import Announcer, Sighting
from runtime.node.embedder import Embedder
from runtime.node.events import EventSettings, open_sinks
from runtime.node.fair_queue import FairQueue
from runtime.node.head.output import HeadOutput
from runtime.node.health import Verdict
from runtime.node.serving import Serving
from runtime.node.settings import BatchSettings
from runtime.node.shedding.costs import measure_costs
from runtime.node.shedding.table import ShedTable, shed_table
from runtime.node.shedding.worth import worth_of_states
from runtime.node.stage_items import Crop
from runtime.runtime import Runtime

LARGEST = 8


class Load:
    """One stage under a load, and what came out in time."""

    def __init__(
        self, runtime: Runtime, table: ShedTable | None, worths: dict[str, float], deadline: float
    ) -> None:
        self.worths, self.deadline = worths, deadline
        self.crops: FairQueue[Crop] = FairQueue([""], 32)
        sink = open_sinks(EventSettings(), "load", print)
        self.states: Counter[str] = Counter()
        self.worth, self.intime = 0.0, 0
        self.stage = Embedder(
            Serving(runtime, "0" * 64, None, "", table=table),
            self.crops,
            BatchSettings(
                largest=LARGEST, deadline=deadline / 2, overload="shed" if table else "drop"
            ),
            announcer := Announcer("load", sink, "float16", print),
            print,
            {"": HeadOutput(announcer, self.seen)},
        )
        graph = runtime.graph
        size = runtime.bundle.manifest.preprocessing
        chance = np.random.default_rng(0)
        shape = (size.height, size.width, 3)
        self.images = {m: chance.integers(0, 256, shape, np.uint8) for m in graph.modalities}
        self.verdicts = {m: Verdict(m, None, "") for m in graph.modalities}

    def seen(self, sighting: Sighting) -> None:
        self.states[sighting.state.name] += 1
        if time.monotonic() - sighting.time <= self.deadline:
            self.intime += 1
            self.worth += self.worths[sighting.state.name]

    def run(self, rate: float, seconds: float) -> None:
        thread = threading.Thread(target=self.stage.run, args=(lambda: None,))
        thread.start()
        begin = time.monotonic()
        for number in range(int(rate * seconds)):
            due = begin + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            self.crops.lanes[""].put(Crop(due, self.images, None, self.verdicts))
        self.crops.lanes[""].close()
        thread.join()


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--deadline", type=float, default=0.25)
    parser.add_argument("--times", default="1,1.5,2,3,4")
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    with Runtime.load(bundle, max_batch=LARGEST, preload=True) as runtime:
        graph, manifest = bundle.graph, bundle.manifest
        worths, what = worth_of_states(manifest, graph, carried_scores(bundle))
        costs = measure_costs(runtime, manifest, LARGEST)
        table = shed_table(graph, costs, worths)
        print(f"{processor()}; {args.bundle} on {runtime.backend} in {runtime.variant}")
        print(f"worth: {what}")
        for choice in table[graph.complete]:
            print(f"  {choice.state.name}: {1e3 * choice.cost:.2f} ms, worth {choice.worth:.1f}")
        rate = 1 / costs[graph.complete]
        print(f"sustained in the complete state: {rate:.0f} crops/s\n")
        print("| times | overload | in time | dropped | mean worth | states |")
        print("|---|---|---|---|---|---|")
        for times in map(float, args.times.split(",")):
            for overload in ("drop", "shed"):
                load = Load(
                    runtime,
                    table if overload == "shed" else None,
                    {state.name: worth for state, worth in worths.items()},
                    args.deadline,
                )
                load.run(times * rate, args.seconds)
                account = load.crops.snapshot()
                came = account.entered
                shares = ", ".join(
                    f"{name} {100 * n / came:.0f} %" for name, n in load.states.most_common()
                )
                print(
                    f"| {times:g} | {overload} | {100 * load.intime / came:.1f} % "
                    f"| {100 * sum(account.dropped.values()) / came:.1f} % "
                    f"| {load.worth / came:.1f} | {shares} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
