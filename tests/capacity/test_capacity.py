"""The arithmetic of a release, with unit costs that are easy to reckon with; and the file of measured ones."""

from dataclasses import replace

import pytest

from pipelines.capacity.model import PROFILES, Asked, Prices, StagePlan, Unit, UnitCosts, cost, plan, read_unit_costs
from pipelines.capacity.table import in_words
from pipelines.cli import main
from pipelines.pipeline import STAGES

COSTS = UnitCosts(
    {name: Unit(image=0.001, partition=0.01, stored=1000, network=0.2 if "embed" in name else 0.0) for name in STAGES},
    fetched=30_000,
    measured={"date": "a day", "machine": "m", "commit": "c", "command": "x", "images": "some", "note": ""},
)
ALL = Asked(images=6_500_000, limits=PROFILES["wikimedia"], workers=8, gpus=1)


def stages(asked: Asked, costs: UnitCosts = COSTS) -> dict[str, StagePlan]:
    return {stage.name: stage for stage in plan(asked, costs)}


def test_wikimedia_takes_three_days_and_its_latency_binds() -> None:
    fetching = stages(ALL)["fetch_images"]
    assert fetching.seconds / 86400 == pytest.approx(3.0, abs=0.1)
    assert fetching.binds == "2 connections × 80 ms"
    assert fetching.moved == 6_500_000 * 30_000


def test_pictures_four_times_as_heavy_are_bound_by_the_bandwidth() -> None:
    fetching = stages(ALL, replace(COSTS, fetched=150_000))["fetch_images"]
    assert fetching.binds == "25 Mbit/s"
    assert fetching.seconds == pytest.approx(6_500_000 * 150_000 * 8 / 25e6)


def test_the_api_is_asked_130_000_times_at_200_a_minute() -> None:
    asking = stages(ALL)["describe_files"]
    assert asking.calls == 130_000
    assert asking.binds == "API, 200 calls a minute"
    assert asking.seconds / 3600 == pytest.approx(10.8, abs=0.1)


def test_a_mirror_is_bound_by_the_workers_until_there_are_enough() -> None:
    mirror = replace(ALL, limits=PROFILES["mirror"], workers=1)
    assert stages(mirror)["fetch_images"].binds == "1 worker(s)"
    assert stages(replace(mirror, workers=64))["fetch_images"].binds == "16 connections × 5 ms"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("gpus", [0, 1])
def test_more_workers_or_gpus_are_never_slower(profile: str, gpus: int) -> None:
    asked = replace(ALL, limits=PROFILES[profile], gpus=gpus)
    times = [sum(stage.seconds for stage in plan(replace(asked, workers=n), COSTS)) for n in (1, 2, 3, 8, 200, 1000)]
    assert times == sorted(times, reverse=True)
    more = plan(replace(asked, gpus=gpus + 1), COSTS)
    assert sum(stage.seconds for stage in more) <= sum(stage.seconds for stage in plan(asked, COSTS))


def test_twice_the_images_store_and_move_twice_as_much() -> None:
    once, twice = stages(ALL), stages(replace(ALL, images=2 * ALL.images))
    for name in STAGES:
        assert twice[name].stored == 2 * once[name].stored
        assert twice[name].moved == 2 * once[name].moved
        assert twice[name].calls == 2 * once[name].calls


def test_without_a_gpu_the_networks_run_on_the_cpu_and_with_one_they_do_not() -> None:
    on_cpu, on_gpu = (stages(replace(ALL, gpus=gpus))["embed_images"] for gpus in (0, 1))
    assert on_cpu.gpu == 0
    assert on_cpu.cpu - on_gpu.cpu == pytest.approx(0.2 * ALL.images)
    assert on_gpu.gpu > 0


def test_what_one_process_does_alone_no_worker_shortens() -> None:
    costs = UnitCosts({"validate": Unit(image=0.001, serial_image=0.001)}, 0, COSTS.measured)
    (validating,) = plan(replace(ALL, workers=1000), costs)
    assert validating.binds == "one process"
    assert validating.seconds > 6500


def test_the_price_is_that_of_hours_and_of_a_month_of_storage() -> None:
    planned = StagePlan("x", 0, cpu=7200, gpu=3600, moved=0, stored=5e9, calls=0, peak=None, binds="")
    assert cost([planned], Prices(cpu_hour=0.5, gpu_hour=3, gb_month=0.1)) == pytest.approx(1 + 3 + 0.5)


def test_what_is_estimated_or_not_measured_says_so() -> None:
    lines = "\n".join(in_words(ALL, COSTS, plan(ALL, COSTS), Prices()))
    assert "ESTIMATE, not measured" in lines
    assert "not measured" in lines.splitlines()[2]
    assert "measured a day on m, commit c" in lines
    on_cpu = replace(ALL, gpus=0)
    assert "ESTIMATE" not in "\n".join(in_words(on_cpu, COSTS, plan(on_cpu, COSTS), Prices()))


def test_stages_of_which_too_little_is_known_are_named() -> None:
    costs = replace(COSTS, stages={**COSTS.stages, "decide": Unit(image=0, fixed=1), "publish": Unit(image=0)})
    lines = "\n".join(in_words(ALL, costs, plan(ALL, costs), Prices()))
    assert "what an image costs in decide, publish: their CPU is too low here" in lines
    assert "Too little was measured" not in "\n".join(in_words(ALL, COSTS, plan(ALL, COSTS), Prices()))


def test_the_measured_file_knows_every_stage_and_no_cost_is_negative() -> None:
    costs = read_unit_costs()
    assert list(costs.stages) == list(STAGES)
    for unit in costs.stages.values():
        assert min(unit.image, unit.partition, unit.fixed, unit.serial_image, unit.stored) >= 0
    assert {"date", "machine", "commit", "command", "images", "note"} <= costs.measured.keys()


def test_the_command_prints_days_disk_and_price(capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--images",
        "6500000",
        "--profile",
        "wikimedia",
        "--gpus",
        "1",
        "--workers",
        "8",
        "--price-cpu-hour",
        "1",
    ]
    assert main(["plan", *options]) == 0
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in STAGES)
    assert "days" in printed
    assert "TB of disk" in printed
    assert "to pay" in printed
