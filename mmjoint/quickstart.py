"""The quick start: pretrains with and without JointCrop, and evaluates the backbones.

Each step is a command or function that README shows, with settings for which two CPU cores need
minutes. A start after an interruption continues where the last one ended.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config

from .datasets import ImageFolder, make_scenes
from .detection.data import write_results
from .engine import read_config, save_config
from .evaluation import evaluate_protocols, labelled_features, provenance, write_evaluation
from .utils.guard import lock_folder
from .version import __version__
from .visualization import Run, add_pairs, read_run, read_scalars, write_report

RUNS = {
    'baseline': 'simclr_resnet18_1xb64-coslr-10e_scenes.py',
    'jointcrop0': 'simclr_resnet18_jointcrop0-1xb64-coslr-10e_scenes.py',
}
NAMES = {
    'random': 'random initialization',
    'baseline': 'baseline (beta None)',
    'jointcrop0': 'JointCrop(0)',
}
SCENES = 'data/scenes'
NUM_IMAGES = 4000
NUM_PICTURES = 6
NOTE = (
    'This shows that everything works from end to end. One seed on a small data set is no evidence '
    'for either run: the difference may well be noise. The gains of the paper '
    '(arXiv 2412.16522: 0.2 to 2.7 points on ImageNet-1K) are its own claim, at its own scale.'
)


@dataclass(frozen=True)
class QuickStart:
    """The runs and steps of the quick start.

    Args:
        root (Path): The clone, with ``configs``, ``tools`` and ``transfer``.
        out (Path): Folder of the results: one folder per run, ``results.json`` and
            ``report.html``.
        images (Path, optional): Folder of photos to pretrain on. Without labels nothing can be
            evaluated. Defaults to None, the embedded scenes.
        epochs (int): Number of epochs of each run. Defaults to 6.
        seed (int): Seed of every step. Defaults to 0.
    """

    root: Path
    out: Path
    images: Path | None = None
    epochs: int = 6
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
            num = len(ImageFolder(str(self.images)))
            dataset = cfg.train_dataloader.dataset
            dataset.update(data_root=str(self.images), data_prefix='', with_label=False)
            if num > NUM_IMAGES:
                dataset.indices = [i * num // NUM_IMAGES for i in range(NUM_IMAGES)]
                num = NUM_IMAGES
            cfg.train_dataloader.batch_size = min(cfg.train_dataloader.batch_size, num)
            epochs = round(epochs * NUM_IMAGES / num)  # as many images as on the scenes
        cfg.train_cfg.max_epochs = epochs
        cfg.default_hooks.checkpoint.interval = max(1, epochs // self.epochs)
        cfg.param_scheduler[0].update(T_max=epochs, end=epochs)
        cfg.randomness = dict(seed=self.seed)
        return cfg

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
        options = ['--depth', 18, '--scenes-root', SCENES, '--seed', self.seed, '--workers', 0]
        init = self.checkpoint(run) or 'random'
        script = 'transfer/torchvision/train.py'
        self._run(script, 'scenes', '--init', init, *options, '--work-dir', work_dir)
        results = json.loads((work_dir / 'results.json').read_text())
        return results['mean']['bbox'] | {'seconds': results['trials'][0]['seconds']}

    def _run(self, script: str, *arguments: object) -> None:
        command = [sys.executable, str(self.root / script), *map(str, arguments)]
        print('\n$ ' + ' '.join(command), flush=True)
        status = subprocess.run(command, cwd=self.root).returncode
        if status:
            sys.exit(status if status > 0 else 1)

    def run(self) -> dict:
        """Run all steps in the clone's folder and write the results.

        Returns:
            dict: The content of results.json.
        """
        lock_folder(self.out)
        os.chdir(self.root)  # the configs' data folder is relative to it
        if not self.images:
            print(f'making the embedded data set in {SCENES}', flush=True)
            make_scenes(SCENES)
        cfg = self.config('baseline')
        dataset = cfg.train_dataloader.dataset
        images = str(Path(dataset.data_root) / dataset.data_prefix)
        results = {
            'note': NOTE,
            'images': images,
            'num_images': len(dataset.get('indices') or range(len(ImageFolder(images)))),
            'epochs': cfg.train_cfg.max_epochs,
            'seed': self.seed,
            'versions': {'mmjoint': __version__, 'torch': torch.__version__},
            'runs': {run: {} for run in (RUNS if self.images else NAMES)},
        }
        for run in RUNS:
            results['runs'][run] = self.pretrain(run)
        if self.images:
            print('\nno labels, so no accuracies: see tools/knn.py for a labeled data set')
        else:
            print('\nevaluating: kNN and linear accuracy of frozen features', flush=True)
            for run, values in results['runs'].items():
                values.update(self.evaluate(run))
                print(f'{NAMES[run]}: kNN {values["knn"]:.1f} %, linear {values["linear"]:.1f} %')
            for run, values in results['runs'].items():
                values['detection'] = self.detect(run)
        write_results(self.out / 'results.json', results)
        self.report(results)
        return results

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
            'model': 'SimCLR, ResNet-18, views of 64 x 64 pixels',
            'training': f'{results["epochs"]} epochs, seed {results["seed"]}',
        }
        if not self.images:
            facts['detection'] = (
                "torchvision's Faster R-CNN, fine-tuned on the scenes and tested on others by "
                "COCO's metric; white boxes are the annotated objects"
            )
        facts['versions'] = f'mmjoint {__version__}, torch {torch.__version__}'
        write_report(
            self.out / 'report.html',
            title='mmjoint quick start: SimCLR with and without JointCrop',
            note=NOTE,
            facts=facts,
            runs=runs,
        )
