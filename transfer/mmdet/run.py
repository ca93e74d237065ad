"""Converts a backbone, fine-tunes mmdet's detector on VOC or COCO and reports AP, AP50 and AP75.

run_voc.sh and run_coco.sh start it. Trials that are done are not run again; one that was
interrupted goes on.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
import torchvision

from mmjoint.checkpoints import convert
from mmjoint.detection import (
    check_coco,
    check_voc,
    data_root,
    format_table,
    make_results,
    write_results,
)
from mmjoint.errors import one_line_errors

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONFIGS = {'voc': 'faster-rcnn_r50-c4_24k_voc0712.py', 'coco': 'mask-rcnn_r50-c4_1x_coco.py'}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('task', choices=CONFIGS)
    parser.add_argument(
        'init',
        help='a checkpoint of ours or one that transfer/convert.py reads, torchvision (its '
        'supervised ImageNet weights), or random',
    )
    parser.add_argument('gpus', type=int, help='GPUs, or processes on a machine without')
    parser.add_argument('--which', default='online', choices=['online', 'momentum'])
    parser.add_argument(
        '--trust', action='store_true', help='unpickle the checkpoint unrestrictedly'
    )
    parser.add_argument('--config', type=Path, help='another recipe of transfer/mmdet/configs')
    parser.add_argument('--voc-root', help='the VOCdevkit folder')
    parser.add_argument('--coco-root', help='the COCO folder')
    parser.add_argument('--trials', type=int, default=1, help='seeds 0, 1, ... (default: 1)')
    parser.add_argument('--out', type=Path, help='default: work_dirs/transfer/mmdet_TASK_INIT')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE')
    args = parser.parse_args()
    for name, least in (('gpus', 1), ('trials', 1)):
        if getattr(args, name) < least:
            parser.error(f'{name} must be at least {least}, got {getattr(args, name)}')
    args.config = args.config or HERE / 'configs' / CONFIGS[args.task]
    args.out = args.out or Path(f'work_dirs/transfer/mmdet_{args.task}_{Path(args.init).stem}')
    return args


def convert_weights(args: argparse.Namespace) -> tuple[list[str], dict | None]:
    """Write the converted backbone; return the arguments that name it and where it came from."""
    if args.init == 'random':
        return [], None
    source = args.init
    if source == 'torchvision':
        source = args.out / 'torchvision_resnet50.pth'
        model = torchvision.models.resnet50(weights='IMAGENET1K_V1')
        torch.save(model.state_dict(), source)
    converted = args.out / 'backbone.pth'
    provenance = convert(source, converted, to='mmdet', which=args.which, trust=args.trust)
    return ['--weights', str(converted)], provenance


def keep_apart(args: argparse.Namespace, root: Path, provenance: dict | None) -> None:
    """Refuse to add trials to a folder that holds those of another setting."""
    settings = dict(
        config=args.config.read_text(),
        data=str(root.resolve()),
        gpus=args.gpus,
        options=args.cfg_options,
        weights=(provenance or {}).get('sha256', 'random'),
    )
    path = args.out / 'settings.json'
    if path.exists():
        earlier = json.loads(path.read_text())
        changed = [name for name, value in settings.items() if earlier.get(name) != value]
        if changed:
            raise ValueError(
                f'{args.out} holds trials with other {", ".join(changed)}: give another --out, or '
                'delete that folder'
            )
    write_results(path, settings)


def fine_tune(args: argparse.Namespace, root: Path, seed: int, weights: list[str]) -> dict:
    """Run one trial, or read what it gave; return its metrics."""
    work_dir = args.out / f'seed{seed}'
    result = work_dir / 'metrics.json'
    if not result.exists():
        command = [str(HERE / 'train.py'), str(args.config), '--data-root', str(root)]
        command += ['--work-dir', str(work_dir), '--seed', str(seed), *weights]
        if args.cfg_options:
            command += ['--cfg-options', *args.cfg_options]
        if args.gpus > 1:
            launcher = [str(ROOT / 'tools/launch.py'), f'--nproc_per_node={args.gpus}']
            launcher += [f'--master_port={os.environ.get("PORT", 29500)}']
            command = [*launcher, *command, '--launcher', 'pytorch']
        print('$ ' + ' '.join([sys.executable, *command]), flush=True)
        status = subprocess.run([sys.executable, *command]).returncode
        if status:
            sys.exit(status if status > 0 else 1)
    return json.loads(result.read_text())


def main() -> None:
    """Convert, run the trials, print the table and write results.json."""
    args = parse_args()
    with one_line_errors():
        if args.task == 'voc':
            root = data_root('voc', args.voc_root)
            check_voc(root)
        else:
            root = data_root('coco', args.coco_root)
            check_coco(root)
        args.out.mkdir(parents=True, exist_ok=True)
        weights, provenance = convert_weights(args)
        keep_apart(args, root, provenance)
        trials = [fine_tune(args, root, seed, weights) for seed in range(args.trials)]
        results = make_results('mmdet', args.task, str(args.config), args.init, provenance, trials)
        write_results(args.out / 'results.json', results)
        print('\n' + format_table([results]) + f'\n\nwrote {args.out / "results.json"}')


if __name__ == '__main__':
    main()
