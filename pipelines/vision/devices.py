"""Where a network runs, in which precision, and with how many threads: asked for in words, decided here.

bf16 is taken on a CPU only where it is faster than fp32: with matrix instructions for it (AMX, or Arm's). With the dot
products of AVX512-BF16 alone it is slower, by half for the ResNet-50 (tests/benchmarks/RESULTS.md); elsewhere it is
emulated, and slower still.
"""

import logging
from dataclasses import dataclass

import torch

from pipelines.cores import cores
from pipelines.errors import WitReleaseError

log = logging.getLogger(__name__)

_BF16_INSTRUCTIONS = ("amx_bf16", "bf16")


class DeviceError(WitReleaseError):
    """A device or precision was asked for that cannot be had."""


@dataclass(frozen=True, slots=True)
class Processor:
    """A device, the data type of the networks' inner layers on it, and the threads on this side of it."""

    device: torch.device
    kind: torch.dtype
    threads: int

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.device.type == "cuda"

    @property
    def precision(self) -> str:
        """Bf16 or fp32."""
        return "bf16" if self.kind is torch.bfloat16 else "fp32"

    def __str__(self) -> str:
        """Return what the last digits of a result depend on, as in "cuda bf16"."""
        return f"{self.device.type} {self.precision}"


def processor_for(device: str = "auto", precision: str = "auto", threads: int | None = None) -> Processor:
    """Decide where to run. Sets torch's threads for this process if ``threads`` is given; changes nothing else.

    Args:
        device: cpu, cuda, cuda:N, or auto: a GPU if there is one.
        precision: fp32, bf16, or auto: bf16 where it is faster.
        threads: of the CPU's share of the work. None: as many as torch was given (OMP_NUM_THREADS, which Dask sets for
            its workers), but no more than the process may use.

    Raises:
        DeviceError: it is not there, or the words mean nothing.

    """
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        wanted = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"device: {device!r} is none; say cpu, cuda, cuda:1 or auto") from None
    if wanted.type not in ("cpu", "cuda"):
        raise DeviceError(f"device: {device!r} is not supported; say cpu, cuda, cuda:1 or auto")
    if wanted.type == "cuda" and (wanted.index or 0) >= (seen := torch.cuda.device_count()):
        raise DeviceError(
            f"device: {device!r} is not on this machine, where torch {torch.__version__} sees {seen} GPU(s): look at "
            "nvidia-smi, and whether this torch is one for CUDA; or say cpu (a Dask worker: start it without "
            "--resources GPU=1, or with WIT_DEVICE=cpu)"
        )
    if precision not in ("auto", "fp32", "bf16"):
        raise DeviceError(f"precision: {precision!r} is none; say fp32, bf16 or auto")
    fast = torch.cuda.is_bf16_supported(including_emulation=False) if wanted.type == "cuda" else cpu_is_faster_in_bf16()
    kind = torch.bfloat16 if precision == "bf16" or (precision == "auto" and fast) else torch.float32
    if threads is not None and wanted.type == "cpu":
        torch.set_num_threads(threads)
    given = threads or (cores() if wanted.type == "cuda" else min(cores(), torch.get_num_threads()))
    processor = Processor(wanted, kind, given)
    log.info("running on %s in %s with %d thread(s)", _describe(wanted), processor.precision, given)
    return processor


def cpu_is_faster_in_bf16() -> bool:
    """Say whether this machine's CPU has instructions that make bf16 faster than fp32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _BF16_INSTRUCTIONS)


def _describe(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
