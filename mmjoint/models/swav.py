"""SwAV whose assignments do not depend on the number of processes."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmpretrain.models.losses import SwAVLoss
from mmpretrain.registry import MODELS
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def sinkhorn(scores: Tensor, iterations: int, epsilon: float) -> Tensor:
    """Assign images to prototypes so that every prototype gets the same share.

    The Sinkhorn-Knopp algorithm over the images of all processes (arXiv 2006.09882, section 3.1).

    Args:
        scores (Tensor): Similarity of this process's images to the prototypes, (N, K).
        iterations (int): Number of rounds that normalize the prototypes, then the images.
        epsilon (float): Smoothness of the assignment, above 0.

    Returns:
        Tensor: The assignments, (N, K); those of each image sum to 1.
    """
    dtype = scores.dtype
    # The largest score cancels out; subtracting it keeps the exponential from overflowing.
    scores = scores.float() if dtype.itemsize < 4 else scores
    largest = scores.max()
    all_reduce(largest, op='max')
    shares = torch.exp((scores - largest) / epsilon)
    for _ in range(iterations):
        of_prototype = shares.sum(0, keepdim=True)
        all_reduce(of_prototype)
        shares = shares / of_prototype.clamp(min=torch.finfo(shares.dtype).tiny)
        shares = shares / shares.sum(1, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)
    return shares


@MODELS.register_module()
class DistributedSwAVLoss(SwAVLoss):
    """mmpretrain's SwAVLoss, with the assignments of the whole batch for any number of processes.

    mmpretrain's Sinkhorn-Knopp sums the shares of a prototype over the processes only if one of
    them is 0 in this process: all other prototypes are balanced within each process alone, and if
    only some processes have such a prototype, the processes wait for each other forever.

    Args:
        num_crops (list[int]): Number of views of each size, as ``num_views`` of ``JointView``.
            Defaults to (2,).
        num_prototypes (int): Number of prototypes. Defaults to 3000.
        **kwargs: Arguments of ``SwAVLoss``.

    Raises:
        TypeError: If ``num_prototypes`` is not an int; with a list mmpretrain fails during
            training.
    """

    use_queue: bool  # of mmpretrain's, which tells no types

    def __init__(
        self, *, num_crops: Sequence[int] = (2,), num_prototypes: int = 3000, **kwargs: Any
    ) -> None:
        if not isinstance(num_prototypes, int):
            raise TypeError(f'num_prototypes must be an int, got {num_prototypes!r}')
        super().__init__(num_crops=list(num_crops), num_prototypes=num_prototypes, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the loss of swapped assignments, and fill the queue if ``SwAVHook`` made one.

        Args:
            x (Tensor): The projections, of length 1: the first views of all images, then the
                second, ...

        Returns:
            Tensor: The mean cross-entropy over the pairs of an assigned view and another, in nats.

        Raises:
            ValueError: If the number of projections is not a multiple of the number of views.
        """
        num_views = sum(self.num_crops)
        if len(x) % num_views:
            raise ValueError(
                f'DistributedSwAVLoss: {len(x)} projections are not a multiple of the {num_views} '
                f'views of num_crops={self.num_crops}'
            )
        with torch.no_grad():
            self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))
        scores = self.prototypes(x).chunk(num_views)
        projections = x.detach().chunk(num_views)
        terms = []
        for i, view in enumerate(self.crops_for_assign):
            targets = self._assign(i, scores[view].detach(), projections[view])
            for other in range(num_views):
                if other != view:
                    prediction = F.log_softmax(scores[other] / self.temperature, dim=1)
                    terms.append(-(targets * prediction).sum(1).mean())
        return sum(terms[1:], terms[0]) / len(terms)

    @torch.no_grad()
    def _assign(self, i: int, scores: Tensor, projections: Tensor) -> Tensor:
        """Assign the images of one view, together with those of the queue once it is full."""
        size = len(scores)
        if self.queue is not None:
            if self.use_queue or self.queue[i, -1].any():
                self.use_queue = True
                scores = torch.cat((self.prototypes(self.queue[i]), scores))
            self._enqueue(i, projections)
        return sinkhorn(scores, self.sinkhorn_iterations, self.epsilon)[-size:]

    @torch.no_grad()
    def _enqueue(self, i: int, projections: Tensor) -> None:
        """Replace the oldest images in the queue of one view by this batch."""
        size = len(projections)
        self.queue[i, size:] = self.queue[i, :-size].clone()
        self.queue[i, :size] = projections
