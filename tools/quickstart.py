"""Pretrain SimCLR with and without JointCrop on generated scenes, evaluate both, write a report.

All that it runs is what README shows: tools/train.py on two configs, kNN and linear accuracy. A
start after an interruption goes on where the last one ended.
"""

import json
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmjoint import __version__
from mmjoint.datasets import ImageFolder, make_scenes
from mmjoint.errors import one_line_errors
from mmjoint.evaluation import knn_accuracy, labelled_features, linear_accuracy
from mmjoint.visualization import draw_pair, read_scalars, sample_pairs, write_report

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs/simclr'
RUNS = {
    'baseline': CONFIGS / 'simclr_resnet18_1xb64-coslr-10e_scenes.py',
    'jointcrop0': CONFIGS / 'simclr_resnet18_jointcrop0-1xb64-coslr-10e_scenes.py',
}
NAMES = {
    'random': 'random initialisation',
    'baseline': 'baseline (beta None)',
    'jointcrop0': 'JointCrop(0)',
}
NUM_IMAGES = 4000
NUM_PICTURES = 6
NOTE = (
    'This shows that everything works from end to end. One seed on a small data set is no evidence '
    'for either run: what separates them may well be noise. The gains of the paper '
    '(arXiv 2412.16522: 0.2 to 2.7 points on ImageNet-1K) are its own claim, at its own scale.'
)


def parse_args() -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--images', metavar='FOLDER', type=Path, help='pretrain on the photos below this folder'
    )
    parser.add_argument('--epochs', type=int, default=6, help='of each run (default: 6)')
    parser.add_argument('--seed', type=int, default=0, help='of both runs (default: 0)')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/quickstart'),
        help='folder of the results (default: work_dirs/quickstart)',
    )
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error(f'--epochs must be at least 1, got {args.epochs}')
    return args


def make_config(run: str, args: Namespace) -> Config:
    """Read a run's config and set what the command line asks for."""
    cfg = Config.fromfile(RUNS[run])
    epochs = args.epochs
    if args.images:
        num = len(ImageFolder(str(args.images)))
        dataset = cfg.train_dataloader.dataset
        dataset.update(data_root=str(args.images.resolve()), data_prefix='', with_label=False)
        if num > NUM_IMAGES:
            dataset.indices = [i * num // NUM_IMAGES for i in range(NUM_IMAGES)]
            num = NUM_IMAGES
        cfg.train_dataloader.batch_size = min(cfg.train_dataloader.batch_size, num)
        epochs = round(epochs * NUM_IMAGES / num)  # as many images as on the scenes
    cfg.train_cfg.max_epochs = epochs
    cfg.default_hooks.checkpoint.interval = max(1, epochs // args.epochs)
    cfg.param_scheduler[0].update(T_max=epochs, end=epochs)
    cfg.randomness = dict(seed=args.seed)
    return cfg


def save_config(cfg: Config, path: Path) -> None:
    """Write the config that tools/train.py reads; refuse to go on with a run of another one."""
    text = cfg.pretty_text
    if path.exists() and Config.fromfile(path).pretty_text != text:
        raise ValueError(
            f'{path.parent} holds a run with other settings ({path.name}): give another --out, or '
            'delete that folder'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def pretrain(path: Path, work_dir: Path) -> dict[str, float]:
    """Run tools/train.py, going on from an earlier start; return what its log says in the end."""
    command = [sys.executable, str(ROOT / 'tools/train.py'), str(path)]
    command += ['--work-dir', str(work_dir), '--resume']
    print('\n$ ' + ' '.join(command), flush=True)
    status = subprocess.run(command, cwd=ROOT).returncode
    if status:
        sys.exit(status if status > 0 else 1)
    steps, losses = read_scalars(work_dir)
    _, times = read_scalars(work_dir, 'time')
    return {
        'iterations': steps[-1],
        'first_loss': losses[0],
        'last_loss': losses[-1],
        'seconds': steps[-1] * sum(times) / len(times),
    }


def evaluate(cfg: Config, checkpoint: Path | None) -> dict[str, float]:
    """Return kNN and linear accuracy, percent, of a checkpoint's backbone or a random one."""
    train, test = labelled_features(cfg, checkpoint)
    return {
        'knn': knn_accuracy(*train, *test)['top1'],
        'linear': linear_accuracy(*train, *test)['top1'],
    }


def write_results(out: Path, results: dict, cfgs: dict[str, Config]) -> None:
    """Write results.json and report.html."""
    partial = out / 'results.json.partial'
    partial.write_text(json.dumps(results, indent=2) + '\n')
    os.replace(partial, out / 'results.json')

    table = []
    for run, values in results['runs'].items():
        row = {'run': NAMES[run]}
        if 'knn' in values:
            row['kNN top-1'] = f'{values["knn"]:.1f} %'
            row['linear top-1'] = f'{values["linear"]:.1f} %'
        row['last loss'] = f'{values["last_loss"]:.3f}' if 'last_loss' in values else ''
        row['training time'] = f'{values["seconds"]:.0f} s' if 'seconds' in values else ''
        table.append(row)
    num = len(ImageFolder(results['images']))
    indices = [i * num // NUM_PICTURES for i in range(NUM_PICTURES)]
    write_report(
        out / 'report.html',
        title='mmjoint quick start: SimCLR with and without JointCrop',
        note=NOTE,
        facts={
            'images': f'{results["images"]} ({results["num_images"]} used)',
            'model': 'SimCLR, ResNet-18, views of 64 x 64 pixels',
            'training': f'{results["epochs"]} epochs, seed {results["seed"]}',
            'versions': f'mmjoint {__version__}, torch {torch.__version__}',
        },
        losses={NAMES[run]: read_scalars(out / run) for run in RUNS},
        table=table,
        pairs={
            NAMES[run]: [draw_pair(*pair) for pair in sample_pairs(cfgs[run], indices)]
            for run in RUNS
        },
    )


def main() -> None:
    """Run it all."""
    args = parse_args()
    args.out = args.out.resolve()
    MMLogger.get_instance('mmjoint', log_level='WARNING')
    if args.images:
        args.images = args.images.resolve()
    os.chdir(ROOT)  # the configs' data folder is relative to it
    if not args.images:
        print('making the embedded data set in data/scenes', flush=True)
        make_scenes('data/scenes')
    cfgs = {run: make_config(run, args) for run in RUNS}
    dataset = cfgs['baseline'].train_dataloader.dataset
    results = {
        'note': NOTE,
        'images': str(Path(dataset.data_root) / dataset.data_prefix),
        'epochs': cfgs['baseline'].train_cfg.max_epochs,
        'seed': args.seed,
        'versions': {'mmjoint': __version__, 'torch': torch.__version__},
        'runs': {run: {} for run in NAMES},
    }
    num = len(ImageFolder(results['images']))
    results['num_images'] = len(dataset.get('indices') or range(num))

    for run, cfg in cfgs.items():
        path = args.out / f'{run}.py'
        save_config(cfg, path)
        results['runs'][run] = pretrain(path, args.out / run)
    if args.images:
        del results['runs']['random']
        print('\nno labels, so no accuracies: see tools/knn.py for a labelled data set')
    else:
        print('\nevaluating: kNN and linear accuracy of frozen features', flush=True)
        for run, values in results['runs'].items():
            checkpoint = args.out / run / f'epoch_{args.epochs}.pth' if run in RUNS else None
            values.update(evaluate(cfgs.get(run, cfgs['baseline']), checkpoint))
            print(f'{NAMES[run]}: kNN {values["knn"]:.1f} %, linear {values["linear"]:.1f} %')
    write_results(args.out, results, cfgs)
    print(f'\n{NOTE}\n\nwrote {args.out}/report.html and {args.out}/results.json')


if __name__ == '__main__':
    with one_line_errors():
        main()
