"""Every form of every engine that a calibration offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from calibration.fp16 import fp16_engine, overflow
from calibration.int8 import int8_edge, int8_engine
from calibration.ranges import Method
from calibration.table import RangeTable
from denet.graph import kind_of
from runtime.bundle.bundle import Bundle
from runtime.bundle.forms import INT8, Form, Platform


@dataclass
class Emitted:
    """ONNX models by engine and form, beside those of the bundle.

    Attributes:
        models: what was made. Two forms may be the same model.
        refused: by engine and form, why there is none.
    """

    models: dict[tuple[str, Form], bytes] = field(default_factory=dict)
    refused: dict[tuple[str, Form], str] = field(default_factory=dict)

    def forms(self, engine: str) -> list[Form]:
        """The forms that were made of an engine."""
        return [form for name, form in self.models if name == engine]

    def describe_refused(self) -> list[str]:
        """What there is not, and why, a line for each reason."""
        by_reason: dict[str, list[str]] = {}
        for (engine, form), reason in self.refused.items():
            by_reason.setdefault(reason, []).append(f"{engine} ({form})")
        return [f"stays FP32: {', '.join(names)}: {why}" for why, names in by_reason.items()]


def emit(
    bundle: Bundle,
    table: RangeTable,
    method: Method,
    platforms: Sequence[Platform],
    *,
    half: bool,
    notify: Callable[[int], None] = lambda _: None,
) -> Emitted:
    """Make the INT8 forms for `platforms`, and FP16 with `half` or where one of them needs it.

    An engine that the calibration did not see has no range, and stays in FP32.
    """
    made = Emitted()
    for engine in bundle.graph.engines:
        notify(1)
        edge = kind_of(engine) == "dem"
        wanted = [INT8[platform] for platform in platforms]
        if half or "trt" in platforms:
            wanted.insert(0, "fp16")
        ranges = table.engines.get(engine)
        if ranges is None:
            unseen = "no sample runs it: the data lacks a modality"
            made.refused |= {(engine, form): unseen for form in wanted}
            continue
        model = bundle.read_engine(engine, "fp32")
        too_large = overflow(model, ranges) if "fp16" in wanted else None
        for form in wanted:
            if form == "fp16" or (edge and form == "int8-trt"):
                if too_large is not None:
                    made.refused[engine, form] = too_large
                elif (engine, "fp16") in made.models:
                    made.models[engine, form] = made.models[engine, "fp16"]
                else:
                    made.models[engine, form] = fp16_engine(model)
            elif edge:
                made.models[engine, form] = int8_edge(model)
            else:
                platform = next(p for p, name in INT8.items() if name == form)
                made.models[engine, form] = int8_engine(model, ranges, method, platform)
    return made
