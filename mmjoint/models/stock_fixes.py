"""Parts of mmpretrain's algorithms without their GPU waits; to be removed once fixed there.

On a GPU the host runs ahead: it queues work, and waits only when it needs a number from the GPU or
sends one. The stock parts do both many times in a step, for things that the host already knows (the
number of steps so far, the place of the next key in the queue, which pairs are positive). The parts
here compute the same and have the same names and weights. ``mend_stock_parts`` replaces the stock
ones by them.
"""

import math
from itertools import groupby
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather, broadcast, get_rank, get_world_size
from mmengine.logging import MessageHub
from mmengine.model import BaseAveragedModel, ExponentialMovingAverage
from mmpretrain.models.heads import ContrastiveHead, MoCoV3Head
from mmpretrain.models.selfsup import MoCo, SimCLR, SwAV
from mmpretrain.models.selfsup.simclr import GatherLayer
from mmpretrain.models.utils import CosineEMA, SelfSupDataPreprocessor
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn import functional as F


def mend_stock_parts(model: nn.Module) -> None:
    """Replace mmpretrain's own parts of a model by the parts of this file.

    Parts of a user's own class are not changed. Weights, names and checkpoints stay the same.

    Args:
        model (nn.Module): Any model, wrapped or not; changed in place.
    """
    for module in model.modules():
        if type(module) in _MENDED:
            module.__class__ = _MENDED[type(module)]


class Preprocessor(SelfSupDataPreprocessor):
    """``SelfSupDataPreprocessor`` that sends only the batch to the device.

    The stock one also sends the index by which channels are swapped, once per view, and copies the
    ``DataSample`` of every image, which takes tens of milliseconds for a batch of 256. It also
    waits for each copy, although what lies in pinned memory can be copied while the host goes on:
    torch keeps such memory until it is copied, and what computes on the device comes after.
    """

    def cast_data(self, data: Any) -> Any:
        """Move data to the device, except samples that hold no tensors."""
        if isinstance(data, DataSample) and not any(
            isinstance(value, Tensor) for value in data.values()
        ):
            return data
        if isinstance(data, Tensor) and self.device.type == 'cuda':
            return data.to(self.device, non_blocking=self._non_blocking or data.is_pinned())
        return super().cast_data(data)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalize a batch.

        Args:
            data (dict): ``inputs``, a tensor (N, C, H, W) or a list of them, one per view, and
                ``data_samples``.
            training (bool): Ignored.

        Returns:
            dict: The same keys, with the inputs as float32 on the device.
        """
        assert isinstance(data, dict), 'Please use default_collate in dataloader'
        inputs, data_samples = self.cast_data(list(data.values()))
        if isinstance(inputs, list):
            inputs = [self._normalize(view) for view in inputs]
        else:
            inputs = self._normalize(inputs)
        return dict(inputs=inputs, data_samples=data_samples)

    def _normalize(self, view: Tensor) -> Tensor:
        if self._channel_conversion:
            view = view.flip(1)
        # The difference of bytes and float32 is float32, in one pass.
        return (view - self.mean).div_(self.std) if self._enable_normalize else view.float()


class _CountedAverage(BaseAveragedModel):
    """An averaged model that counts its steps on the host and is updated by few calls."""

    _count: int | None = None

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._count = None

    def _average(self, averaged: list[Tensor], source: list[Tensor], step: int) -> None:
        raise NotImplementedError

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Update the average by the weights and buffers of a model.

        Args:
            model (nn.Module): The model that is averaged.
        """
        if self.update_buffers:
            super().update_parameters(model)
            return
        if self._count is None:  # at the start and after loading a checkpoint
            self._count = int(self.steps)
        source = dict(model.named_parameters())
        pairs: list[tuple[Tensor, Tensor]] = [
            (weight, source[name]) for name, weight in self.avg_parameters.items()
        ]
        if self._count == 0:
            _foreach_copy(pairs)
        elif self._count % self.interval == 0:
            for averaged, weights in _alike(pairs):
                if averaged[0].is_floating_point():
                    self._average(averaged, weights, self._count)
        _foreach_copy(list(zip(self.module.buffers(), model.buffers(), strict=True)))
        self.steps += 1
        self._count += 1


class MovingAverage(_CountedAverage, ExponentialMovingAverage):
    """mmengine's ``ExponentialMovingAverage``, which MoCo uses."""

    def _average(self, averaged: list[Tensor], source: list[Tensor], step: int) -> None:
        torch._foreach_lerp_(averaged, source, self.momentum)


class CosineMovingAverage(_CountedAverage, CosineEMA):
    """mmpretrain's ``CosineEMA``, which BYOL and MoCo v3 use."""

    def _average(self, averaged: list[Tensor], source: list[Tensor], step: int) -> None:
        max_iters = MessageHub.get_current_instance().get_info('max_iters')
        # In single precision, as in the stock class.
        angle = np.float32(math.pi) * np.float32(step) / np.float32(max_iters)
        cosine = (math.cos(angle) + 1) / 2
        share = self.end_momentum - (self.end_momentum - self.momentum) * cosine
        torch._foreach_mul_(averaged, 1 - share)
        torch._foreach_add_(averaged, source, alpha=share)


def _alike(pairs: list[tuple[Tensor, Tensor]]) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Group pairs of tensors by type and device; the second ones move to the first one's device."""
    kinds: dict = {}
    for averaged, source in pairs:
        kind = kinds.setdefault((averaged.device, averaged.dtype, source.dtype), ([], []))
        kind[0].append(averaged.detach())
        kind[1].append(source.detach().to(averaged.device))
    return list(kinds.values())


def _foreach_copy(pairs: list[tuple[Tensor, Tensor]]) -> None:
    for to, source in _alike(pairs):
        torch._foreach_copy_(to, source)


class HostFreeSimCLR(SimCLR):
    """mmpretrain's SimCLR, which finds the pairs by their positions instead of by masks."""

    def loss(
        self, inputs: list[Tensor], data_samples: list[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the loss over the pairs of all processes.

        Args:
            inputs (list[Tensor]): View 1 and view 2 of this process's images, each (N, C, H, W).
            data_samples (list[DataSample]): Ignored.

        Returns:
            dict[str, Tensor]: The loss, the same in every process.
        """
        # Rows are view 1 and view 2 of one image, then those of the next image.
        images = torch.stack(inputs, 1).flatten(0, 1)
        features = self.neck(self.backbone(images))[0]
        features = features / (torch.norm(features, p=2, dim=1, keepdim=True) + 1e-10)
        features = torch.cat(GatherLayer.apply(features), dim=0)
        positive, negative = split_pairs(features @ features.T)
        return dict(loss=self.head.loss(positive, negative))


def split_pairs(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """Split the similarities of all views into positive and negative ones, without self-similarity.
    The two views of an image are consecutive.

    Args:
        similarity (Tensor): Similarities, of shape (2N, 2N).

    Returns:
        tuple[Tensor, Tensor]: The similarity of each view to the other view of its image, (2N, 1),
        and to the views of other images in their order, (2N, 2N - 2).
    """
    num = len(similarity) // 2
    blocks = similarity.view(num, 2, num, 2)
    own = blocks.diagonal(dim1=0, dim2=2)  # (2, 2, N)
    positive = torch.stack((own[0, 1], own[1, 0]), dim=1).view(-1, 1)
    # Without its first block, each row of N + 1 blocks ends in a block of the diagonal.
    blocks = blocks.transpose(1, 2).reshape(num * num, 2, 2)[1:]
    others = blocks.view(num - 1, num + 1, 2, 2)[:, :-1].reshape(num, num - 1, 2, 2)
    return positive, others.transpose(1, 2).reshape(2 * num, 2 * num - 2)


class HostFreeMoCo(MoCo):
    """mmpretrain's MoCo, which counts the keys on the host and shuffles on the device.

    Batches are shuffled over the processes. In a single process shuffling would change only the
    order in which batch norm sums, so it is left out.
    """

    _place: int | None = None

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._place = None

    def queue_place(self) -> int:
        """Return the position in the queue at which the next keys are written."""
        if self._place is None:  # at the start and after loading a checkpoint
            self._place = int(self.queue_ptr)
        return self._place

    @torch.no_grad()
    def _dequeue_and_enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys in the queue by the keys of all processes."""
        keys = torch.cat(all_gather(keys), dim=0)
        place = self.queue_place()
        assert self.queue_len % len(keys) == 0, (self.queue_len, len(keys))
        self.queue[:, place : place + len(keys)] = keys.T
        self._place = (place + len(keys)) % self.queue_len
        self.queue_ptr.fill_(self._place)

    def loss(
        self, inputs: list[Tensor], data_samples: list[DataSample] | None = None, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the loss, update the momentum encoder and fill the queue.

        Args:
            inputs (list[Tensor]): The query's and the key's view, each (N, C, H, W).
            data_samples (list[DataSample], optional): Ignored.

        Returns:
            dict[str, Tensor]: The loss of this process's images.
        """
        query = F.normalize(self.neck(self.backbone(inputs[0]))[0], dim=1)
        with torch.no_grad():
            self.encoder_k.update_parameters(nn.Sequential(self.backbone, self.neck))
            keys = self._encode_keys(inputs[1])
        positive = torch.einsum('nc,nc->n', [query, keys]).unsqueeze(-1)
        negative = torch.einsum('nc,ck->nk', [query, self.queue.clone()])
        loss = self.head.loss(positive, negative)
        self._dequeue_and_enqueue(keys)
        return dict(loss=loss)

    def _encode_keys(self, views: Tensor) -> Tensor:
        """Encode the keys (N, feat_dim), of length 1, in batches shuffled over the processes."""
        if get_world_size() == 1:
            return F.normalize(self.encoder_k(views)[0], dim=1)
        rank, number = get_rank(), len(views)
        everything = torch.cat(all_gather(views), dim=0)
        order = torch.randperm(len(everything), device=views.device)
        broadcast(order, src=0)
        mine = order.view(-1, number)[rank]
        keys = F.normalize(self.encoder_k(everything[mine])[0], dim=1)
        back = torch.argsort(order).view(-1, number)[rank]
        return torch.cat(all_gather(keys), dim=0)[back]


class HostFreeSwAV(SwAV):
    """mmpretrain's SwAV, which groups views by size without tensors."""

    def loss(
        self, inputs: list[Tensor], data_samples: list[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            inputs (list[Tensor]): The views, each (N, C, H, W); consecutive views of one size go
                through the backbone together.
            data_samples (list[DataSample]): Ignored.

        Returns:
            dict[str, Tensor]: The loss.
        """
        sizes = groupby(inputs, key=lambda view: view.shape[-1])
        features = [self.backbone(torch.cat(list(views))) for _, views in sizes]
        return dict(loss=self.head.loss(self.neck(features)))


class HostFreeContrastiveHead(ContrastiveHead):
    """mmpretrain's ``ContrastiveHead``, which makes the labels on the device."""

    def loss(self, pos: Tensor, neg: Tensor) -> Tensor:
        """Compute the contrastive loss.

        Args:
            pos (Tensor): Positive similarities, (N, 1).
            neg (Tensor): Negative similarities, (N, K).

        Returns:
            Tensor: The loss.
        """
        logits = torch.cat((pos, neg), dim=1)
        logits /= self.temperature
        return self.loss_module(logits, logits.new_zeros(len(logits), dtype=torch.long))


class HostFreeMoCoV3Head(MoCoV3Head):
    """mmpretrain's ``MoCoV3Head``, which makes the labels on the device."""

    def loss(self, base_out: Tensor, momentum_out: Tensor) -> Tensor:
        """Compute the contrastive loss.

        Args:
            base_out (Tensor): Features of the encoder, (N, C).
            momentum_out (Tensor): Features of the momentum encoder, (N, C).

        Returns:
            Tensor: The loss.
        """
        query = F.normalize(self.predictor([base_out])[0], dim=1)
        keys = torch.cat(all_gather(F.normalize(momentum_out, dim=1)), dim=0)
        logits = torch.einsum('nc,mc->nm', [query, keys]) / self.temperature
        start = len(logits) * get_rank()
        labels = torch.arange(start, start + len(logits), device=logits.device)
        return self.loss_module(logits, labels)


_MENDED: dict[type[nn.Module], type[nn.Module]] = {
    SelfSupDataPreprocessor: Preprocessor,
    ExponentialMovingAverage: MovingAverage,
    CosineEMA: CosineMovingAverage,
    SimCLR: HostFreeSimCLR,
    MoCo: HostFreeMoCo,
    SwAV: HostFreeSwAV,
    ContrastiveHead: HostFreeContrastiveHead,
    MoCoV3Head: HostFreeMoCoV3Head,
}
