"""Step layers: what runs over a clip at once, and over an endless stream a few frames at a time, with the same weights.

Every layer has two forms. Called, it takes a clip from its first frame to its last. Its :meth:`~Step.step` takes the next
frames and the state that the frames before left, and gives the outputs that are due and the state to come. Feeding a clip
in pieces gives what the clip gives at once, ``delay`` outputs later (continual inference networks: Hedegaard and
Iosifidis 2022, arXiv 2204.03418; for skeletons: Hedegaard, Heidari and Iosifidis 2022, arXiv 2203.11009).

The rules that make layers fit together, and fit a static graph with the state as explicit inputs and outputs:

* A state is a tuple of tensors whose shapes never change; a fresh one is all zeros (:func:`fresh` makes it). Nothing is kept
  inside a layer.
* A step may take any number of frames that ``every`` divides and gives one output for each ``every`` of them. The output
  stands at the last of its frames, so that nothing waits for a frame that is still to come unless ``look_ahead`` says so.
* ``look_ahead`` frames after that one are used too; then a step gives every output ``delay = look_ahead / every`` outputs
  late, after as many outputs that mean nothing. Nought, the default, is a causal layer: no delay.
* A layer that does not look along time (a pointwise convolution, BatchNorm, an activation, dropout) needs no form of its
  own: :class:`Sequential` and :class:`Residual` take any module as such.

Axes: B bodies, C channels, T frames of a clip, n frames of a step, V places (joints or regions).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeskel.errors import UsageError

__all__ = ["Conv", "Decay", "Delay", "Last", "Residual", "RunningMean", "Sequential", "State", "Step", "fresh", "step_of"]

State: TypeAlias = "tuple[Tensor, ...]"
"""What a layer knows of the frames before; all zeros at the start."""


class Step(nn.Module):
    """A layer with a form for clips (a call) and one for streams (:meth:`step`)."""

    every = 1
    """Frames in for one out: the stride."""
    look_ahead = 0
    """Frames after an output's own that it uses."""
    states = 0
    """Number of tensors of its state."""

    @property
    def delay(self) -> int:
        """Outputs by which a step lags behind the clip."""
        return self.look_ahead // self.every

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The next frames.

        Args:
            x: (B, C, n, V), n a multiple of ``every``.
            state: as the step before left it; ``()`` stands for a fresh one.

        Returns:
            (B, C', n / every, V) and the state for the next step.
        """
        raise NotImplementedError


def fresh(step: Callable[[State], tuple[object, State]]) -> State:
    """The zero state: ``fresh(lambda state: layer.step(x, state))``, x being frames of the right shape."""
    with torch.no_grad():
        return tuple(torch.zeros_like(value) for value in step(())[1])


def step_of(module: nn.Module, x: Tensor, state: State) -> tuple[Tensor, State]:
    """The step of a step layer, or a call of any other module, which looks at each frame alone and keeps nothing."""
    if isinstance(module, Step):
        return module.step(x, state)
    return module(x), ()


def _count(module: nn.Module) -> int:
    return module.states if isinstance(module, Step) else 0


class Conv(nn.Conv2d, Step):
    """Convolution along the frames, depthwise (``groups=channels``), grouped or full; zeros stand before the first frame.

    The state holds the last ``dilation * (kernel - 1) + 1 - stride`` frames.

    Args:
        channels_in, channels_out, kernel, stride, dilation, groups, bias: as ``nn.Conv2d``, along the frames.
        look_ahead: frames after the output's own, a multiple of ``stride``.

    Raises:
        UsageError: a stride longer than the kernel's span, or a look-ahead that does not fit.
    """

    states = 1

    every: int
    look_ahead: int

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, *, dilation: int = 1,
                 groups: int = 1, bias: bool = True, look_ahead: int = 0) -> None:
        super().__init__(channels_in, channels_out, (kernel, 1), (stride, 1), dilation=(dilation, 1), groups=groups,
                         bias=bias)
        self.past: int = dilation * (kernel - 1) + 1 - stride
        if self.past < 0 or not 0 <= look_ahead <= self.past or look_ahead % stride:
            raise UsageError(f"a convolution over {self.past + stride} frames with stride {stride} and look-ahead {look_ahead}",
                             expected="a stride within its span, and a look-ahead within the rest of it that stride divides")
        self.every, self.look_ahead = stride, look_ahead

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, V) -> (B, C', T / stride, V)."""
        return self._convolve(functional.pad(x, (0, 0, self.past - self.look_ahead, self.look_ahead)))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        seen = _behind(x, state, self.past)
        return self._convolve(seen), (_latest(seen, self.past),)

    def _convolve(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class Delay(Step):
    """Holds frames back in a stream, so that they meet those of a layer that looks ahead; a clip passes as it is."""

    states = 1

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    @property
    def delay(self) -> int:
        return self.frames

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, V) -> the same."""
        return x

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        held = _behind(x, state, self.frames)
        return held[:, :, : x.shape[2]], (_latest(held, self.frames),)


class Last(Step):
    """The last of every ``stride`` frames, as a depthwise convolution with a constant: a strided slice is nothing that
    XNNPACK takes.

    Args:
        channels: C.
        stride: frames.
    """

    kernel: Tensor

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.every = stride
        kernel = torch.zeros(channels, 1, stride, 1)
        kernel[:, :, -1] = 1
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, V) -> (B, C, T / stride, V)."""
        if not torch.compiler.is_exporting():
            return x[:, :, self.every - 1 :: self.every]
        return functional.conv2d(x, self.kernel, stride=(self.every, 1), groups=x.shape[1])

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self(x), ()


class Sequential(nn.Sequential, Step):
    """Layers one after the other; strides multiply, look-aheads add up."""

    @property
    def states(self) -> int:  # type: ignore[override]
        return sum(map(_count, self))

    @property
    def every(self) -> int:  # type: ignore[override]
        return math.prod(layer.every for layer in self if isinstance(layer, Step))

    @property
    def delay(self) -> int:
        delay = 0
        for layer in self:
            if isinstance(layer, Step):
                if delay % layer.every:  # outputs would fall between the frames of the clip
                    raise UsageError(f"a delay of {delay} frames before a stride of {layer.every}",
                                     expected="a delay that the stride divides", remedy="hold it back with Delay")
                delay = delay // layer.every + layer.delay
        return delay

    @property
    def look_ahead(self) -> int:  # type: ignore[override]
        return self.delay * self.every

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        after: State = ()
        for layer in self:
            mine, state = state[: _count(layer)], state[_count(layer) :]
            x, left = step_of(layer, x, mine)
            after += left
        return x, after


class Residual(Step):
    """``body(x) + skip(x)``, the skip thinned out to the body's stride and held back by its delay.

    Args:
        body: what is learned.
        skip: a module that looks at each frame alone; the identity by default.
        channels: of the skip's output; needed where the body has a stride.
    """

    every: int
    look_ahead: int

    def __init__(self, body: Step, skip: nn.Module | None = None, channels: int = 0) -> None:
        super().__init__()
        self.body = body
        self.skip: Sequential = Sequential(nn.Identity() if skip is None else skip,
                               *([Last(channels, body.every)] if body.every > 1 else []),
                               *([Delay(body.delay)] if body.delay else []))
        self.every, self.look_ahead = body.every, body.delay * body.every
        self.states: int = body.states + self.skip.states

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, V) -> (B, C', T / stride, V)."""
        total: Tensor = self.body(x) + self.skip(x)
        return total

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        learned, left = self.body.step(x, state[: self.body.states])
        kept, right = self.skip.step(x, state[self.body.states :])
        return learned + kept, left + right


class Decay(nn.Module):
    """Sums over all frames so far, each counting ``keep`` times what the next one counts.

    A product with a triangle of powers, so that a clip is one operation and not a loop.

    Args:
        keep: 0 to 1.
        frames: of the pieces that it mostly sees; constants are made for that many.
    """

    powers: Tensor
    carried: Tensor

    def __init__(self, keep: float, frames: int) -> None:
        super().__init__()
        self.keep = keep
        moments = torch.arange(frames)
        ages = moments.view(-1, 1) - moments
        powers = torch.where(ages >= 0, torch.tensor(keep, dtype=torch.float64) ** ages.clamp(min=0), 0.0)
        self.register_buffer("powers", powers.float(), persistent=False)  # (frames, frames)
        self.register_buffer("carried", (keep * powers[:, 0]).float(), persistent=False)  # (frames,)

    def forward(self, x: Tensor, state: State) -> Tensor:
        """(B, C, n), and the last sums before it, (B, C, 1), or ``()`` -> (B, C, n)."""
        frames, made = x.shape[-1], len(self.carried)
        if frames > made:
            longer: Tensor = Decay(self.keep, frames).to(x.device)(x, state)
            return longer
        powers, carried = self.powers, self.carried
        if frames < made:  # the triangle of a shorter piece is the corner of it
            powers, carried = powers[:frames, :frames], carried[:frames]
        total = functional.linear(x, powers) if frames > 1 else x
        return total + state[0] * carried if state else total


class RunningMean(Step):
    """Mean over all frames so far, each counting ``keep`` times what the next one counts; with weights.

    Frames of weight 0 leave the mean as it is, so a body that is out of sight is remembered and not diluted. The state is the
    decayed sum and the decayed weight: two tensors whatever the length of the stream, and since both decay alike, no error
    builds up in their quotient.

    Args:
        keep: 0 to 1; 1 counts all frames alike.
        frames: of the pieces that it mostly sees.
    """

    states = 2
    tiny: Tensor

    def __init__(self, keep: float, frames: int = 1) -> None:
        super().__init__()
        self.decay: Decay = Decay(keep, frames)
        self.register_buffer("tiny", torch.tensor([1e-6]), persistent=False)

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """(B, C, T) and (B, 1, T) -> (B, C, T), the mean up to and including each frame; without weights all count alike."""
        return self.step_weighted(x, torch.ones_like(x[:, :1]) if weight is None else weight, ())[0]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """(B, C, n), all counted alike."""
        return self.step_weighted(x, torch.ones_like(x[:, :1]), state)

    def step_weighted(self, x: Tensor, weight: Tensor, state: State) -> tuple[Tensor, State]:
        """(B, C, n), (B, 1, n) and the state: sum (B, C, 1), weight (B, 1, 1)."""
        total, counted = self.decay(x * weight, state[:1]), self.decay(weight, state[1:])
        return total / (counted + self.tiny), (_newest(total), _newest(counted))


def _behind(x: Tensor, state: State, past: int) -> Tensor:
    """``x`` with the ``past`` frames of the state before it."""
    if not past:
        return x
    before = state[0] if state else x.new_zeros(x.shape[0], x.shape[1], past, x.shape[3])
    return torch.cat((before, x), dim=2)


def _latest(seen: Tensor, past: int) -> Tensor:
    return seen[:, :, seen.shape[2] - past :]


def _newest(x: Tensor) -> Tensor:
    return x if x.shape[-1] == 1 else x[..., -1:]

