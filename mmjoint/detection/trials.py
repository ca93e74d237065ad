"""Fine-tunes a detector several times from one backbone, for engines with a run.py.

It converts a checkpoint, starts an engine's training program once per seed and combines the trials.
A finished trial is not run again, a killed one continues, and a folder holds one run only.
"""

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..checkpoints import convert, file_sha256
from ..utils.guard import check_same_run, lock_folder, unlock_folder
from ..utils.processes import end_with_parent
from .data import TASKS, format_table, make_results, write_results
from .schedules import add_schedule_arguments, make_schedule
from .sources import add_arguments, identity, read_data

# What a run may start from instead of a checkpoint.
NO_FILE = ('random', 'torchvision')


@dataclass(frozen=True)
class Engine:
    """The properties in which the scripts of the engines differ.

    Args:
        name (str): ``'detectron2'`` or ``'mmdet'``, also the format to convert to.
        folder (Path): Folder of the engine in ``transfer/``; its ``configs`` holds the recipes.
        suffix (str): Suffix of a recipe's file.
        configs (dict[str, str]): Maps each task to the name of its usual recipe.
        weights (str): Name of the converted file.
        checkpoints (str): Pattern of the names of the checkpoints of a trial.
        options (str): Flag for the engine's own settings.
        options_help (str): Help text of that flag.
        command (Callable): Returns the command that trains, tests and writes ``result.json`` into
            the trial's folder (seed, bbox and segm as in ``mmjoint.detection.data.summarise``, and
            ``per_class``). Its arguments are the parsed arguments (with ``plan``, the
            schedule or None for the recipe's, and ``eval_every``), the recipe's file, the folder of
            ``train.npz`` and ``test.npz`` (see ``DataSets.write``), the converted file (None for
            a random initialization), the trial's folder and its seed.
    """

    name: str
    folder: Path
    suffix: str
    configs: dict[str, str]
    weights: str
    checkpoints: str
    options: str
    options_help: str
    command: Callable[[argparse.Namespace, Path, Path, Path | None, Path, int], list[str]]


def parse_args(engine: Engine, description: str) -> argparse.Namespace:
    """Parse the command line of an engine's script.

    Args:
        engine (Engine): The engine.
        description (str): The first text of ``--help``.

    Returns:
        argparse.Namespace: ``task, checkpoint, gpus, init, config, trials, seed, work_dir, which,
            trust, options``, and the arguments of ``mmjoint.detection.sources``.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('task', choices=TASKS, help='run_voc.sh and run_coco.sh give it')
    parser.add_argument(
        'checkpoint', help=f'any that transfer/convert.py reads, or {" or ".join(NO_FILE)}'
    )
    parser.add_argument('gpus', type=int, help='GPUs of this machine; 1 if it has none')
    parser.add_argument(
        '--init', metavar='INIT', help='a checkpoint, random or torchvision, instead of CKPT'
    )
    parser.add_argument(
        '--config',
        help='a file, or the name of one in configs/ (default: '
        f'{" or ".join(engine.configs.values())})',
    )
    add_trial_arguments(parser)
    add_schedule_arguments(parser)
    parser.add_argument(
        '--work-dir',
        type=Path,
        help=f'default: work_dirs/{engine.name}/CONFIG/CKPT, by their names',
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
        engine.options, dest='options', nargs='+', default=[], help=engine.options_help
    )
    add_arguments(parser)
    args = parser.parse_args()
    for name in ('gpus', 'trials'):
        if getattr(args, name) < 1:
            parser.error(f'{name} must be at least 1, got {getattr(args, name)}')
    if args.eval_every < 0:
        parser.error(f'--eval-every must be at least 0, got {args.eval_every}')
    args.init = args.init or args.checkpoint
    return args


def add_trial_arguments(parser: argparse._ActionsContainer) -> None:
    """Add the arguments that say how often a detector is fine-tuned."""
    parser.add_argument('--seed', type=int, default=0, help='seed of the first trial (default: 0)')
    parser.add_argument(
        '--trials', type=int, default=1, help='fine-tunings, with seeds that follow (default: 1)'
    )
    parser.add_argument(
        '--keep-detectors',
        action='store_true',
        help='keep the weights of every trial (default: those of the best)',
    )


def keep_best_detector(work_dir: Path, trials: Sequence[dict], pattern: str) -> None:
    """Remove the weights of all trials but the best; what they found and their tables stay.

    Args:
        work_dir (Path): With a folder ``seed_N`` for each trial.
        trials (Sequence[dict]): With ``seed``, and AP under ``segm`` or else ``bbox``.
        pattern (str): Of the files with weights in a trial's folder.
    """

    def precision(trial: dict) -> float:
        value = trial.get('segm', trial['bbox'])['AP']
        return -1.0 if value is None else value

    best = max(trials, key=precision)
    for trial in trials:
        if trial is not best:
            for path in Path(work_dir, f'seed_{trial["seed"]}').glob(pattern):
                path.unlink()


def run(engine: Engine, args: argparse.Namespace) -> None:
    """Convert, run all trials, print the table's row and write results.json.

    Args:
        engine (Engine): The engine.
        args (argparse.Namespace): Arguments from ``parse_args``.

    Raises:
        OSError, ValueError: A file of the data, the recipe or the checkpoint is missing or does not
            fit, or the work directory holds another run.
    """
    # An exception makes subprocess end the trial, which would otherwise run on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    config = find_config(engine, args.task, args.config)
    data = read_data(args, args.task)
    if args.work_dir is None:
        path = Path(args.init)
        name = args.init if args.init in NO_FILE else f'{path.absolute().parent.name}_{path.stem}'
        args.work_dir = Path('work_dirs', engine.name, config.stem, name)
    args.plan = None
    if args.schedule:
        args.plan = make_schedule(args.schedule, len(data.train['images']), args.gpus)
    settings = dict(
        config=config.stem,
        schedule=args.schedule,
        options=args.options,
        **identity(args),
        init=args.init if args.init in NO_FILE else _sha256(args.init),
        which=args.which,
    )
    trials = []
    with _folder_of_run(args.work_dir, settings, ('run.json', 'data', engine.weights)):
        weights, provenance = _convert_weights(engine, args)
        write_results(args.work_dir / 'run.json', settings)
        print('\n'.join((*data.lines, *([str(args.plan)] if args.plan else ()))), flush=True)
        data.write(args.work_dir / 'data')
        for seed in range(args.seed, args.seed + args.trials):
            folder = args.work_dir / f'seed_{seed}'
            command = engine.command(args, config, args.work_dir / 'data', weights, folder, seed)
            trials.append(run_trial(folder, command))
            if not args.keep_detectors:
                keep_best_detector(args.work_dir, trials, engine.checkpoints)
    name = f'{config.stem}-{args.schedule}-schedule' if args.schedule else config.stem
    results = make_results(engine.name, args.task, name, args.init, provenance, trials)
    plan = asdict(args.plan) if args.plan else None
    results |= dict(schedule=plan, options=args.options, data=data.summary())
    write_results(args.work_dir / 'results.json', results)
    print(f'\n{format_table([results])}\n')
    if args.options:
        print(f'not the recipe: {engine.options} {" ".join(args.options)}')
    print(f'wrote {args.work_dir / "results.json"}')


def find_config(engine: Engine, task: str, name: str | None) -> Path:
    """Return the file of a recipe that is given by name or as a file.

    Args:
        engine (Engine): The engine.
        task (str): ``'voc'`` or ``'coco'``.
        name (str, optional): The name or file. Defaults to None, the task's usual recipe.

    Returns:
        Path: The file.

    Raises:
        FileNotFoundError: There is neither such a file nor such a recipe.
    """
    name = name or engine.configs[task]
    if Path(name).is_file():
        return Path(name)
    folder = engine.folder / 'configs'
    if not (folder / f'{name}{engine.suffix}').is_file():
        known = sorted(path.stem for path in folder.glob(f'*{task}*{engine.suffix}'))
        raise FileNotFoundError(f'--config {name}: neither a file nor one of {", ".join(known)}')
    return folder / f'{name}{engine.suffix}'


def _sha256(path: str) -> str:
    try:
        return file_sha256(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path}: no such checkpoint file') from error


def guard_folder(work_dir: Path, settings: dict) -> None:
    """Refuse to continue a run in the folder of another run.

    Args:
        work_dir (Path): The folder, with a run.json if it holds a run.
        settings (dict): The settings that identify a run.

    Raises:
        ValueError: The folder holds another run.
    """
    path = work_dir / 'run.json'
    # If no trial has started, an earlier command has failed and may be corrected.
    started = path.is_file() and any(work_dir.glob('seed_*'))
    if started:
        check_same_run(work_dir, json.loads(path.read_text()), settings)


@contextlib.contextmanager
def _folder_of_run(work_dir: Path, settings: dict, names: Sequence[str]) -> Iterator[None]:
    """Lock a folder; a run that fails before any trial has begun leaves nothing there.

    Args:
        work_dir (Path): The folder.
        settings (dict): What tells one run from another.
        names (Sequence[str]): Of the files and folders that the run makes before its trials.

    Raises:
        ValueError: See ``lock_folder`` and ``guard_folder``.
    """
    lock_folder(work_dir)
    try:
        guard_folder(work_dir, settings)
        yield
    except BaseException:
        if not any(work_dir.glob('seed_*')):
            for name in names:
                path = work_dir / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            unlock_folder(work_dir, remove=True)
        raise


def _convert_weights(engine: Engine, args: argparse.Namespace) -> tuple[Path | None, dict | None]:
    """Convert the weights to start from; return the file and the origin of the weights."""
    if args.init == 'random':
        return None, None
    source = args.init
    if source == 'torchvision':
        import torch
        from torchvision.models import ResNet50_Weights

        weights = ResNet50_Weights.IMAGENET1K_V1
        torch.hub.load_state_dict_from_url(weights.url, map_location='cpu', check_hash=True)
        source = Path(torch.hub.get_dir(), 'checkpoints', Path(weights.url).name)
    converted = args.work_dir / engine.weights
    provenance = convert(source, converted, engine.name, args.which, args.trust)
    print(
        f'{args.init}: ResNet-{provenance["depth"]}, {provenance["which"]} backbone, converted to '
        f'{converted}'
    )
    return converted, provenance


def run_trial(folder: Path, command: Sequence[str]) -> dict:
    """Fine-tune and evaluate once, or read the result of a finished trial.

    Args:
        folder (Path): Folder of the trial, which is finished if it contains result.json.
        command (Sequence[str]): The command that trains, tests and writes that file. If it fails,
            this program ends with its status.

    Returns:
        dict: The content of result.json.
    """
    result = folder / 'result.json'
    if result.is_file():
        print(f'{folder}: done before')
        return json.loads(result.read_text())
    # SIGKILL ends a program before it can end others, hence the kernel's word.
    status = subprocess.run(command, preexec_fn=end_with_parent).returncode
    if status:
        # The trial has reported the error; a signal's negative number becomes the shell's status.
        sys.exit(status if status > 0 else 128 - status)
    return json.loads(result.read_text())
