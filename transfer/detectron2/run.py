"""Convert a backbone, fine-tune a detector on it with detectron2, evaluate it, write the table."""

import argparse
import hashlib
import json
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from mmjoint.checkpoints import convert
from mmjoint.detection import TASKS, data_root, format_table, make_results, write_results
from mmjoint.errors import one_line_errors

HERE = Path(__file__).resolve().parent
CONFIGS = {'voc': 'voc_r50_c4_24k', 'coco': 'coco_mask_r50_c4_1x'}
NO_FILE = ('random', 'torchvision')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('task', choices=TASKS, help='run_voc.sh and run_coco.sh give it')
    parser.add_argument(
        'checkpoint', help=f'any that transfer/convert.py reads, or {" or ".join(NO_FILE)}'
    )
    parser.add_argument('gpus', type=int, help='on this machine; 1 where there is none')
    parser.add_argument(
        '--init', metavar='INIT', help='a checkpoint, random or torchvision, instead of CKPT'
    )
    parser.add_argument(
        '--config', help=f'a file, or a name in configs/ (default: {" or ".join(CONFIGS.values())})'
    )
    parser.add_argument('--trials', type=int, default=1, help='fine-tunings (default: 1)')
    parser.add_argument('--seed', type=int, default=0, help='of the first trial (default: 0)')
    parser.add_argument('--voc-root', help='the VOCdevkit folder, with VOC2007 and VOC2012')
    parser.add_argument('--coco-root', help='the COCO folder, with annotations and train2017')
    parser.add_argument(
        '--work-dir', type=Path, help='default: work_dirs/detectron2/CONFIG/CKPT, by their names'
    )
    parser.add_argument(
        '--which',
        default='online',
        choices=('online', 'momentum'),
        help='the backbone trained by gradients or its moving average (default: online)',
    )
    parser.add_argument(
        '--trust', action='store_true', help='let the checkpoint run code, if it needs to'
    )
    parser.add_argument(
        '--opts',
        nargs='+',
        default=[],
        metavar='KEY VALUE',
        help="detectron2's settings to change, as SOLVER.MAX_ITER 100: no longer the recipe",
    )
    args = parser.parse_args()
    for name in ('gpus', 'trials'):
        if getattr(args, name) < 1:
            parser.error(f'{name} must be at least 1, got {getattr(args, name)}')
    return args


def find_config(task: str, name: str | None) -> Path:
    """Return the file of a config that is given by its name or as a file."""
    name = name or CONFIGS[task]
    if Path(name).is_file():
        return Path(name)
    if not (HERE / 'configs' / f'{name}.yaml').is_file():
        known = sorted(p.stem for p in (HERE / 'configs').glob(f'{task}_*.yaml'))
        raise FileNotFoundError(f'--config {name}: neither a file nor one of {", ".join(known)}')
    return HERE / 'configs' / f'{name}.yaml'


def describe_run(args: argparse.Namespace, config: Path, init: str) -> dict:
    """Say what tells one run from another: recipe, data and weights."""
    if init not in NO_FILE and not Path(init).is_file():
        raise FileNotFoundError(f'{init}: no such checkpoint file')
    root = args.voc_root if args.task == 'voc' else args.coco_root
    return dict(
        config=config.stem,
        opts=args.opts,
        data=str(data_root(args.task, root).resolve()),
        init=init if init in NO_FILE else _sha256(init),
        which=args.which,
    )


def _sha256(path: str) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def prepare_weights(init: str, work_dir: Path, which: str, trust: bool) -> tuple[str, dict | None]:
    """Convert what the fine-tuning starts from.

    Args:
        init (str): A checkpoint, ``'torchvision'`` (downloaded) or ``'random'``.
        work_dir (Path): Where the converted file goes.
        which (str): See ``mmjoint.checkpoints.convert``.
        trust (bool): See ``mmjoint.checkpoints.convert``.

    Returns:
        tuple[str, dict | None]: ``--weights`` of train_net.py, and where the weights came from.
    """
    if init == 'random':
        return init, None
    source = init
    if init == 'torchvision':
        import torch
        from torchvision.models import ResNet50_Weights

        source = work_dir / 'torchvision_resnet50.pth'
        work_dir.mkdir(parents=True, exist_ok=True)
        torch.save(ResNet50_Weights.IMAGENET1K_V1.get_state_dict(check_hash=True), source)
    converted = work_dir / 'backbone.pkl'
    provenance = convert(source, converted, 'detectron2', which, trust)
    print(
        f'{init}: ResNet-{provenance["depth"]}, {provenance["which"]} backbone, converted to '
        f'{converted}'
    )
    return str(converted), provenance


def guard_folder(work_dir: Path, run: dict) -> None:
    """Refuse to go on with a run in the folder of another one.

    Args:
        work_dir (Path): The folder, with its run.json if it holds a run.
        run (dict): What tells one run from another.

    Raises:
        ValueError: The folder holds another run.
    """
    path = work_dir / 'run.json'
    # Where no trial has started, an earlier command has failed and can be put right.
    started = path.is_file() and any(work_dir.glob('seed_*'))
    earlier = json.loads(path.read_text()) if started else run
    changed = [key for key in run if earlier.get(key) != run[key]]
    if changed:
        raise ValueError(
            f'{work_dir} holds a run with another {", ".join(changed)} '
            f'({", ".join(str(earlier.get(key)) for key in changed)}): give another --work-dir, or '
            'remove it'
        )


def run_trial(args: argparse.Namespace, config: Path, weights: str, seed: int) -> dict:
    """Fine-tune and evaluate once, or read the result of a trial that is done.

    Args:
        args (argparse.Namespace): Of the command line.
        config (Path): Of the detector.
        weights (str): As ``prepare_weights`` returns them.
        seed (int): Of the trial.

    Returns:
        dict: Its seed, metrics in percent, and seconds unless it was interrupted.
    """
    folder = args.work_dir / f'seed_{seed}'
    result = folder / 'result.json'
    if result.is_file():
        print(f'{folder}: done before')
        return json.loads(result.read_text())
    command = [sys.executable, str(HERE / 'train_net.py'), str(config), '--resume']
    command += ['--weights', weights, '--output-dir', str(folder)]
    command += ['--gpus', str(args.gpus), '--seed', str(seed)]
    for name in ('voc_root', 'coco_root'):
        if getattr(args, name):
            command += [f'--{name.replace("_", "-")}', getattr(args, name)]
    if args.opts:
        command += ['--opts', *args.opts]
    status = subprocess.run(command).returncode
    if status:
        # The trial has said why; a signal's negative number is what a shell makes of it.
        sys.exit(status if status > 0 else 128 - status)
    return json.loads(result.read_text())


def main() -> None:
    """Run all trials and write results.json."""
    args = parse_args()
    # An exception makes subprocess end the trial, which would go on alone otherwise.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with one_line_errors():
        if find_spec('detectron2') is None:
            raise OSError('detectron2 is not installed: transfer/README.md says how to build it')
        config = find_config(args.task, args.config)
        init = args.init or args.checkpoint
        if args.work_dir is None:
            name = (
                init
                if init in NO_FILE
                else f'{Path(init).absolute().parent.name}_{Path(init).stem}'
            )
            args.work_dir = Path('work_dirs/detectron2', config.stem, name)
        run = describe_run(args, config, init)
        guard_folder(args.work_dir, run)
        weights, provenance = prepare_weights(init, args.work_dir, args.which, args.trust)
        write_results(args.work_dir / 'run.json', run)
        trials = [
            run_trial(args, config, weights, args.seed + trial) for trial in range(args.trials)
        ]
        results = make_results('detectron2', args.task, config.stem, init, provenance, trials)
        results['opts'] = args.opts
        write_results(args.work_dir / 'results.json', results)
        print(f'\n{format_table([results])}\n')
        if args.opts:
            print(f'not the recipe: --opts {" ".join(args.opts)}')
        print(f'wrote {args.work_dir / "results.json"}')


if __name__ == '__main__':
    main()
