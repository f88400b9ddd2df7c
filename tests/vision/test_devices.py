"""Where a network runs: what was asked for, or an error in words."""

import pytest
import torch

from pipelines.vision.devices import DeviceError, cpu_is_faster_in_bf16, processor_for


def test_auto_takes_a_gpu_only_if_there_is_one() -> None:
    assert processor_for().is_gpu == torch.cuda.is_available()


def test_on_a_cpu_bf16_is_taken_only_where_it_is_faster() -> None:
    assert processor_for("cpu").precision == ("bf16" if cpu_is_faster_in_bf16() else "fp32")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_can_be_asked_for(precision: str) -> None:
    assert processor_for("cpu", precision).precision == precision


def test_threads_are_set_where_they_are_asked_for_and_else_left_alone() -> None:
    assert processor_for("cpu", threads=2).threads == 2
    assert torch.get_num_threads() == 2
    processor_for("cpu")
    assert torch.get_num_threads() == 2


def test_a_container_with_a_quota_gets_the_threads_that_it_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask reads the quota; a test cannot set one."""
    torch.set_num_threads(8)
    monkeypatch.setattr("dask.system.cpu_count", lambda: 3)
    assert processor_for("cpu").threads == 3


@pytest.mark.parametrize(
    ("device", "precision", "said"),
    [
        ("tpu9", "auto", "tpu9"),
        ("meta", "auto", "not supported"),
        ("cuda:99", "auto", "not on this machine"),
        ("cpu", "int4", "int4"),
    ],
)
def test_what_cannot_be_had_is_refused(device: str, precision: str, said: str) -> None:
    with pytest.raises(DeviceError, match=said):
        processor_for(device, precision)
