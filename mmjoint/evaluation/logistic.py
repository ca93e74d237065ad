"""Many logistic regressions at once, by L-BFGS on the features' device."""

from collections.abc import Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor

# A regression is finished when its objective exceeds the minimum by at most this share, by the
# quasi-Newton estimate, half of gradient * inverse Hessian * gradient.
TOLERANCE = 1e-6
MAX_ITERATIONS = 500
# Iterations between two checks of what is finished; only these checks wait for the device.
_LOOK = 10
_MEMORY = 10


@torch.no_grad()
def fit_logistic_regressions(
    features: Tensor, labels: Tensor, num_classes: int, weight_decays: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Minimize mean cross-entropy + weight_decay / 2 * |W|^2 over W and b, for G sets of images.

    All sets and all weight decays are solved together by L-BFGS, with matrix products and sums on
    the features' device. The features are first rotated to their principal axes, which does not
    change the problem and makes the Hessian nearly diagonal; each iteration starts from that
    diagonal. The minimum is that of scikit-learn's ``LogisticRegression(C=1 / (weight_decay *
    N))``.

    Memory: about six arrays of G * N * D * num_classes floats in addition to the features, 5 GB for
        50,000 images, four weight decays and 1,000 classes.

    Args:
        features (Tensor): Float, of shape (G, N, C).
        labels (Tensor): Integers in 0..num_classes - 1, of shape (G, N).
        num_classes (int): Number of classes K.
        weight_decays (Sequence[float]): D positive numbers; the bias is not decayed.

    Returns:
        tuple[Tensor, Tensor]: W of shape (G, D, K, C) and b of shape (G, D, K).
    """
    axes = _principal_axes(features)
    ones = features.new_ones(*features.shape[:2], 1)
    decays = features.new_tensor(weight_decays)[:, None, None].repeat(1, 1, axes.shape[2] + 1)
    decays[..., -1] = 0
    problem = _Problem(torch.cat([features @ axes, ones], 2), labels, decays, num_classes)
    # Finished regressions are removed; these indices say which ones remain.
    sets = torch.arange(len(features), device=features.device)
    columns = torch.arange(len(decays), device=features.device)
    found = problem.weight.clone()
    for iteration in range(1, MAX_ITERATIONS + 1):
        excess = problem.step()
        if iteration % _LOOK:
            continue
        found[sets[:, None], columns] = problem.weight
        unfinished = ~(excess <= TOLERANCE * problem.objective())
        left = unfinished.any(1), unfinished.any(0)
        if not left[0].any():
            break
        if not (left[0].all() and left[1].all()):
            sets, columns = sets[left[0]], columns[left[1]]
            problem.keep(*left)
    else:
        print_log(
            f'logistic regression: not within {TOLERANCE:g} of the minimum after {MAX_ITERATIONS} '
            'iterations',
            logger='current',
        )
    return found[..., :-1] @ axes.transpose(1, 2)[:, None], found[..., -1]


class _Problem:
    """The state of G x D regressions, and the next iteration of all of them.

    Args:
        data (Tensor): Features, (G, N, R); the last column is ones, for the bias.
        labels (Tensor): Labels, (G, N).
        decays (Tensor): Weight decays, (D, 1, R).
        num_classes (int): Number of classes K.
    """

    def __init__(self, data: Tensor, labels: Tensor, decays: Tensor, num_classes: int) -> None:
        self.data, self.decays = data, decays
        self.labels = labels[:, :, None, None].expand(-1, -1, len(decays), 1)
        self.weight = data.new_zeros(len(data), len(decays), num_classes, data.shape[2])
        self.scores = self._forward(self.weight)  # (G, N, D, K)
        self.history: list[tuple[Tensor, Tensor]] = []  # changes of weight and of gradient
        self.count = 0
        self._differentiate()

    def _forward(self, weight: Tensor) -> Tensor:
        """Compute scores (G, N, D, K) from weights (G, D, K, R)."""
        flat = weight.flatten(1, 2).transpose(1, 2)
        return (self.data @ flat).unflatten(2, weight.shape[1:3])

    def _backward(self, values: Tensor, data: Tensor) -> Tensor:
        """Compute the mean over the images of (G, N, D, K) times data: (G, D, K, R)."""
        flat = values.flatten(2).transpose(1, 2) @ data
        return flat.unflatten(1, values.shape[2:]) / data.shape[1]

    def _differentiate(self) -> None:
        chances = self.scores.softmax(3)
        if self.count % _LOOK == 0:
            spread = self._backward(chances * (1 - chances), self.data.square())
            self.diagonal = (spread + self.decays).clamp(min=1e-10)
        chances.scatter_add_(3, self.labels, chances.new_full((), -1).expand(self.labels.shape))
        self.gradient = self._backward(chances, self.data) + self.decays * self.weight

    def objective(self) -> Tensor:
        """Return the objective of each regression, (G, D)."""
        own = self.scores.gather(3, self.labels)[..., 0]
        loss = (self.scores.logsumexp(3) - own).mean(1)
        return loss + (self.decays * self.weight.square()).sum((2, 3)) / 2

    def step(self) -> Tensor:
        """Make one iteration; return by how much the objectives exceeded their minima, (G, D)."""
        direction = self._direction()
        excess = -_dot(self.gradient, direction)[..., 0, 0] / 2
        along = self._forward(direction)
        length = self._length(direction, along)
        self.count += 1
        before = self.gradient
        move = length * direction
        self.weight = self.weight + move
        self.scores += length.squeeze(3)[:, None] * along
        self._differentiate()
        self.history = [*self.history[1 - _MEMORY :], (move, self.gradient - before)]
        return excess

    def _direction(self) -> Tensor:
        """Compute L-BFGS's two loops; pairs whose curvature rounding made negative are left out."""
        wanted, shares = -self.gradient, []
        for moved, changed in reversed(self.history):
            curvature = _dot(moved, changed)
            least = 1e-6 * (_dot(moved, moved) * _dot(changed, changed)).sqrt()
            inverse = torch.where(curvature > least.clamp(min=1e-30), 1 / curvature, 0)
            share = inverse * _dot(moved, wanted)
            wanted = wanted - share * changed
            shares.append((inverse, share))
        wanted = wanted / self.diagonal
        if self.history:
            moved, changed = self.history[-1]
            scale = _dot(moved, changed) / _dot(changed, changed / self.diagonal)
            wanted = wanted * torch.where((scale > 0) & scale.isfinite(), scale, 1)
        for (moved, changed), (inverse, share) in zip(self.history, reversed(shares), strict=True):
            wanted = wanted + moved * (share - inverse * _dot(changed, wanted))
        return wanted

    def _length(self, direction: Tensor, along: Tensor) -> Tensor:
        """Minimize along the direction by two Newton steps, starting at length 1: (G, D, 1, 1)."""
        own = along.gather(3, self.labels)[..., 0].mean(1)
        linear = _dot(self.decays * direction, self.weight)[..., 0, 0] - own
        square = _dot(self.decays * direction, direction)[..., 0, 0]
        length = torch.ones_like(square)
        for _ in range(2):
            chances = (self.scores + length[:, None, :, None] * along).softmax(3)
            weighted = chances * along
            mean = weighted.sum(3)
            slope = mean.mean(1) + linear + length * square
            curvature = ((weighted * along).sum(3) - mean.square()).mean(1) + square
            length = (length - slope / curvature.clamp(min=1e-30)).clamp(0, 8)
        return length[..., None, None]

    def keep(self, sets: Tensor, columns: Tensor) -> None:
        """Continue with only some sets of images and some weight decays, given as masks."""

        def part(value: Tensor) -> Tensor:
            return value[sets][:, columns]

        self.data, self.decays = self.data[sets], self.decays[columns]
        self.labels = self.labels[sets][:, :, columns]
        self.scores = self.scores[sets][:, :, columns]
        self.weight, self.gradient = part(self.weight), part(self.gradient)
        self.diagonal = part(self.diagonal)
        self.history = [(part(moved), part(changed)) for moved, changed in self.history]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Compute the inner products of the regressions' coefficients: (G, D, K, R) to (G, D, 1, 1)."""
    return (a * b).sum((2, 3), keepdim=True)


def _principal_axes(features: Tensor) -> Tensor:
    """Return an orthonormal basis (G, C, R) of the span of the features, along their variance."""
    basis = None
    if features.shape[1] < features.shape[2]:
        basis = torch.linalg.qr(features.transpose(1, 2)).Q
        features = features @ basis
    axes = torch.linalg.eigh((features.transpose(1, 2) @ features).double()).eigenvectors
    axes = axes.to(features.dtype)
    return axes if basis is None else basis @ axes
