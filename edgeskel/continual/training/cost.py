"""What a training step costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

__all__ = ["StepCost", "peak_bytes"]


class StepCost(Callback):
    """Times every step, and finds out once how much memory one takes.

    Args:
        profile: whether to find that out, at the second step (or the only one). The profiler slows that step, so its time does not
            count.
    """

    def __init__(self, profile: bool) -> None:
        self.times: list[float] = []
        """Milliseconds of each step: loss, gradients and the optimizer's step."""
        self.peak = 0
        """Bytes; see :func:`peak_bytes`."""
        self.at: int | None = None
        self._profile = profile
        self._watch: _Peak | None = None
        self._begin = 0.0

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Choose the step to look at."""
        self.at = min(1, trainer.estimated_stepping_batches - 1) if self._profile else None

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        """The step begins."""
        if trainer.global_step == self.at:
            self._watch = _Peak(module.device.type)
        self._begin = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """It ends."""
        if module.device.type == "cuda":
            torch.cuda.synchronize()
        took = 1e3 * (time.perf_counter() - self._begin)
        if self._watch is not None:
            self.peak, self._watch = self._watch.bytes(), None
            if self.at == 1:
                return
        self.times.append(took)


def peak_bytes(step: Callable[[], object], device: str = "cpu") -> int:
    """The most bytes that tensors made by ``step`` held at one time, beyond those that were there before.

    On the CPU from the profiler's record of every allocation, so that it is the same in every run; on a GPU from the
    allocator.
    """
    watch = _Peak(device)
    step()
    return watch.bytes()


class _Peak:
    """Looks from its making to :meth:`bytes`."""

    def __init__(self, device: str) -> None:
        self._on_gpu = device == "cuda"
        if self._on_gpu:
            self._before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        else:
            self._profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True)
            self._profile.start()

    def bytes(self) -> int:
        if self._on_gpu:
            return torch.cuda.max_memory_allocated() - self._before
        self._profile.stop()
        profiler = self._profile.profiler
        assert profiler is not None and profiler.kineto_results is not None
        changes: list[Any] = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
        held = peak = 0
        for change in sorted(changes, key=lambda event: event.start_ns()):
            held += change.nbytes()
            peak = max(peak, held)
        return peak
