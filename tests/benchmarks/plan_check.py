"""Holds the plan against a real run of the same machine: predicted and spent CPU seconds of each stage, and of all.

    python -m tests.benchmarks.plan_check [--images 50000] [--partitions 200] [--whole]

The run is that of `unit_costs`: synthetic images, cheap networks, one process. Wanted: within 20 %.
"""

import argparse

from pipelines.capacity.model import PROFILES, Asked, plan, read_unit_costs
from tests.benchmarks import cheap_networks
from tests.benchmarks.measuring import show
from tests.benchmarks.unit_costs import Sample, sample

_WITHIN = 0.2
_SMALL = 0.02  # of the whole: of stages below it only the sum is held against the limit


def compare(real: Sample) -> bool:
    """Print what was predicted and what was spent; return whether both agree within 20 %."""
    asked = Asked(real.images, PROFILES["mirror"], workers=2, partitions=real.partitions, files=1, networks=False)
    predicted = {stage.name: stage.cpu for stage in plan(asked, read_unit_costs())}
    spent = {name: real.shared[name] + real.alone[name] for name in predicted}
    predicted["all"], spent["all"] = sum(predicted.values()), sum(spent.values())
    judged = [name for name in spent if spent[name] >= _SMALL * spent["all"]]
    off = {name: predicted[name] / spent[name] - 1 for name in judged}
    rows = [
        (name, predicted[name], spent[name], f"{off[name]:+.0%}" if name in off else "below 2 % of all")
        for name in spent
    ]
    title = f"{real.images:,} images in {real.partitions} partitions, CPU seconds"
    show(title, ("stage", "predicted", "spent", "predicted is off by"), rows)
    return all(abs(one) <= _WITHIN for one in off.values())


def main() -> None:
    """Make a release, compare, and say whether what was wanted holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--whole", action="store_true", help="as unit_costs had it")
    options = parser.parse_args()
    cheap_networks.dask_setup(None)
    sample(20, 2, options.whole)  # imports, and what is loaded once
    holds = compare(sample(options.images, options.partitions, options.whole))
    print(f"\nwithin 20 %: {'yes' if holds else 'NO'}")
    raise SystemExit(not holds)


if __name__ == "__main__":
    main()
