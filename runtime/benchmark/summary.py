"""What was measured, where and how: a report in lines."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.benchmark.costs import ImageCost, Roofs
from runtime.benchmark.result import BenchmarkReport
from runtime.benchmark.sheet import megabytes, short
from runtime.states import read_state

NUMBERS = ("images", "one image", "two images", "three images")


def images_line(images: ImageCost, count: int) -> str:
    """Preprocessing of a sample that has `count` images."""
    height, width = images.size
    return (
        f"{NUMBERS[count]} of {height}x{width}, {images.kilobytes:.0f} kB together, on one core: "
        f"{short(images.total.p50)} ms (p99 {short(images.total.p99)}): decode "
        f"{short(images.decode)}, resize {short(images.resize)}, normalize "
        f"{short(images.normalize)}"
    )


def roofs_line(roofs: Roofs) -> str:
    """What the machine can do at best."""
    rates = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in roofs.rates.items())
    copies = ", ".join(f"{rate / 1e9:.0f} ({size >> 20})" for size, rate in roofs.copies.items())
    return f"matrix product in GFLOP/s: {rates}; copy in GB/s (of MiB): {copies}"


def summary(report: BenchmarkReport) -> Mapping[str, str]:
    """What was measured, where and how, in lines with names."""
    settings, bundle = report.settings, report.bundle
    threads = (
        "its own choice of threads" if settings.threads is None else f"{settings.threads} threads"
    )
    lines = {
        "bundle": f"{bundle.path}: {bundle.backbone}, {bundle.height}x{bundle.width}, "
        f"{megabytes(bundle.bytes)} MB",
        "variants": "; ".join(
            f"{name} ({v.reason}), engines {megabytes(v.bytes)} MB"
            for name, v in report.variants.items()
        ),
        "run": f"{threads}, {settings.rounds} rounds, missing rate {settings.missing_rate:g}, "
        f"seed {settings.seed}, denet {report.version}",
    }
    if report.images is not None:
        lines["preprocessing"] = images_line(report.images, _modalities(report))
    for backend, roofs in report.roofs.items():
        lines[f"best of {backend}"] = roofs_line(roofs)
    versions = report.machine.facts.get("versions", {})
    lines["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    silent = "no sign of it" if report.machine.counters else "this machine does not tell"
    lines["slowed down"] = report.machine.throttled or silent
    costs = [cost for variant in report.variants.values() for cost in variant.states.values()]
    if costs and all(cost.joules is None for cost in costs):
        lines["energy"] = "not measured: this machine has no power rails that can be read"
    return lines


def _modalities(report: BenchmarkReport) -> int:
    """How many a complete sample has: it is embedded from its files where images are measured."""
    states = {state for variant in report.variants.values() for state in variant.end_to_end}
    return max((len(read_state(state).available) for state in states), default=0)
