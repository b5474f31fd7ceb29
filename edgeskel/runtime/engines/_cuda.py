"""The few calls of the CUDA runtime that feed an engine, through ctypes: JetPack has the library, no wheel is needed.

Each host array is page-locked, so that copies are asynchronous, and each has its twin on the device.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import EngineError

__all__ = ["PairedBuffer", "CudaStream", "device_count"]

_LIBRARIES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so", "/usr/local/cuda/lib64/libcudart.so")
_TO_DEVICE, _TO_HOST = 1, 2  # cudaMemcpyKind


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.cudaGetErrorString.restype = ctypes.c_char_p
        library.cudaMalloc.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t]
        library.cudaMallocHost.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t]
        library.cudaMemcpyAsync.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_void_p,
        ]
        for function in ("cudaFree", "cudaFreeHost", "cudaStreamSynchronize", "cudaStreamDestroy"):
            getattr(library, function).argtypes = [ctypes.c_void_p]
        library.cudaStreamCreate.argtypes = [ctypes.POINTER(ctypes.c_void_p)]
        return library
    raise EngineError(
        "the CUDA runtime library is not on this machine",
        expected=" or ".join(_LIBRARIES[:2]),
        remedy="on a Jetson it comes with JetPack: sudo apt install nvidia-jetpack",
    )


def _call(function: str, *arguments: Any) -> None:
    library = _library()
    status = getattr(library, function)(*arguments)
    if status:
        raise EngineError(f"{function} failed: {library.cudaGetErrorString(status).decode()} (CUDA error {status})")


def device_count() -> int:
    """Number of CUDA devices.

    Raises:
        EngineError: there is no CUDA library, or its driver does not answer.
    """
    count = ctypes.c_int(0)
    _call("cudaGetDeviceCount", ctypes.byref(count))
    return count.value


def _allocate(function: str, size: int) -> int:
    pointer = ctypes.c_void_p()
    _call(function, ctypes.byref(pointer), size)
    return pointer.value or 0


class CudaStream:
    """A CUDA stream; ``handle`` is what TensorRT takes."""

    def __init__(self) -> None:
        pointer = ctypes.c_void_p()
        _call("cudaStreamCreate", ctypes.byref(pointer))
        self.handle = pointer.value or 0

    def synchronize(self) -> None:
        """Wait until everything queued so far is done."""
        _call("cudaStreamSynchronize", self.handle)

    def __del__(self) -> None:
        if getattr(self, "handle", 0):
            _library().cudaStreamDestroy(self.handle)


class PairedBuffer:
    """One array on the host (page-locked) and its twin on the device.

    Args:
        shape: of the array.
        dtype: of its values.
    """

    def __init__(self, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        self.bytes = math.prod(shape) * dtype.itemsize
        self.device = _allocate("cudaMalloc", self.bytes)
        self._host = _allocate("cudaMallocHost", self.bytes)
        memory = (ctypes.c_byte * self.bytes).from_address(self._host)
        self.host: NDArray[Any] = np.frombuffer(memory, dtype=dtype).reshape(tuple(shape))

    def upload(self, stream: CudaStream) -> None:
        """Queue the copy host -> device."""
        _call("cudaMemcpyAsync", self.device, self._host, self.bytes, _TO_DEVICE, stream.handle)

    def download(self, stream: CudaStream) -> None:
        """Queue the copy device -> host."""
        _call("cudaMemcpyAsync", self._host, self.device, self.bytes, _TO_HOST, stream.handle)

    def __del__(self) -> None:
        if getattr(self, "device", 0):
            _library().cudaFree(self.device)
        if getattr(self, "_host", 0):
            _library().cudaFreeHost(self._host)
