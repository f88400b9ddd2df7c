"""The plan in Markdown: a row for each stage, the totals, and what of it is measured, assumed or estimated."""

from collections.abc import Iterator

from pipelines.capacity.model import Asked, Prices, StagePlan, UnitCosts, cost

_HEADER = ("stage", "time", "CPU h", "GPU h", "GB stored", "GB moved", "API calls", "MB a worker", "what binds")


def in_words(asked: Asked, costs: UnitCosts, stages: list[StagePlan], prices: Prices) -> Iterator[str]:
    """Yield the lines of a plan."""
    yield "| " + " | ".join(_HEADER) + " |"
    yield "| --- |" + " ---: |" * (len(_HEADER) - 2) + " --- |"
    for stage in stages:
        yield _row(stage)
    total = StagePlan(
        name="all",
        seconds=sum(stage.seconds for stage in stages),
        cpu=sum(stage.cpu for stage in stages),
        gpu=sum(stage.gpu for stage in stages),
        moved=sum(stage.moved for stage in stages),
        stored=sum(stage.stored for stage in stages),
        calls=sum(stage.calls for stage in stages),
        peak=max((stage.peak for stage in stages if stage.peak), default=None),
        binds=max(stages, key=lambda stage: stage.seconds).binds,
    )
    yield _row(total)
    yield ""
    spent = cost(stages, prices)
    yield (
        f"{asked.images:,} images: {total.seconds / 86400:.1f} days, {total.stored / 1e12:.2f} TB of disk, "
        + (f"{spent:,.2f} to pay" if spent else "prices not given")
        + f"; the longest stage is bound by {total.binds}."
    )
    measured = costs.measured
    yield (
        f"CPU, bytes: measured {measured['date']} on {measured['machine']}, commit {measured['commit']}, with "
        f"{measured['images']} synthetic images ({measured['command']}). {measured['note']}"
    )
    untold = [name for name, unit in costs.stages.items() if not (unit.image or unit.serial_image)]
    if untold:
        yield f"Too little was measured to tell what an image costs in {', '.join(untold)}: their CPU is too low here."
    if total.gpu:
        yield (
            f"GPU hours are an ESTIMATE, not measured: FLOPs over {asked.gpu.teraflops:g} TFLOP/s at an assumed "
            f"{asked.gpu.utilisation:.0%} of them."
        )
    yield f"Assumed: an answer of the media servers takes {asked.limits.latency * 1000:.0f} ms."


def _row(stage: StagePlan) -> str:
    cells = (
        *(stage.name, _time(stage.seconds), _number(stage.cpu / 3600), _number(stage.gpu / 3600)),
        *(_number(stage.stored / 1e9), _number(stage.moved / 1e9), f"{stage.calls:,}" if stage.calls else ""),
        f"{stage.peak / 1e6:.0f}" if stage.peak else "not measured",
        stage.binds,
    )
    return "| " + " | ".join(cells) + " |"


def _number(value: float) -> str:
    return f"{value:,.1f}" if value >= 0.05 else ""


def _time(seconds: float) -> str:
    if seconds >= 86400:
        return f"{seconds / 86400:.1f} days"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
