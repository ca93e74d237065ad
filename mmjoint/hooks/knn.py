"""kNN accuracy of the backbone while it trains."""

import copy
import time
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.dist import all_gather, all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor

from ..datasets.stock import use_own_readers
from ..evaluation.folders import use_folder
from ..evaluation.knn import LOADERS, extract_features, knn_accuracy
from ..utils.models import unwrapped


@HOOKS.register_module()
class KNNHook(Hook):
    """Measure the kNN accuracy of the backbone every few epochs, as ``tools/knn.py`` does.

    The labeled images are those of the config's ``knn_train_dataloader`` and
    ``knn_val_dataloader``, or those of ``folder``. The processes share the images and the search;
    the result does not depend on their number. Training goes on as if nothing had been measured: no
    weight, no batch norm statistic and no random number changes. Logged in percent as ``knn/top1``
    and, with more than five classes, ``knn/top5``.

    The cost is one forward pass of at most ``max_images`` training and ``max_images`` test images
    every ``interval`` epochs; each measurement logs its share of the time since the last one. If a
    set has more images, evenly spaced ones are used.

    Args:
        interval (int): Number of epochs between two measurements; iterations in a run that counts
            iterations. The end of the run is measured too. Defaults to 10.
        folder (str, optional): Folder of labeled images with ``train`` and ``val``, see
            ``mmjoint.evaluation.use_folder``. Defaults to None, the config's data loaders.
        k (int): Number of neighbors that vote. Defaults to 20.
        temperature (float): Temperature of the votes. Defaults to 0.07.
        max_images (int): Largest number of images taken from each of the two sets. It bounds the
            memory: 50,000 features of 2048 channels are 0.4 GB. Defaults to 50000.

    Raises:
        ValueError: An argument is out of its range, or the config has no labeled data.

    Examples:
        >>> custom_hooks = [dict(type='KNNHook', interval=10)]
    """

    priority = 'NORMAL'

    def __init__(
        self,
        interval: int = 10,
        folder: str | None = None,
        k: int = 20,
        temperature: float = 0.07,
        max_images: int = 50000,
    ) -> None:
        for name, value in (('interval', interval), ('k', k), ('max_images', max_images)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'KNNHook: {name} must be a positive integer, got {value!r}')
        if not temperature > 0:
            raise ValueError(f'KNNHook: temperature must be positive, got {temperature!r}')
        self.interval = interval
        self.folder = folder
        self.k = k
        self.temperature = temperature
        self.max_images = max_images
        self._loaders: list[Any] = []
        self._since = 0.0

    def before_train(self, runner: Runner) -> None:
        """Build the data loaders, so that a fault in them is reported at once."""
        cfg = copy.deepcopy(runner.cfg)
        if self.folder is not None:
            use_folder(cfg, self.folder)
        lacking = [name for name in LOADERS if name not in cfg]
        if lacking:
            raise ValueError(
                f'KNNHook: the config has no {" and no ".join(lacking)}; add them, or name a '
                "folder of labeled images: dict(type='KNNHook', folder=FOLDER), or --hook KNNHook "
                'folder=FOLDER'
            )
        self._loaders = [self._build_loader(cfg[name]) for name in LOADERS]
        classes = [loader.dataset.metainfo.get('classes') for loader in self._loaders]
        if classes[0] != classes[1]:
            raise ValueError(
                f'KNNHook: {" and ".join(LOADERS)} have different classes ({classes[0]} and '
                f'{classes[1]}), so their labels mean different things'
            )
        train, test = (len(loader.dataset) for loader in self._loaders)
        if self.k > train:
            raise ValueError(f'KNNHook: k is {self.k}, but there are {train} training images')
        if min(train, test) < get_world_size():
            raise ValueError(
                f'KNNHook: {train} training and {test} test images are fewer than the '
                f'{get_world_size()} processes'
            )
        self._since = time.perf_counter()

    def _build_loader(self, cfg: ConfigDict) -> Any:
        cfg = copy.deepcopy(cfg)
        use_own_readers(cfg)
        cfg.persistent_workers = False
        cfg.drop_last = False
        # Each image is seen once, for any number of processes.
        cfg.sampler = dict(type='DefaultSampler', shuffle=False, round_up=False)
        loader = Runner.build_dataloader(cfg, seed=0)
        num = len(loader.dataset)
        if num <= self.max_images:
            return loader
        cfg.dataset.indices = [i * num // self.max_images for i in range(self.max_images)]
        return Runner.build_dataloader(cfg, seed=0)

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure at the end of an epoch if it is time."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            return
        if self.every_n_epochs(runner, self.interval) or runner.epoch + 1 == runner.max_epochs:
            self.measure(runner, runner.iter)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Measure after an iteration if it is time, in a run that counts iterations."""
        done = runner.iter + 1
        if isinstance(runner.train_loop, IterBasedTrainLoop) and (
            done % self.interval == 0 or done == runner.max_iters
        ):
            self.measure(runner, done)

    def measure(self, runner: Runner, step: int) -> dict[str, float]:
        """Measure and log.

        Args:
            runner (Runner): The runner.
            step (int): Number of iterations trained so far.

        Returns:
            dict[str, float]: ``top1`` and, with more than five classes, ``top5``, in percent.
        """
        start = time.perf_counter()
        model = unwrapped(runner.model)
        device = next(model.parameters()).device
        random_state = torch.get_rng_state()  # a data loader draws a seed for its workers
        train, test = (
            extract_features(model.backbone, loader, model.data_preprocessor, str(device))
            for loader in self._loaders
        )
        torch.set_rng_state(random_state)
        accuracy = shared_knn_accuracy(
            *(train[0].to(device), train[1].to(device), test[0].to(device), test[1].to(device)),
            k=self.k,
            temperature=self.temperature,
        )
        now = time.perf_counter()
        share = (now - start) / (now - self._since)
        runner.visualizer.add_scalars(
            {f'knn/{name}': value for name, value in accuracy.items()}
            | {'knn/seconds': now - start, 'knn/time_share': share},
            step=step,
        )
        told = ', '.join(f'{name} {value:.2f} %' for name, value in accuracy.items())
        runner.logger.info(
            f'KNNHook, iteration {step}: {told} (k {self.k}, {len(self._loaders[0].dataset)} '
            f'training and {len(self._loaders[1].dataset)} test images; {now - start:.1f} s, '
            f'{100 * share:.2f} % of the time since the last)'
        )
        self._since = now
        return accuracy


def shared_knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    k: int = 20,
    temperature: float = 0.07,
) -> dict[str, float]:
    """Compute the kNN accuracy where each of n processes holds every n-th image of both sets.

    Args:
        train_features, train_labels, test_features, test_labels (Tensor): Features and labels of
            this process's images, as documented in ``knn_accuracy``. The images are those that
            ``DefaultSampler(shuffle=False, round_up=False)`` gives the process.
        k, temperature: As documented in ``knn_accuracy``.

    Returns:
        dict[str, float]: The result of ``knn_accuracy`` for all images in one process.
    """
    train_features, train_labels = _gather(train_features), _gather(train_labels)
    num_classes = int(torch.stack(all_gather(torch.cat([train_labels, test_labels]).max())).max())
    accuracy = knn_accuracy(
        train_features,
        train_labels,
        test_features,
        test_labels,
        k=k,
        temperature=temperature,
        num_classes=num_classes + 1,
    )
    num = len(test_labels)
    sums = torch.tensor(
        [num, *(value * num for value in accuracy.values())],
        dtype=torch.float64,
        device=test_labels.device,
    )
    all_reduce(sums)
    return dict(zip(accuracy, (sums[1:] / sums[0]).tolist(), strict=True))


def _gather(rows: Tensor) -> Tensor:
    """Join the rows of all processes, in the order of the data set that they share."""
    sizes = torch.cat(all_gather(torch.tensor([len(rows)], device=rows.device)))
    padded = rows.new_zeros(int(sizes.max()), *rows.shape[1:])
    padded[: len(rows)] = rows
    held = torch.arange(len(padded), device=rows.device)[:, None] < sizes
    return torch.stack(all_gather(padded), dim=1)[held]
