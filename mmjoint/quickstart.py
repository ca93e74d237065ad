"""The quick start: pretrains with and without JointCrop, and evaluates the backbones.

Each step is a command or function that README shows, with settings for which two CPU cores need
minutes. Before each stage it says how long all that is left takes. A start after an interruption
continues where the last one ended.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config

from .datasets import ImageFolder, make_scenes
from .datasets.small_copies import make_small_copies
from .detection.data import write_results
from .detection.torchvision.run import fine_tune, parse_args
from .engine import read_config, save_config
from .evaluation import evaluate_protocols, labelled_features, provenance, write_evaluation
from .utils.files import whole_folder
from .utils.guard import lock_folder
from .version import __version__
from .visualization import Run, add_pairs, read_run, read_scalars, write_report

RUNS = {
    'baseline': 'simclr_resnet18_1xb32-coslr-10e_scenes.py',
    'jointcrop0': 'simclr_resnet18_jointcrop0-1xb32-coslr-10e_scenes.py',
}
NAMES = {
    'random': 'random initialization',
    'baseline': 'baseline (beta None)',
    'jointcrop0': 'JointCrop(0)',
}
SCENES = 'data/scenes'
NUM_IMAGES = 2500
EPOCHS = 6
NUM_PICTURES = 6
# One of the two pretrained backbones: so short a run does not tell them apart.
DETECTORS = ('random', 'jointcrop0')
# A checkpoint (148 MB) at the end alone: a start after an interruption repeats a minute.
DETECTION = ('--depth', 18, '--iterations', 100, '--workers', 0, '--checkpoint-interval', 100)
# Own photos: small copies are made of as many as the scenes are, within a minute.
SMALL_SIDE = 128
SMALL_SECONDS = 60
SOURCE_FILE = 'source.txt'
# Seconds that the stages take on two cores; how they relate is what matters, the rest is measured.
SECONDS = {'images': 10, 'pretrain': 150, 'evaluate': 52, 'detect': 70, 'report': 5}
NOTE = (
    'What one run can say: that everything works from end to end, and how far both pretrained '
    'backbones are from a random one. What it cannot say: which of the two is better. One seed on '
    'a small data set is no evidence for either; the difference may well be noise. The gains '
    'of the paper (arXiv 2412.16522: 0.2 to 2.7 points on ImageNet-1K) are its own claim, at its '
    'own scale.'
)


@dataclass(frozen=True)
class Stage:
    """One of the stages of the quick start.

    Args:
        name (str): What it does.
        seconds (float): That it takes on two cores, about.
        run (Callable): Does it.
        done (bool): Whether an earlier start has done it, so that it takes no time.
    """

    name: str
    seconds: float
    run: Callable[[], object]
    done: bool = False


class Stages:
    """Runs stages, saying before each which of how many it is and what is left of all.

    Args:
        stages (list[Stage]): In order.
        clock (Callable): Gives seconds. Defaults to ``time.monotonic``.
    """

    def __init__(self, stages: list[Stage], clock: Callable[[], float] = time.monotonic) -> None:
        self.stages, self.clock = stages, clock
        # As if so many seconds of the expected had gone by: the first, short stage says little.
        self.expected = self.taken = 30.0

    def left(self, index: int) -> float:
        """Return the seconds that the stages from ``index`` on will take at the speed so far."""
        ahead = sum(stage.seconds for stage in self.stages[index:] if not stage.done)
        return ahead * self.taken / self.expected

    def run(self) -> None:
        """Run all."""
        for index, stage in enumerate(self.stages):
            minutes = max(1, round(self.left(index) / 60))
            print(
                f'\n=== stage {index + 1} of {len(self.stages)}: {stage.name}; about {minutes} min '
                'left for all',
                flush=True,
            )
            start = self.clock()
            stage.run()
            if not stage.done:
                self.expected += stage.seconds
                self.taken += self.clock() - start


@dataclass(frozen=True)
class QuickStart:
    """The runs and steps of the quick start.

    Args:
        root (Path): The clone, with ``configs``, ``tools`` and ``transfer``.
        out (Path): Folder of the results: one folder per run, ``results.json`` and
            ``report.html``.
        images (Path, optional): Folder of photos to pretrain on. Without labels nothing can be
            evaluated. Defaults to None, the embedded scenes.
        epochs (int): Number of epochs of each run. Defaults to ``EPOCHS``.
        seed (int): Seed of every step. Defaults to 0.
    """

    root: Path
    out: Path
    images: Path | None = None
    epochs: int = EPOCHS
    seed: int = 0

    def config(self, run: str) -> Config:
        """Read a run's config and apply the settings of the quick start.

        Args:
            run (str): A key of ``RUNS``.

        Returns:
            Config: The config for tools/train.py.
        """
        cfg = read_config(self.root / 'configs/simclr' / RUNS[run])
        epochs = self.epochs
        if self.images:
            num = len(ImageFolder(str(self.copies)))
            dataset = cfg.train_dataloader.dataset
            dataset.update(data_root=str(self.copies), data_prefix='', with_label=False)
            batch = min(cfg.train_dataloader.batch_size, num)
            cfg.train_dataloader.batch_size = batch
            # As many images as on the scenes; of each epoch, those that fill no batch are left out.
            epochs = round(epochs * NUM_IMAGES / (num // batch * batch))
        cfg.train_cfg.max_epochs = epochs
        cfg.default_hooks.checkpoint.interval = max(1, epochs // self.epochs)
        cfg.param_scheduler[0].update(T_max=epochs, end=epochs)
        cfg.randomness = dict(seed=self.seed)
        return cfg

    @property
    def copies(self) -> Path:
        """Folder of the small copies of one's own photos."""
        return self.out / 'photos'

    def copy_photos(self) -> None:
        """Make small copies of one's own photos, unless they are there; say what is left out.

        Raises:
            ValueError: Those that are there are of other photos, or fewer than two can be read.
        """
        source = self.copies / SOURCE_FILE
        if self.copies.exists():
            found = source.read_text() if source.is_file() else 'no photos known'
            if found != str(self.images):
                raise ValueError(
                    f'{self.copies} holds copies of {found}, not of {self.images}: name another '
                    'folder by --out, or remove it'
                )
        else:
            folder = ImageFolder(str(self.images))
            paths = [folder.get_data_info(i)['img_path'] for i in range(len(folder))]
            with whole_folder(self.copies) as aside:
                num, faults = make_small_copies(paths, aside, NUM_IMAGES, SMALL_SIDE, SMALL_SECONDS)
                (aside / SOURCE_FILE).write_text(str(self.images))
            print(
                f'{num} of {len(paths)} photos are used (at most {NUM_IMAGES}, or as many as can '
                f'be read in {SMALL_SECONDS} s), as copies with a short side of {SMALL_SIDE} '
                f'pixels; {len(faults)} could not be read' + ''.join(f': {f}' for f in faults[:1])
            )
        print(
            'left out without labels: kNN and linear accuracy (tools/evaluate.py) and the detector '
            '(transfer/)'
        )

    def checkpoint(self, run: str) -> Path | None:
        """Return a run's last checkpoint; None for the random initialization."""
        return self.out / run / f'epoch_{self.epochs}.pth' if run in RUNS else None

    def save_config(self, run: str) -> Path:
        """Write the config that tools/train.py reads.

        Args:
            run (str): A key of ``RUNS``.

        Returns:
            Path: The config file.

        Raises:
            ValueError: The folder holds a run with other settings.
        """
        path = self.out / f'{run}.py'
        save_config(self.config(run), path, '--out')
        return path

    def pretrain(self, run: str) -> dict[str, float]:
        """Run tools/train.py; return the last values of its log."""
        work_dir = self.out / run
        self._run('tools/train.py', self.save_config(run), '--work-dir', work_dir, '--resume')
        steps, losses = read_scalars(work_dir)
        _, times = read_scalars(work_dir, 'time')
        return {
            'iterations': steps[-1],
            'first_loss': losses[0],
            'last_loss': losses[-1],
            'seconds': steps[-1] * sum(times) / len(times),
        }

    def evaluate(self, run: str) -> dict[str, float]:
        """Return kNN and linear accuracy in percent of a run's frozen backbone or a random one."""
        cfg = self.config(run if run in RUNS else 'baseline')
        checkpoint = self.checkpoint(run)
        accuracies = evaluate_protocols(labelled_features(cfg, checkpoint), ('knn', 'linear'))
        path = self.out / run / 'evaluation.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        write_evaluation(path, provenance(cfg, checkpoint) | {'results': accuracies})
        return {protocol: values['top1'] for protocol, values in accuracies.items()}

    def detect(self, run: str) -> dict[str, float]:
        """Fine-tune torchvision's detector on the scenes; return AP, AP50, AP75 and seconds."""
        work_dir = self.out / run / 'detection'
        options = [*DETECTION, '--scenes-root', SCENES, '--seed', self.seed]
        init = self.checkpoint(run) or 'random'
        arguments = ['scenes', '--init', init, *options, '--work-dir', work_dir]
        command = self._say('transfer/torchvision/train.py', *arguments)
        fine_tune(parse_args('', command[2:]))  # what the command does, without its imports
        results = json.loads((work_dir / 'results.json').read_text())
        return results['mean']['bbox'] | {'seconds': results['trials'][0]['seconds']}

    def _say(self, script: str, *arguments: object) -> list[str]:
        command = [sys.executable, str(self.root / script), *map(str, arguments)]
        print('\n$ ' + ' '.join(command), flush=True)
        return command

    def _run(self, script: str, *arguments: object) -> None:
        status = subprocess.run(self._say(script, *arguments), cwd=self.root).returncode
        if status:
            sys.exit(status if status > 0 else 1)

    def run(self) -> dict:
        """Run all steps in the clone's folder and write the results.

        Returns:
            dict: The content of results.json.
        """
        lock_folder(self.out)
        os.chdir(self.root)  # the configs' data folder is relative to it
        runs: dict[str, dict] = {run: {} for run in (RUNS if self.images else NAMES)}
        results = {'note': NOTE, 'runs': runs}
        # The scenes need one core; the other one compiles the loops of the views meanwhile.
        compile_loops = 'from mmjoint.pixels.operations import prepare; prepare()'
        command = [sys.executable, '-c', compile_loops]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            Stages(self.stages(results)).run()
        return results

    def stages(self, results: dict) -> list[Stage]:
        """Return all that is to be done.

        Args:
            results (dict): With ``note`` and empty ``runs``; the stages fill it.

        Returns:
            list[Stage]: In order.
        """
        runs = results['runs']
        make: Callable[[], object]
        if self.images:
            name, make, done = 'small copies of the photos', self.copy_photos, self.copies.exists()
        else:
            name, done = f'the embedded data set, in {SCENES}', Path(SCENES).exists()
            make = partial(make_scenes, SCENES, NUM_IMAGES)
        stages = [Stage(name, SECONDS['images'], make, done)]
        for run in RUNS:
            title = f'pretraining, {NAMES[run]}'
            action = partial(self._pretrain_into, runs, run)
            seconds = SECONDS['pretrain'] * self.epochs / EPOCHS
            stages.append(Stage(title, seconds, action, self._finished(run)))
        if not self.images:
            action = partial(self._evaluate_into, runs)
            title = 'kNN and linear accuracy of frozen features'
            stages.append(Stage(title, SECONDS['evaluate'], action))
            for run in DETECTORS:
                title = f'fine-tuning a detector, {NAMES[run]}'
                done = (self.out / run / 'detection/results.json').is_file()
                action = partial(self._detect_into, runs, run)
                stages.append(Stage(title, SECONDS['detect'], action, done))
        stages.append(Stage('the report', SECONDS['report'], partial(self._write, results)))
        return stages

    def _finished(self, run: str) -> bool:
        """Whether an earlier start has pretrained it to the end."""
        if self.images and not self.copies.exists():
            return False
        return (self.out / run / f'epoch_{self.config(run).train_cfg.max_epochs}.pth').is_file()

    def _pretrain_into(self, runs: dict, run: str) -> None:
        runs[run] = self.pretrain(run)

    def _evaluate_into(self, runs: dict) -> None:
        for run, values in runs.items():
            values.update(self.evaluate(run))
            print(f'{NAMES[run]}: kNN {values["knn"]:.1f} %, linear {values["linear"]:.1f} %')

    def _detect_into(self, runs: dict, run: str) -> None:
        runs[run]['detection'] = self.detect(run)

    def _write(self, results: dict) -> None:
        cfg = self.config('baseline')
        dataset = cfg.train_dataloader.dataset
        folder = str(Path(dataset.data_root) / dataset.data_prefix)
        results.update(
            images=str(self.images or folder),
            num_images=len(ImageFolder(folder)),
            epochs=cfg.train_cfg.max_epochs,
            seed=self.seed,
            versions={'mmjoint': __version__, 'torch': torch.__version__},
        )
        write_results(self.out / 'results.json', results)
        self.report(results)

    def report(self, results: dict) -> None:
        """Write report.html, the page of tools/report.py.

        Args:
            results (dict): The results of ``run``.
        """
        runs = []
        for name in results['runs']:
            work_dir = self.out / name
            if name in RUNS:
                run = read_run(work_dir, NAMES[name])
                add_pairs(run, NUM_PICTURES)
            else:
                run = Run(
                    NAMES[name],
                    evaluation=json.loads((work_dir / 'evaluation.json').read_text()),
                    detection=[json.loads((work_dir / 'detection/results.json').read_text())],
                    predictions=work_dir / 'detection/predictions.png',
                )
            runs.append(run)
        facts = {
            'images': f'{results["images"]} ({results["num_images"]} used)',
            'model': 'SimCLR, ResNet-18, views of 32 x 32 pixels',
            'training': f'{results["epochs"]} epochs, seed {results["seed"]}',
        }
        if not self.images:
            facts['detection'] = (
                "torchvision's Faster R-CNN, fine-tuned on the scenes and tested on others by "
                "COCO's metric; white boxes are the annotated objects. So few iterations can show "
                'that pretraining helps, and not which of two pretrained backbones is better'
            )
        facts['versions'] = f'mmjoint {__version__}, torch {torch.__version__}'
        write_report(
            self.out / 'report.html',
            title='mmjoint quick start: SimCLR with and without JointCrop',
            note=NOTE,
            facts=facts,
            runs=runs,
        )
