"""What things cost, as it stands in a report.

Times are milliseconds and sizes bytes, unless a name says otherwise.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from runtime.benchmark.stats import Ratio, Repeated, Timing


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of a report: it is written with every field, and read with no other."""


class Breakdown(Strict, frozen=True):
    """Where the time of one sample in a state goes, of traced runs; medians.

    The backend tells when each engine ran. Parts may overlap where it runs several at once.

    Attributes:
        runs: how many were traced.
        total: a traced run, from network input to embedding.
        engines: each engine's own time, in the order in which they ran.
        upload: sending images to the device.
        copy: copies between engines.
        download: fetching what the engines made.
        enqueued: until the host had nothing left to do but wait; None where it computes itself.
        outside: in which no engine ran: the runtime's own time, copies included.
        share: of the total that is outside.
    """

    runs: int
    total: float
    engines: dict[str, float]
    upload: float
    copy: float
    download: float
    enqueued: float | None
    outside: float
    share: float


class Limit(Strict, frozen=True):
    """What an engine must do, and how fast this machine could at best.

    Attributes:
        flops: of convolutions and matrix products; a multiplication and an addition are two.
        weight_bytes: that are read.
        moved_bytes: of inputs that are read and outputs that are written.
        rate: FLOP/s of a matrix product here, in the engine's precision.
        bandwidth: bytes/s of a copy here, of as many bytes as the state's engines hold.
        ms: the longer of computing at that rate and moving at that bandwidth.
        bound: which of the two it is.
        share: of the limit that the engine reaches: `ms` over its median time.
    """

    flops: int
    weight_bytes: int
    moved_bytes: int
    rate: float
    bandwidth: float
    ms: float
    bound: Literal["compute", "memory"]
    share: float


class StateCost(Strict, frozen=True):
    """One sample in a state, at batch 1.

    Attributes:
        latency: from network input to embedding.
        against_first: how many times as long as the first variant takes; None for that one.
        breakdown: where the time goes.
        joules: of energy for an embedding, where the machine measures its power.
        map: of the variant in this state, in per cent, as the bundle's calibration measured it on
            what it held out; None where it did not.
    """

    latency: Timing
    against_first: Ratio | None
    breakdown: Breakdown
    joules: float | None
    map: float | None = None


class EngineCost(Strict, frozen=True):
    """One engine, as it runs inside a state.

    Attributes:
        form: its precision and what that was made for.
        state: the first state that runs it.
        timing: in that state, at batch 1, of traced runs.
        against_first: how many times as long as in the first variant.
        bytes: of its file.
        limit: what this machine allows at best; None where that was not measured.
    """

    form: str
    state: str
    timing: Timing
    against_first: Ratio | None
    bytes: int
    limit: Limit | None


class BatchCost(Strict, frozen=True):
    """A batch of samples in one state."""

    timing: Timing
    per_second: float


class StreamCost(Strict, frozen=True):
    """A stream of samples in mixed states, run in three ways: milliseconds of a sample.

    Attributes:
        samples: that were run in each way.
        batch: of the first way.
        batched: mixed states in one batch, each engine once over the samples that need it.
        single: one sample at a time.
        by_state: the samples of a batch that are in one state, state by state.
        over_single: how many times the throughput of `single` the batched way has.
        over_by_state: likewise of `by_state`.
    """

    samples: int
    batch: int
    batched: Timing
    single: Timing
    by_state: Timing
    over_single: Ratio
    over_by_state: Ratio


class DropoutCost(Strict, frozen=True):
    """A camera dies in a stream of complete samples, at batch 1.

    Attributes:
        lost: its modality.
        state: of the samples that follow.
        engines: how many engines that state needs that the complete one does not.
        before: samples before it dies.
        around: as many samples before as after, with the first.
        after: samples after it.
        first: the first sample without it, where the runtime was prepared for every state.
        first_cold: the same where it was prepared for complete samples alone.
    """

    lost: str
    state: str
    engines: int
    before: Timing
    around: Timing
    after: Timing
    first: Repeated
    first_cold: Repeated


class StartCost(Strict, frozen=True):
    """A fresh process that loads a bundle and embeds. Its files are in the system's cache.

    Attributes:
        engines: how many it loads.
        batch: of the samples that it embeds.
        imports: `import runtime`.
        load: opening, hashing and loading.
        embed: the first embedding after that.
        first: load and embed: the time to the first embedding.
        host_bytes: the most memory that the process had; None where the system does not tell.
        device_bytes: of the device's memory in use at the end, by anyone; None without a device.
    """

    engines: int
    batch: int
    imports: Repeated
    load: Repeated
    embed: Repeated
    first: Repeated
    host_bytes: Repeated | None
    device_bytes: Repeated | None


class MonolithCost(Strict, frozen=True):
    """A state as engines composed, beside one graph of the whole state.

    Attributes:
        bytes: of the graph.
        min_cosine: of its parts to those of the engines.
        composed: milliseconds, by batch.
        monolith: likewise.
        ratio: how many times as long the composed state takes, by batch.
    """

    bytes: int
    min_cosine: float
    composed: dict[int, Timing]
    monolith: dict[int, Timing]
    ratio: dict[int, Ratio]


class ImageCost(Strict, frozen=True):
    """Preprocessing of one complete sample on one core, from the bytes of its image files.

    Attributes:
        size: of the images, as (height, width) in pixels, the most frequent one.
        kilobytes: of its files together, mean.
        total: bytes to network input, all its images.
        decode: of that, the median of decoding.
        resize: of resizing.
        normalize: of normalizing.
    """

    size: tuple[int, int]
    kilobytes: float
    total: Timing
    decode: float
    resize: float
    normalize: float


class Roofs(Strict, frozen=True):
    """The best that this machine was seen to do.

    Attributes:
        rates: FLOP/s of a matrix product through the runtime's own library, by precision.
        copies: bytes/s of a copy (read and written) by the bytes that are copied.
    """

    rates: dict[str, float]
    copies: dict[int, float]
