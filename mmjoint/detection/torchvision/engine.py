"""Trains a detector, continues after a kill, and runs the detector on a data set."""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from pycocotools import mask as rle
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from mmjoint.checkpoints import CheckpointError, read_checkpoint
from mmjoint.checkpoints.fitting import describe_faults
from mmjoint.utils.files import append_line, whole_file, write_output
from mmjoint.utils.guard import check_same_run

from ...utils.progress import Progress
from .data import BatchSchedule, DetectionImages, EverySample, collate
from .models import backbone_features, to_own_size
from .recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Machine:
    """The device and the processes of a run.

    Args:
        device (torch.device): Device of this process.
        amp (bool): Whether to compute in mixed precision: float16 on GPUs, bfloat16 on the CPU.
        workers (int): Number of processes that load images; 0 loads them in this process.
        rank (int): Rank of this process. Defaults to 0.
        world_size (int): Number of processes. Defaults to 1.
    """

    device: torch.device
    amp: bool = False
    workers: int = 0
    rank: int = 0
    world_size: int = 1

    def autocast(self) -> torch.autocast:
        """Return the context of the forward pass."""
        dtype = torch.bfloat16 if self.device.type == 'cpu' else torch.float16
        return torch.autocast(self.device.type, dtype, enabled=self.amp)

    def load(self, dataset: DetectionImages, batches: Sampler) -> Iterator[tuple[list, list]]:
        """Load batches and move them to the device."""
        loader = DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=self.workers,
            collate_fn=collate,
            pin_memory=self.device.type == 'cuda',
        )
        for images, targets in loader:
            yield (
                [image.to(self.device, non_blocking=True) for image in images],
                [
                    {
                        name: value.to(self.device, non_blocking=True)
                        if isinstance(value, Tensor)
                        else value
                        for name, value in target.items()
                    }
                    for target in targets
                ],
            )


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return an optimizer without weight decay on batch norm's parameters, as in detectron2."""
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)
        for parameter in module.parameters()
    }
    groups: list[dict[str, Any]] = [
        dict(params=[p for p in model.parameters() if id(p) not in norms]),
        dict(params=[p for p in model.parameters() if id(p) in norms], weight_decay=0.0),
    ]
    lr, decay = recipe.lr, recipe.weight_decay
    if recipe.optimizer == 'adamw':
        # On a CPU the fused one takes a fraction of the time.
        return torch.optim.AdamW(groups, lr=lr, weight_decay=decay, fused=True)
    return torch.optim.SGD(groups, lr=lr, momentum=0.9, weight_decay=decay)


def train(
    model: nn.Module,
    dataset: DetectionImages,
    recipe: Recipe,
    seed: int,
    folder: Path,
    machine: Machine,
    interval: int,
    settings: dict,
    eval_every: int = 0,
    evaluate: Callable[[int], None] | None = None,
) -> float:
    """Train a detector by a recipe.

    The draws of an iteration (images, flips, the samples of the losses) follow only from the seed
    and the iteration, so that a killed run continues as if it had not been interrupted. ``folder``
    gets ``log.jsonl``, one line with the losses per iteration, and ``last.pth``, from which the
    next call continues.

    Args:
        model (nn.Module): A model from ``build_detector``, on the device.
        dataset (DetectionImages): The training images.
        recipe (Recipe): The schedule.
        seed (int): Seed of all draws.
        folder (Path): Folder of the checkpoint and the log.
        machine (Machine): The device and the processes.
        interval (int): Iterations between two checkpoints.
        settings (dict): The settings that identify the run, as JSON represents them. A checkpoint
            of other settings is refused.
        eval_every (int): Iterations between two calls of ``evaluate``; 0 for none. Defaults to 0.
        evaluate (Callable, optional): Takes the number of iterations that are done, in each
            process, and leaves the model as it is. It is not called after the last one.

    Returns:
        float: Seconds of training, including earlier starts.

    Raises:
        FloatingPointError: The loss is not finite.
        ValueError: The checkpoint has other settings.
    """
    optimizer = make_optimizer(model, recipe)
    scaler = torch.amp.GradScaler(
        machine.device.type, enabled=machine.amp and machine.device.type == 'cuda'
    )
    start, seconds = 0, 0.0
    checkpoint, log = folder / 'last.pth', folder / 'log.jsonl'
    if checkpoint.is_file():
        saved = read_checkpoint(checkpoint)
        try:
            check_same_run(folder, saved['settings'], settings)
            if faults := describe_faults(saved['model'], model.state_dict()):
                raise CheckpointError(f'{checkpoint}: its model is not this one: {faults}')
            model.load_state_dict(saved['model'])
            optimizer.load_state_dict(saved['optimizer'])
            scaler.load_state_dict(saved['scaler'])
            start, seconds = int(saved['iteration']), float(saved['seconds'])
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise CheckpointError(
                f'{checkpoint}: not a checkpoint of this program ({type(error).__name__}: {error})'
                '; delete the folder to start again'
            ) from error
    if machine.rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        kept = log.read_text().splitlines(keepends=True)[:start] if start else []
        write_output(log, ''.join(kept))

    replica = model
    if machine.world_size > 1:
        devices = [machine.device] if machine.device.type == 'cuda' else None
        replica = nn.parallel.DistributedDataParallel(model, device_ids=devices)
    batches = BatchSchedule(
        dataset.wide, recipe.batch_size, seed, recipe.iterations, start,
        machine.rank, machine.world_size,
    )  # fmt: skip
    progress = Progress('training', recipe.iterations, start, silent=machine.rank > 0)
    model.train()
    begin = time.monotonic() - seconds
    for iteration, (images, targets) in enumerate(machine.load(dataset, batches), start):
        # The losses draw which anchors and proposals they use.
        torch.manual_seed(seed_of(seed, iteration, machine.rank))
        lr = recipe.lr_at(iteration)
        for group in optimizer.param_groups:
            group['lr'] = lr
        with machine.autocast():
            losses = replica(images, targets)
        loss = sum(losses.values())
        values = {'loss': loss.item()} | {name: value.item() for name, value in losses.items()}
        if not math.isfinite(values['loss']):
            raise FloatingPointError(
                f'the loss is {values["loss"]} at iteration {iteration} (lr {lr:g}): '
                f'{values}; a lower --lr may help'
            )
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        done = iteration + 1
        if machine.rank == 0:
            append_line(log, json.dumps(dict(iteration=iteration, lr=lr) | values))
        progress.show(done, f'loss {values["loss"]:.3f}  lr {lr:.2g}')
        due = eval_every and done % eval_every == 0 and done < recipe.iterations
        if due and evaluate is not None:
            evaluate(done)  # before the checkpoint: a kill costs no table
        if machine.rank == 0 and (done % interval == 0 or done == recipe.iterations):
            save_whole(
                dict(
                    model=model.state_dict(),
                    optimizer=optimizer.state_dict(),
                    scaler=scaler.state_dict(),
                    iteration=done,
                    seconds=time.monotonic() - begin,
                    settings=settings,
                ),
                checkpoint,
            )
    return time.monotonic() - begin


def seed_of(*numbers: int) -> int:
    """Combine non-negative integers into one 32-bit seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def save_whole(content: dict, path: Path) -> None:
    """Save to a temporary file and move it into place, so that a kill leaves the earlier file."""
    with whole_file(path) as file:
        torch.save(content, file)


@torch.no_grad()
def precise_batch_norm(
    model: nn.Module, dataset: DetectionImages, recipe: Recipe, seed: int, machine: Machine
) -> None:
    """Replace batch norm's running statistics by an average over training batches.

    The running statistics would otherwise lag behind the weights and depend on the last batches.

    Args:
        model (nn.Module): The detector; left in training mode.
        dataset (DetectionImages): The training images.
        recipe (Recipe): ``precise_bn`` batches are used, those that would follow the last one.
        seed (int): The seed of the training.
        machine (Machine): The device and the processes, which average their statistics.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | nn.SyncBatchNorm)]
    momenta = [norm.momentum for norm in norms]
    if not recipe.precise_bn or not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average
    model.train()
    stop = recipe.iterations + recipe.precise_bn
    batches = BatchSchedule(
        dataset.wide, recipe.batch_size, seed, stop, recipe.iterations,
        machine.rank, machine.world_size,
    )  # fmt: skip
    progress = Progress('batch norm', recipe.precise_bn, silent=machine.rank > 0)
    for done, (images, _) in enumerate(machine.load(dataset, batches), start=1):
        with machine.autocast():
            backbone_features(model, images)
        progress.show(done)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        if machine.world_size > 1:
            for value in (norm.running_mean, norm.running_var):
                assert value is not None  # these norms track statistics
                dist.all_reduce(value)
                value /= machine.world_size


@torch.no_grad()
def detect(
    model: nn.Module, dataset: DetectionImages, machine: Machine, batch_size: int = 1
) -> list[dict]:
    """Run the detector on a data set.

    Args:
        model (nn.Module): The detector; left in evaluation mode.
        dataset (DetectionImages): The test images.
        machine (Machine): The device and the processes, among which the images are divided.
        batch_size (int): Images per batch; more than 1 is only for images of one size. Defaults to
            1.

    Returns:
        list[dict]: The detections of all processes in COCO's form: ``image_id``, ``category_id``,
        ``bbox`` as x, y, w, h in pixels of the original image, ``score``, and ``segmentation`` as
        RLE from Mask R-CNN.
    """
    model.eval()
    found = []
    batches = EverySample(len(dataset), batch_size, machine.rank, machine.world_size)
    progress = Progress('testing', len(batches), silent=machine.rank > 0)
    for done, (images, targets) in enumerate(machine.load(dataset, batches), start=1):
        with machine.autocast():
            results = model(images)
        for image, target, result in zip(images, targets, results, strict=True):
            result = to_own_size(result, image.shape[-2:], target['size'])
            found.extend(_in_coco_form(result, target['image_id'], dataset.category_ids))
        progress.show(done)
    if machine.world_size > 1:
        gathered: list[list[dict]] = [[]] * machine.world_size
        dist.all_gather_object(gathered, found)
        found = [item for part in gathered for item in part]
    return found


def _in_coco_form(result: dict[str, Tensor], image_id: int, category_ids: list[int]) -> list[dict]:
    boxes = result['boxes'].float().cpu()
    boxes[:, 2:] -= boxes[:, :2]
    items = [
        dict(image_id=image_id, category_id=category_ids[label - 1], bbox=box, score=score)
        for box, label, score in zip(
            boxes.tolist(), result['labels'].tolist(), result['scores'].tolist(), strict=True
        )
    ]
    if 'masks' in result:
        for item, mask in zip(items, result['masks'].cpu().numpy(), strict=True):
            item['segmentation'] = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return items
