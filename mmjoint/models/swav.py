"""SwAV whose assignments do not depend on the number of processes."""

from collections.abc import Sequence

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
        iterations (int): Rounds of normalizing the prototypes, then the images.
        epsilon (float): Smoothness of the assignment, above 0.

    Returns:
        Tensor: The assignments, (N, K), each image's summing to 1.
    """
    dtype = scores.dtype
    # The largest score cancels out, and its exponential cannot overflow.
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
    """mmpretrain's SwAVLoss with the assignments of the whole batch in any number of processes.

    mmpretrain's Sinkhorn-Knopp adds up the shares of a prototype over the processes only where one
    of them is 0 in this process: the other prototypes are balanced within each process alone, and
    processes that differ in having such a prototype wait for each other for ever.

    Args:
        num_crops (list[int]): Views of each size, as ``num_views`` of ``JointView``. Defaults to
            (2,).
        num_prototypes (int): Number of prototypes. Defaults to 3000.
        **kwargs: Those of ``SwAVLoss``.

    Raises:
        TypeError: If ``num_prototypes`` is no int; mmpretrain fails on a list of them in training.
    """

    def __init__(
        self, *, num_crops: Sequence[int] = (2,), num_prototypes: int = 3000, **kwargs
    ) -> None:
        if not isinstance(num_prototypes, int):
            raise TypeError(f'num_prototypes must be an int, got {num_prototypes!r}')
        super().__init__(num_crops=list(num_crops), num_prototypes=num_prototypes, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the loss of swapped assignments, and fill the queue if ``SwAVHook`` made one.

        Args:
            x (Tensor): The projections, of length 1: all images' first views, then the second, ...

        Returns:
            Tensor: The mean cross-entropy over the pairs of an assigned view and another, nats.

        Raises:
            ValueError: If their number is no multiple of that of the views.
        """
        num_views = sum(self.num_crops)
        if len(x) % num_views:
            raise ValueError(
                f'DistributedSwAVLoss: {len(x)} projections are no multiple of the {num_views} '
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
        return sum(terms) / len(terms)

    @torch.no_grad()
    def _assign(self, i: int, scores: Tensor, projections: Tensor) -> Tensor:
        """Assign the images of one view, among those of the queue once it is full."""
        size = len(scores)
        if self.queue is not None:
            if self.use_queue or self.queue[i, -1].any():
                self.use_queue = True
                scores = torch.cat((self.prototypes(self.queue[i]), scores))
            self._enqueue(i, projections)
        return sinkhorn(scores, self.sinkhorn_iterations, self.epsilon)[-size:]

    @torch.no_grad()
    def _enqueue(self, i: int, projections: Tensor) -> None:
        """Put the images of one view in the place of the oldest of its queue."""
        size = len(projections)
        self.queue[i, size:] = self.queue[i, :-size].clone()
        self.queue[i, :size] = projections
