"""Measures how fast a run trains SimCLR, compared with the same training in a bare PyTorch loop."""

import copy
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from bare_simclr import BareSimCLR
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from rounds import summary
from torch.utils.data import DataLoader
from view_benchmark.makers import raising, stock_pipeline
from view_benchmark.recipes import RECIPES

from mmjoint import engine
from mmjoint.engine import acceleration
from mmjoint.utils.device import choose_device

# Accelerations of each variant: the format of mixed precision, flags of tools/train.py.
VARIANTS = {
    f'{precision}{", " if flags else ""}{", ".join(flag.replace("_", " ") for flag in flags)}': (
        *([] if precision == 'float32' else [precision]),
        *flags,
    )
    for precision in ('float32', 'bfloat16', 'float16')
    for flags in ((), ('channels_last',), ('channels_last', 'compile'))
}
_CONFIGS = Path(__file__).resolve().parents[2] / 'configs/simclr'
# The config of each network, and the recipe of its views in ``view_benchmark``.
ARCHITECTURES = {
    'resnet18': ('simclr_resnet18_4xb128-coslr-500e_tiny-imagenet', 'small'),
    'resnet50': ('simclr_resnet50_8xb64-coslr-100e_in1k', 'simclr'),
}
# The config whose optimizer is meant.
OPTIMIZERS = {'sgd': ARCHITECTURES['resnet18'][0], 'lars': ARCHITECTURES['resnet50'][0]}
LOADERS = ('mmjoint', 'mmpretrain')


def benchmark_config(arch: str, optimizer: str, size: int | None, batch_size: int) -> Config:
    """Read the config of a benchmark.

    Args:
        arch (str): ``'resnet18'``, with the stem for small images, or ``'resnet50'``.
        optimizer (str): ``'sgd'`` or ``'lars'``, with the settings of the configs.
        size (int, optional): Side of the views, pixels. None leaves the config's, 64 and 224.
        batch_size (int): Images a step; the learning rate is that for this batch.

    Returns:
        Config: SimCLR.

    Raises:
        ValueError: ``size`` or ``batch_size`` is too small.
    """
    if batch_size < 2 or (size is not None and size < 8):
        raise ValueError(
            f'at least 2 images per step of 8 pixels are needed, got {batch_size} of {size}'
        )
    cfg = engine.load_config(
        Namespace(
            config=str(_CONFIGS / f'{ARCHITECTURES[arch][0]}.py'),
            cfg_options=[],
            launcher='none',
            work_dir=None,
            no_pin_memory=False,
        )
    )
    cfg.train_dataloader.batch_size = batch_size
    other = Config.fromfile(_CONFIGS / f'{OPTIMIZERS[optimizer]}.py')
    cfg.optim_wrapper, cfg.param_scheduler = other.optim_wrapper, other.param_scheduler
    cfg.optim_wrapper.optimizer.lr *= batch_size / other.auto_scale_lr.base_batch_size
    for schedule in cfg.param_scheduler:
        if schedule.type == 'LinearLR':  # it works as ever, at a constant rate
            schedule.start_factor = 1.0
    if size is not None:
        for step in _view_steps(cfg):
            if step.type == 'JointCrop':
                step.scale = size
    return cfg


def benchmark_step(
    cfg: Config, options: Sequence[str] = (), rounds: int = 8, steps: int = 2
) -> dict:
    """Measure mmengine's Runner, set up as by ``tools/train.py``, against ``BareSimCLR``.

    Both train in this process by turns, from the same weights, on one batch of noise that lies on
    the device, with as many threads. A first round of each is not counted. Checkpoints are not
    saved.

    Args:
        cfg (Config): From ``benchmark_config``; not changed.
        options (Sequence[str]): A value of ``VARIANTS``.
        rounds (int): Rounds that count, at least 2. Defaults to 8.
        steps (int): Steps of each in a round, at least 2. Defaults to 2.

    Returns:
        dict: ``rounds``, ``steps`` and ``batch_size``; over the rounds, as ``dict(median,
        quartiles)``, ``runner`` and ``bare``, images (pairs of views) per second, ``runner_cpu``
        and ``bare_cpu``, images per second of CPU time, ``ratio`` and ``cpu_ratio``, the Runner's
        by the bare loop's; ``waiting``, the share of the Runner's time in which it waits for data;
        ``losses``, one list of the Runner's and one of the bare loop's, of all steps; on a GPU
        ``memory``, the most bytes that torch held in a round of the Runner and of the bare loop,
        with the weights of both.

    Raises:
        ValueError: ``rounds`` or ``steps`` is less than 2, or the device cannot do ``options``.
    """
    iterations = _number_of_steps(rounds, steps)
    cfg = _prepare(cfg, options)
    device = choose_device()
    batches = _resident(cfg, iterations, device)
    comparison = _Comparison(
        lambda runner: BareSimCLR(runner.model.state_dict(), cfg, options, device),
        steps,
        device,
        rounds,
        batches.dataset,
    )
    _train(cfg, batches, comparison)
    images = steps * cfg.train_dataloader.batch_size

    def over_rounds(value: Callable[[tuple, tuple], float]) -> dict:
        return summary([value(ours, theirs) for ours, theirs in comparison.times])

    return dict(
        rounds=rounds,
        steps=steps,
        batch_size=cfg.train_dataloader.batch_size,
        runner=over_rounds(lambda ours, theirs: images / ours[0]),
        bare=over_rounds(lambda ours, theirs: images / theirs[0]),
        runner_cpu=over_rounds(lambda ours, theirs: images / ours[1]),
        bare_cpu=over_rounds(lambda ours, theirs: images / theirs[1]),
        ratio=over_rounds(lambda ours, theirs: theirs[0] / ours[0]),
        cpu_ratio=over_rounds(lambda ours, theirs: theirs[1] / ours[1]),
        waiting=comparison.waiting(),
        losses=[list(losses) for losses in comparison.losses],
        **({'memory': comparison.memory} if device.type == 'cuda' else {}),
    )


def benchmark_loading(
    cfg: Config,
    options: Sequence[str],
    photos: str,
    loader: str,
    arch: str,
    workers: int,
    rounds: int = 8,
    steps: int = 2,
) -> dict:
    """Measure mmengine's Runner on what loader workers make of photos, without a pause.

    What the workers have made ahead at the start is used up before the first round that counts.

    Args:
        cfg (Config): From ``benchmark_config``; not changed.
        options (Sequence[str]): A value of ``VARIANTS``.
        photos (str): A folder of images, at any depth. They are taken as often as needed, evenly
            over the folder.
        loader (str): ``'mmjoint'``, the config's pipeline, or ``'mmpretrain'``, the same views by
            mmpretrain's own transforms.
        arch (str): The network of the config.
        workers (int): Processes that load, 0 for the main process.
        rounds (int): Rounds that count, at least 2. Defaults to 8.
        steps (int): Steps in a round, at least 2. Defaults to 2.

    Returns:
        dict: ``rounds``, ``steps``, ``batch_size`` and ``workers``; over the rounds, as
        ``dict(median, quartiles)``, ``runner``, images (pairs of views) per second; ``waiting``,
        the share of the time in which the Runner waits for data.

    Raises:
        ValueError: ``rounds`` or ``steps`` is less than 2, the device cannot do ``options``, or
            there are no photos.
    """
    _number_of_steps(rounds, steps)
    cfg = _prepare(cfg, options)
    settings = cfg.train_dataloader
    pipeline = raising(settings.dataset.pipeline)
    if loader == 'mmpretrain':
        (size,) = (step.scale for step in _view_steps(cfg) if step.type == 'JointCrop')
        recipe = RECIPES[ARCHITECTURES[arch][1]]
        pipeline = stock_pipeline([replace(view, size=size) for view in recipe])
    settings.update(num_workers=workers, persistent_workers=workers > 0)
    ahead = workers * (settings.get('prefetch_factor') or 2)
    uncounted = max(1, -(-ahead // steps))  # rounds
    needed = (uncounted + rounds) * steps * settings.batch_size
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        images = DATASETS.build(dict(type='ImageFolder', data_root=str(photos), pipeline=pipeline))
        images.get_subset_([i * len(images) // needed for i in range(needed)])
        batches = Runner.build_dataloader(dict(settings.to_dict(), dataset=images))
    timing = _Timing(steps, choose_device(), uncounted, rounds)
    _train(cfg, batches, timing)
    number = steps * settings.batch_size
    return dict(
        rounds=len(timing.times),
        steps=steps,
        batch_size=settings.batch_size,
        workers=workers,
        runner=summary([number / seconds for seconds in timing.times]),
        waiting=timing.waiting(),
    )


class _Timing(Hook):
    """Time rounds of the Runner's steps.

    A round lasts from the end of the last hook to the end of the last hook some iterations later,
    so it includes the data loader, all other hooks and their logging.

    Args:
        steps (int): In a round.
        device (torch.device): Waited for at the ends of rounds, and nowhere else.
        uncounted (int): Rounds at the start that do not count: kernels are chosen, code is
            compiled.
        rounds (int): Rounds that count.
    """

    def __init__(self, steps: int, device: torch.device, uncounted: int, rounds: int) -> None:
        self.steps, self.device, self.uncounted = steps, device, uncounted
        self.rounds = uncounted + rounds
        self.times: list = []
        self.waits: list[tuple[float, float]] = []  # for data, and the whole step, seconds

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        round_, step = divmod(batch_idx, self.steps)
        if round_ >= self.uncounted and step:  # a round's first wait may hold the one before
            names = ('train/data_time', 'train/time')
            self.waits.append(
                tuple(float(runner.message_hub.get_scalar(name).current()) for name in names)
            )
        if step == self.steps - 1:
            self.end_round(round_ >= self.uncounted)

    def end_round(self, counts: bool) -> None:
        now = self.clocks()
        if counts:
            self.times.append(now[0] - self.start[0])
        self.start = now

    def clocks(self) -> tuple[float, float]:
        """Return wall time and CPU time of the process in seconds, once the device is done."""
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        return time.perf_counter(), time.process_time()

    def waiting(self) -> float:
        """Return the share of the time in which the Runner waits for data."""
        data, whole = (sum(parts) for parts in zip(*self.waits, strict=True))
        return data / whole


class _Comparison(_Timing):
    """Time rounds of the Runner's steps, each followed by as many steps of the bare loop.

    Args:
        make_bare (Callable): The bare loop, from the Runner at the start of its training.
        steps, device, rounds: As of ``_Timing``.
        batches (Sequence[dict]): One an iteration.
    """

    def __init__(
        self,
        make_bare: Callable[[Runner], BareSimCLR],
        steps: int,
        device: torch.device,
        rounds: int,
        batches: Sequence[dict],
    ) -> None:
        super().__init__(steps, device, 1, rounds)
        self.make_bare, self.batches = make_bare, iter(batches)
        self.losses: tuple[list[float], list[float]] = ([], [])
        self.memory = [0, 0]

    def before_train(self, runner: Runner) -> None:
        self.bare = self.make_bare(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        self.losses[0].append(outputs['loss'].item())
        super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def end_round(self, counts: bool) -> None:
        middle = self.clocks()
        self._note_memory(0)
        losses = [self.bare.step(next(self.batches)['inputs']) for _ in range(self.steps)]
        end = self.clocks()
        self._note_memory(1)
        self.losses[1].extend(loss.item() for loss in losses)
        if counts:
            ours, theirs = (
                (b[0] - a[0], b[1] - a[1]) for a, b in ((self.start, middle), (middle, end))
            )
            self.times.append((ours, theirs))
        self.start = self.clocks()

    def _note_memory(self, loop: int) -> None:
        if self.device.type == 'cuda':
            peak = torch.cuda.max_memory_allocated(self.device)
            self.memory[loop] = max(self.memory[loop], peak)
            torch.cuda.reset_peak_memory_stats(self.device)


def _number_of_steps(rounds: int, steps: int) -> int:
    if rounds < 2 or steps < 2:
        raise ValueError(f'rounds and steps must be at least 2, got {rounds} and {steps}')
    return steps * (rounds + 1)


def _view_steps(cfg: Config) -> Iterator[Config]:
    """Yield the transforms of the views in a config's training pipeline."""
    for step in cfg.train_dataloader.dataset.pipeline:
        for group in step.get('transforms', []):
            yield from group


def _prepare(cfg: Config, options: Sequence[str]) -> Config:
    """Set a copy of the config up as ``tools/train.py`` does with the flags of a variant."""
    cfg = Config(copy.deepcopy(cfg.to_dict()))
    device = choose_device()
    for name in options:
        if 'float' not in name:
            getattr(acceleration, f'use_{name}')(cfg)
            continue
        if name == 'float16' and device.type == 'cpu':
            raise ValueError('float16 is for GPUs; on the CPU mixed precision is bfloat16')
        cfg.optim_wrapper.dtype = name
        acceleration.use_amp(cfg)
    acceleration.use_tf32(device.type)
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.checkpoint = None
    cfg.log_level = 'WARNING'
    cfg.experiment_name = f'benchmark_{time.time_ns()}'  # mmengine keeps state under this name
    engine.guard_run(cfg)
    engine.fit_to_machine(cfg)
    return cfg


def _resident(cfg: Config, number: int, device: torch.device) -> DataLoader:
    """One batch of noise on the device, a number of times."""
    (side,) = (step.scale for step in _view_steps(cfg) if step.type == 'JointCrop')
    size = cfg.train_dataloader.batch_size
    rng = torch.Generator().manual_seed(0)
    shape = (size, 3, side, side)
    views = [torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng) for _ in range(2)]
    batch = dict(
        inputs=[view.to(device) for view in views],
        data_samples=[DataSample() for _ in range(size)],
    )
    return DataLoader([batch] * number, collate_fn=lambda batches: batches[0])


def _train(cfg: Config, batches: DataLoader, timing: _Timing) -> None:
    with tempfile.TemporaryDirectory() as cfg.work_dir:
        runner = engine.build_runner(cfg, strict=False)
        runner.register_hook(timing, priority='LOWEST')
        runner._train_dataloader = batches
        runner.train()
