"""Measures how fast a run trains SimCLR, compared with the same training in a bare PyTorch loop."""

import contextlib
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import torch
import torchvision
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from rounds import summary
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from mmjoint import engine
from mmjoint.engine import acceleration

# The accelerations of each variant, by the flags of tools/train.py.
VARIANTS = {
    'float32': (),
    'float32, channels last': ('channels_last',),
    'bfloat16': ('amp',),
    'bfloat16, channels last': ('amp', 'channels_last'),
    'float32, channels last, compiled': ('channels_last', 'compile'),
    'bfloat16, channels last, compiled': ('amp', 'channels_last', 'compile'),
}


class BareSimCLR:
    """SimCLR on torchvision's ResNet-18 for small images, without any part of mm.

    Args:
        weights (dict[str, Tensor]): The initial weights: the state dict of mmpretrain's ``SimCLR``
            with ``ResNet_CIFAR`` and ``MoCoV2Neck``.
        cfg (Config): The config of that model; channels, temperature, mean, std and the settings of
            SGD are read from it.
        options (Sequence[str]): Any of ``'amp'``, ``'channels_last'`` and ``'compile'``.
        device (torch.device | str): The device to train on. Defaults to ``'cpu'``.
    """

    def __init__(
        self,
        weights: dict[str, Tensor],
        cfg: Config,
        options: Sequence[str] = (),
        device: torch.device | str = 'cpu',
    ) -> None:
        model, neck = cfg.model, cfg.model.neck
        network = torchvision.models.resnet18(num_classes=1)
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
        network.fc = nn.Sequential(
            nn.Linear(neck.in_channels, neck.hid_channels),
            nn.ReLU(),
            nn.Linear(neck.hid_channels, neck.out_channels),
        )
        names = {'backbone.': '', 'neck.mlp.': 'fc.'}
        network.load_state_dict(
            {
                new + name.removeprefix(old): value.clone()
                for old, new in names.items()
                for name, value in weights.items()
                if name.startswith(old)
            }
        )
        self.network = network.to(device).train()
        if 'channels_last' in options:
            self.network.to(memory_format=torch.channels_last)
        if 'compile' in options:
            self.network.compile(dynamic=False)
        self.amp = 'amp' in options
        self.temperature = model.head.temperature
        self.device = torch.device(device)
        self.mean, self.std = (
            torch.tensor(model.data_preprocessor[key], device=device).view(3, 1, 1)
            for key in ('mean', 'std')
        )
        settings = dict(cfg.optim_wrapper.optimizer)
        settings.pop('type')
        self.optimizer = torch.optim.SGD(self.network.parameters(), **settings)

    def step(self, views: Sequence[Tensor]) -> Tensor:
        """Take one step of SGD.

        Args:
            views (Sequence[Tensor]): Two views, each (N, 3, H, W), uint8.

        Returns:
            Tensor: The loss before the step, a scalar.
        """
        images = torch.cat(list(views)).to(self.device).flip(1).float()  # BGR, as OpenCV reads
        context = (
            torch.autocast(self.device.type, torch.bfloat16)
            if self.amp
            else contextlib.nullcontext()
        )
        with context:
            features = self.network((images - self.mean) / self.std)
            loss = nt_xent(features, self.temperature)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()


def nt_xent(features: Tensor, temperature: float) -> Tensor:
    """SimCLR's loss: each view is to be matched with the other view of its pair among all views.

    Args:
        features (Tensor): Features of the first views, then of the second views, (2N, C).
        temperature (float): Divisor of the cosines.

    Returns:
        Tensor: The mean cross-entropy in nats, a scalar.
    """
    features = F.normalize(features, dim=1)
    num = len(features) // 2
    itself = torch.eye(2 * num, dtype=torch.bool, device=features.device)
    logits = (features @ features.T / temperature).masked_fill(itself, float('-inf'))
    return F.cross_entropy(logits, torch.arange(2 * num, device=features.device).roll(num))


class _Comparison(Hook):
    """Time rounds of the Runner's steps, each followed by as many steps of the bare loop.

    A round of the Runner lasts from the end of its last hook to the end of its last hook some
    iterations later, so it includes the data loader, all other hooks and their logging.
    """

    def __init__(self, make_bare: Callable[[Runner], BareSimCLR], steps: int) -> None:
        self.make_bare, self.steps = make_bare, steps
        self.batches: Iterator[dict] = iter(())
        self.times: list[tuple[tuple[float, float], tuple[float, float]]] = []
        self.losses: tuple[list[float], list[float]] = ([], [])
        self.data_times: list[float] = []

    def before_train(self, runner: Runner) -> None:
        self.bare = self.make_bare(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        self.losses[0].append(outputs['loss'].item())
        if batch_idx % self.steps:  # the first wait of a round includes the bare loop
            waits = runner.message_hub.get_scalar('train/data_time')
            self.data_times.append(float(waits.current()))
        if (batch_idx + 1) % self.steps:
            return
        now = _clocks()
        losses = [self.bare.step(next(self.batches)['inputs']) for _ in range(self.steps)]
        self.losses[1].extend(loss.item() for loss in losses)
        # The first round, in which kernels are chosen or compiled, does not count.
        if batch_idx >= self.steps:
            self.times.append((_since(self.start, now), _since(now, _clocks())))
        self.start = _clocks()


def _clocks() -> tuple[float, float]:
    """Return wall time and CPU time of the process in seconds."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    return end[0] - start[0], end[1] - start[1]


def benchmark_step(
    cfg: Config, options: Sequence[str] = (), rounds: int = 8, steps: int = 2, loader: bool = False
) -> dict:
    """Measure mmengine's Runner, set up as by ``tools/train.py``, against ``BareSimCLR``.

    Both train in this process in turns, from the same weights and with the same number of threads.
    The first round of each does not count. Checkpoints are not saved.

    Args:
        cfg (Config): A config from ``engine.load_config``: SimCLR with ``ResNet_CIFAR`` 18; it is
            not changed.
        options (Sequence[str]): Any of ``'amp'``, ``'channels_last'`` and ``'compile'``.
        rounds (int): Number of rounds that count, at least 2. Defaults to 8.
        steps (int): Steps of each loop per round, at least 2. Defaults to 2.
        loader (bool): Whether each loop has a data loader of its own, with the config's data set,
            pipeline and workers, and waits for it; otherwise both train on one batch of noise in
            memory. Defaults to False.

    Returns:
        dict: ``rounds``, ``steps`` and ``batch_size``; over the rounds, as ``dict(median,
            quartiles)``, ``runner`` and ``bare``, images (pairs of views) per second,
            ``runner_cpu`` and ``bare_cpu``, images per second of CPU time, ``ratio`` and
            ``cpu_ratio``, the Runner's values divided by the bare loop's; ``data_time``, the
            Runner's median wait for a batch in seconds; ``losses``, two lists with the losses of
            all steps of the Runner and of the bare loop.

    Raises:
        ValueError: The config is of another model, ``rounds`` or ``steps`` is less than 2, or the
            data set has too few images.
    """
    backbone = cfg.model.backbone
    found = (cfg.model.type, backbone.type, backbone.get('depth'))
    if found not in [(name, 'ResNet_CIFAR', 18) for name in ('SimCLR', 'DistributedSimCLR')]:
        raise ValueError(f'the bare loop is SimCLR with a ResNet_CIFAR of depth 18, not {found}')
    if rounds < 2 or steps < 2:
        raise ValueError(f'rounds and steps must be at least 2, got {rounds} and {steps}')
    cfg = _prepare(cfg, options, steps * (rounds + 1))
    with tempfile.TemporaryDirectory() as cfg.work_dir:
        runner = engine.build_runner(cfg, strict=False)
        comparison = _Comparison(
            lambda runner: BareSimCLR(
                runner.model.state_dict(), cfg, options, next(runner.model.parameters()).device
            ),
            steps,
        )
        runner.register_hook(comparison, priority='LOWEST')
        runner._train_dataloader, theirs = (
            _batches(cfg, steps * (rounds + 1), loader) for _ in range(2)
        )
        comparison.batches = iter(theirs)
        runner.train()
    return _summary(comparison, cfg.train_dataloader.batch_size)


def _prepare(cfg: Config, options: Sequence[str], iterations: int) -> Config:
    cfg = Config(copy.deepcopy(cfg.to_dict()))
    if torch.cuda.is_available():
        cfg.optim_wrapper.dtype = 'bfloat16'
    for name in options:
        getattr(acceleration, f'use_{name}')(cfg)
    if 'amp' not in options:
        cfg.optim_wrapper.pop('dtype', None)
    loader = cfg.train_dataloader
    base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size', loader.batch_size)
    cfg.optim_wrapper.optimizer.lr *= loader.batch_size / base
    loader.dataset.indices = iterations * loader.batch_size
    loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.checkpoint = None
    cfg.log_level = 'WARNING'
    cfg.experiment_name = f'benchmark_{time.time_ns()}'  # mmengine keeps state under this name
    engine.guard_run(cfg)
    engine.fit_to_machine(cfg)
    return cfg


def _batches(cfg: Config, number: int, loader: bool) -> DataLoader:
    size = cfg.train_dataloader.batch_size
    if loader:
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
            batches = Runner.build_dataloader(cfg.train_dataloader)
        if len(batches) < number:
            raise ValueError(
                f'the data set has {len(batches.dataset)} images, {number * size} are needed '
                f'({number} batches of {size})'
            )
        return batches
    views = next(step for step in cfg.train_dataloader.dataset.pipeline if 'View' in step.type)
    side = next(step.scale for step in views.transforms[0] if 'Crop' in step.type)
    rng = torch.Generator().manual_seed(0)
    shape = (size, 3, side, side)
    batch = dict(
        inputs=[torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng) for _ in range(2)],
        data_samples=[DataSample() for _ in range(size)],
    )
    return DataLoader([batch] * number, collate_fn=lambda batches: batches[0])


def _summary(comparison: _Comparison, batch_size: int) -> dict:
    def over_rounds(value: Callable[[tuple, tuple], float]) -> dict:
        return summary([value(ours, theirs) for ours, theirs in comparison.times])

    images = comparison.steps * batch_size
    return dict(
        rounds=len(comparison.times),
        steps=comparison.steps,
        batch_size=batch_size,
        runner=over_rounds(lambda ours, theirs: images / ours[0]),
        bare=over_rounds(lambda ours, theirs: images / theirs[0]),
        runner_cpu=over_rounds(lambda ours, theirs: images / ours[1]),
        bare_cpu=over_rounds(lambda ours, theirs: images / theirs[1]),
        ratio=over_rounds(lambda ours, theirs: theirs[0] / ours[0]),
        cpu_ratio=over_rounds(lambda ours, theirs: theirs[1] / ours[1]),
        data_time=statistics.median(comparison.data_times),
        losses=[list(losses) for losses in comparison.losses],
    )
