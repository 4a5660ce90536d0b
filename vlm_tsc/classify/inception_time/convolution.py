"""Long convolutions of several networks at once, in the form that is fastest where they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len

FEW_CASES = 16


def convolve(x: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """Several convolutions of the same input, member by member, stride 1, zeros added so that the length stays.

    An even kernel sees one value more after than before a point, as Keras' "same" padding has it.

    Parameters
    ----------
    x : Tensor (n_cases, n_timepoints, n_members, n_inputs)
    weights : sequence of Tensor (n_members, n_outputs, n_inputs, kernel length)

    Returns
    -------
    Tensor (n_cases, n_timepoints, n_members, sum of n_outputs)
        Outputs in the order of `weights`.
    """
    # Five members, 50 cases of 150 points, 32 inputs, kernels 40 + 20 + 10, forward and backward on one AVX-512 core:
    # grouped conv1d 315 ms, grouped conv2d in channels_last 174 ms, Fourier transform 84 ms (24 points: 64, 43, 30 ms).
    # vmap over the members becomes that same grouped conv1d. Below FEW_CASES the kernels' own transforms cost more than
    # they save; one input channel, as of the first block, is too little work; a GPU's own convolutions are good.
    if x.is_cpu and len(x) >= FEW_CASES and x.shape[3] > 1:
        return FourierConvolution.apply(x, _one_length(weights))  # type: ignore[no-any-return]
    return torch.cat([grouped(x, weight) for weight in weights], dim=3)


def grouped(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """One convolution as `convolve` does it, by torch's own grouped convolution."""
    length, picture = weight.shape[3], as_picture(x)
    if length > 1:  # torch copies the whole to add nothing
        picture = F.pad(picture, ((length - 1) // 2, length // 2))
    return as_series(F.conv2d(picture, weight.flatten(0, 1).unsqueeze(2), groups=len(weight)), len(weight))


def as_picture(x: torch.Tensor) -> torch.Tensor:
    """(n_cases, n_timepoints, n_members, n) → (n_cases, n_members * n, 1, n_timepoints), one pixel high, no copy.

    In torch's channels_last memory format, in which pictures are convolved, pooled and normalised about twice as fast
    as series are.
    """
    return x.flatten(2).unsqueeze(1).permute(0, 3, 1, 2)


def as_series(picture: torch.Tensor, n_members: int) -> torch.Tensor:
    """The reverse of `as_picture`."""
    return picture.permute(0, 2, 3, 1).squeeze(1).unflatten(2, (n_members, -1))


def _one_length(weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """All kernels as one (n_members, sum of n_outputs, n_inputs, longest), the shorter ones filled up with zeros."""
    longest = max(weight.shape[3] for weight in weights)
    first = (longest - 1) // 2
    padded = []
    for weight in weights:
        before = first - (weight.shape[3] - 1) // 2
        padded.append(F.pad(weight, (before, longest - weight.shape[3] - before)))
    return torch.cat(padded, dim=1)


class FourierConvolution(torch.autograd.Function):
    """Convolution as a product of spectra: per frequency one small complex matrix product for every member.

    Written out, because torch's own gradient of `rfft` transforms twice the data it needs.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """`x` and the result as in `convolve`; `weight` (n_members, n_outputs, n_inputs, length)."""
        n_members, n_outputs, n_inputs, length = weight.shape
        n_timepoints = x.shape[1]
        # so long that nothing wraps round into the result
        n: int = next_fast_len(n_timepoints + length - 1, real=True)  # type: ignore[assignment]
        spectrum = torch.fft.rfft(x, n=n, dim=1).permute(2, 1, 0, 3).flatten(0, 1)
        # conjugate: neural networks call a correlation a convolution
        kernels = torch.fft.rfft(weight, n=n).conj() * _turned((length - 1) // 2, n, spectrum)
        kernels = kernels.permute(0, 3, 2, 1).reshape(-1, n_inputs, n_outputs)
        ctx.save_for_backward(spectrum, kernels)
        ctx.shape = (n, n_members, n_timepoints, length)
        return _series(torch.bmm(spectrum, kernels), n_members, n, n_timepoints)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        """Gradients of both inputs of `forward`."""
        spectrum, kernels = ctx.saved_tensors
        n, n_members, n_timepoints, length = ctx.shape
        outer = torch.fft.rfft(gradient, n=n, dim=1).permute(2, 1, 0, 3).flatten(0, 1)
        of_x = _series(torch.bmm(outer, kernels.mH), n_members, n, n_timepoints)
        of_kernels = torch.bmm(spectrum.mH, outer).unflatten(0, (n_members, -1)).permute(0, 3, 2, 1)
        of_kernels = of_kernels.conj() * _turned((length - 1) // 2, n, spectrum)
        return of_x, torch.fft.irfft(of_kernels, n=n)[..., :length]


def _series(product: torch.Tensor, n_members: int, n: int, n_timepoints: int) -> torch.Tensor:
    """(n_members * n_frequencies, n_cases, n_outputs) → (n_cases, n_timepoints, n_members, n_outputs)."""
    product = product.unflatten(0, (n_members, -1)).permute(2, 1, 0, 3)
    return torch.fft.irfft(product, n=n, dim=1)[:, :n_timepoints]


def _turned(before: int, n: int, like: torch.Tensor) -> torch.Tensor:
    """Spectrum of a shift, so that a kernel begins `before` timepoints ahead of the point it is for: (n // 2 + 1,)."""
    frequency = torch.arange(n // 2 + 1, dtype=torch.float64, device=like.device)
    return torch.polar(torch.ones_like(frequency), frequency * (-2 * torch.pi * before / n)).to(like.dtype)
