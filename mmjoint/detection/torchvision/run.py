"""Fine-tunes detectors with torchvision, from the command-line arguments to results.json."""

import argparse
import copy
import dataclasses
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torchvision.models import get_model_weights

from mmjoint.checkpoints import backbone_weights, convert
from mmjoint.utils.device import choose_device
from mmjoint.utils.errors import DEBUG_HELP, describe
from mmjoint.utils.files import write_output
from mmjoint.utils.guard import check_same_run, lock_folder
from mmjoint.utils.processes import end_with_launcher

from ..data import format_table, make_results, write_results
from ..metric import evaluate, write_predictions
from ..schedules import add_schedule_arguments, make_schedule
from ..sources import DataSets, add_arguments, read_data
from ..trials import add_trial_arguments, keep_best_detector
from .data import DetectionImages
from .engine import Machine, detect, precise_batch_norm, save_whole, train
from .models import DEPTHS, build_detector, load_backbone_weights
from .pictures import draw_predictions
from .recipes import RECIPES, Recipe


def parse_args(description: str, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line.

    Args:
        description (str): The first text of ``--help``.
        arguments (Sequence[str], optional): The arguments. Defaults to None, those of the program.

    Returns:
        argparse.Namespace: The arguments for ``fine_tune``.
    """
    parser = argparse.ArgumentParser(description=description, epilog=DEBUG_HELP)
    parser.add_argument('data', choices=['voc', 'coco', 'scenes'], help='the data set')
    parser.add_argument(
        '--init',
        required=True,
        metavar='CKPT',
        help="a checkpoint of a ResNet, 'random', or 'torchvision' (ImageNet labels, downloaded)",
    )
    parser.add_argument(
        '--which',
        choices=['online', 'momentum'],
        default='online',
        help='backbone of the checkpoint to use',
    )
    parser.add_argument('--trust', action='store_true', help='let the checkpoint run code')
    parser.add_argument(
        '--work-dir',
        type=Path,
        help='folder of results, logs and checkpoints; the same command continues where it ended',
    )
    parser.add_argument(
        '--small',
        action='store_true',
        help='small images and heads, few iterations: shows on a CPU that all works, is no result',
    )
    add_arguments(parser)
    parser.add_argument('--scenes-root', default='data/scenes', help='of tools/make_scenes.py')
    group = parser.add_argument_group('recipe')
    group.add_argument(
        '--depth',
        type=int,
        choices=DEPTHS,
        help="of the ResNet; a checkpoint must have it (default: the checkpoint's, or 50)",
    )
    group.add_argument(
        '--iterations', type=int, help='shortens or stretches the schedule, steps included'
    )
    group.add_argument(
        '--batch-size', type=int, help='images, over all processes; the learning rate goes with it'
    )
    group.add_argument('--lr', type=float, help='learning rate for that batch size')
    add_schedule_arguments(group)
    add_trial_arguments(group)
    group = parser.add_argument_group('machine')
    group.add_argument('--device', help='default: cuda if there is one, or else cpu')
    group.add_argument('--amp', action='store_true', help='mixed precision (bfloat16 on the CPU)')
    group.add_argument(
        '--workers', type=int, default=2, help='processes that load images (default: 2)'
    )
    group.add_argument('--checkpoint-interval', type=int, help='default: a 20th of the iterations')
    group.add_argument(
        '--pictures', type=int, default=8, help='test images in predictions.png (default: 8)'
    )
    args = parser.parse_args(arguments)
    for name in ('iterations', 'batch_size', 'trials', 'checkpoint_interval'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, got {value}')
    if args.eval_every < 0:
        parser.error(f'--eval-every must be at least 0, got {args.eval_every}')
    if args.data == 'scenes' and (args.small or args.schedule):
        option = '--small' if args.small else '--schedule'
        parser.error(f'{option} is for voc and coco; the scenes are small')
    if args.small and args.schedule:
        parser.error('--small and --schedule: give one')
    return args


def choose_recipe(
    args: argparse.Namespace, photos: int = 0, processes: int = 1
) -> tuple[str, Recipe]:
    """Return the recipe's name and the recipe with what the command line changes.

    Args:
        args (argparse.Namespace): Arguments from ``parse_args``.
        photos (int): Number of training photos, for ``--schedule``. Defaults to 0.
        processes (int): Number of processes that share a batch. Defaults to 1.
    """
    name = f'{args.data}-small' if args.small else args.data
    recipe = RECIPES[name]
    if args.schedule:
        name = f'{args.data}-{args.schedule}-schedule'
        recipe = recipe.scheduled(make_schedule(args.schedule, photos, processes, args.batch_size))
    changes = {}
    if args.iterations:
        share = args.iterations / recipe.iterations
        changes['iterations'] = args.iterations
        changes['steps'] = tuple(round(share * step) for step in recipe.steps)
        changes['warmup'] = min(recipe.warmup, args.iterations // 10)
        changes['precise_bn'] = min(recipe.precise_bn, args.iterations)
    if args.batch_size:
        changes['batch_size'] = args.batch_size
        changes['lr'] = recipe.lr * args.batch_size / recipe.batch_size
    if args.lr:
        changes['lr'] = args.lr
    if args.kind == 'bbox':
        changes['model'] = dataclasses.replace(recipe.model, masks=False)
    return name, dataclasses.replace(recipe, **changes)


def read_sets(args: argparse.Namespace) -> DataSets:
    """Read and check the training set and the test set."""
    if args.data == 'scenes':
        args.coco_root, args.kind = args.scenes_root, 'bbox'
        args.train_split, args.test_split = ['train'], 'val'
    return read_data(args, 'voc' if args.data == 'voc' else 'coco')


def connect(args: argparse.Namespace) -> Machine:
    """Choose the device and connect the processes that torchrun started."""
    end_with_launcher()
    world_size = int(os.environ.get('WORLD_SIZE', 1))
    rank = int(os.environ.get('RANK', 0))
    device = choose_device(args.device)
    if world_size > 1:
        dist.init_process_group('nccl' if device.type == 'cuda' else 'gloo')
    return Machine(device, args.amp, args.workers, rank, world_size)


def read_init(args: argparse.Namespace, machine: Machine) -> tuple[dict | None, dict]:
    """Return the initial weights, None for a random initialization, and their origin."""
    if args.init == 'random':
        return None, dict(depth=args.depth or 50, stem='7x7')
    source, depth = args.init, args.depth
    if args.init == 'torchvision':
        depth = depth or 50
        url = get_model_weights(f'resnet{depth}')['IMAGENET1K_V1'].url
        source = Path(torch.hub.get_dir(), 'checkpoints', Path(url).name)
        if machine.rank == 0:
            torch.hub.load_state_dict_from_url(url, map_location='cpu', check_hash=True)
    if machine.world_size > 1:
        dist.barrier()
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder, 'backbone.pth')
        provenance = convert(source, converted, 'torchvision', args.which, args.trust, depth)
        return backbone_weights(converted), provenance


def run_trial(
    args: argparse.Namespace,
    recipe: Recipe,
    seed: int,
    data: DataSets,
    init: tuple[dict | None, dict],
    machine: Machine,
) -> dict:
    """Train and test once.

    Args:
        args (argparse.Namespace): Arguments from ``parse_args``.
        recipe (Recipe): A recipe from ``choose_recipe``.
        seed (int): Seed of this trial.
        data (DataSets): The data from ``read_sets``.
        init (tuple[dict | None, dict]): The weights from ``read_init``.
        machine (Machine): The device and the processes.

    Returns:
        dict: Seed, metrics, AP of each class, seconds of training and settings; empty on all
        processes but the first.
    """
    weights, provenance = init
    folder = args.work_dir / f'seed_{seed}'
    done = folder / 'trial.json'
    settings = dict(
        data=args.data, recipe=json.loads(json.dumps(dataclasses.asdict(recipe))), seed=seed,
        init=provenance.get('sha256', args.init), depth=provenance['depth'], amp=args.amp,
        train_set=args.train_annotations or args.train_split,
        test_set=args.test_annotations or args.test_split,
        images=[len(part['images']) for part in (data.train, data.test)], classes=data.classes,
        processes=machine.world_size,
    )  # fmt: skip

    common = {name: value for name, value in settings.items() if name != 'seed'}
    for path in args.work_dir.glob('seed_*/trial.json'):
        check_same_run(args.work_dir, json.loads(path.read_text())['settings'], common)
    if done.is_file():
        if machine.rank == 0:
            (folder / 'last.pth').unlink(missing_ok=True)  # a kill may have left it
        return json.loads(done.read_text())
    masks = recipe.model.masks
    training = DetectionImages(data.train, recipe.short_sides, recipe.max_side, True, masks)
    test = DetectionImages(data.test, (recipe.test_short_side,), recipe.max_side, False)
    torch.manual_seed(seed)
    model = build_detector(
        provenance['depth'], len(data.classes), recipe.model, provenance['stem'] == '3x3'
    )
    if weights is not None:
        count = load_backbone_weights(model, weights, args.init)
        if machine.rank == 0:
            print(f'all {count} tensors of the backbone come from {args.init}')
    model.to(machine.device)
    if machine.world_size > 1 and machine.device.type == 'cuda':
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if machine.rank == 0:
        lock_folder(args.work_dir)
    interval = args.checkpoint_interval or max(1, recipe.iterations // 20)

    def find(trained: nn.Module) -> list[dict]:
        precise_batch_norm(trained, training, recipe, seed, machine)
        return detect(trained, test, machine, recipe.test_batch_size)

    def early_table(iteration: int) -> None:
        found = find(copy.deepcopy(model))
        if machine.rank == 0:
            _add_table(folder / 'tables.jsonl', iteration, evaluate(data.test, found, masks)[0])

    seconds = train(
        model, training, recipe, seed, folder, machine, interval, settings,
        args.eval_every, early_table,
    )  # fmt: skip
    found = find(model)
    if machine.rank:
        return {}
    write_predictions(folder / 'predictions.json', data.test, found)
    metrics, per_class = evaluate(data.test, found, masks)
    trial = dict(seed=seed, **metrics, per_class=per_class, seconds=seconds, settings=settings)
    save_whole(dict(model=model.state_dict(), settings=settings), folder / 'detector.pth')
    write_results(done, trial)
    (folder / 'last.pth').unlink()
    if args.pictures and seed == args.seed:
        _draw(args, data.test, found)
    return trial


def _add_table(path: Path, iteration: int, metrics: dict) -> None:
    """Print an early table and add it to those of earlier iterations, a line of JSON each."""
    text = path.read_text() if path.is_file() else ''
    lines = [line for line in text.splitlines() if json.loads(line)['iteration'] < iteration]
    lines.append(json.dumps(dict(iteration=iteration, **metrics)))
    write_output(path, '\n'.join(lines) + '\n')
    told = ', '.join(f'{kind} AP {values["AP"]:.1f}' for kind, values in metrics.items())
    print(f'iteration {iteration}: {told}', flush=True)


def _draw(args: argparse.Namespace, coco: dict, found: list[dict]) -> None:
    """Draw the detections; a failure does not affect the result."""
    path = args.work_dir / 'predictions.png'
    try:
        draw_predictions(coco, found, path, args.pictures)
    except Exception as error:
        print(f'no picture {path}: {describe(error)}')


def fine_tune(args: argparse.Namespace) -> None:
    """Run all trials, print the table, write results.json.

    Args:
        args (argparse.Namespace): Arguments from ``parse_args``.

    Raises:
        OSError, ValueError: Data, checkpoint or arguments have faults, which the message names.
    """
    data = read_sets(args)
    machine = connect(args)
    name, recipe = choose_recipe(args, len(data.train['images']), machine.world_size)
    kind = 'mask_rcnn' if recipe.model.masks else 'faster_rcnn'
    args.work_dir = args.work_dir or Path(f'work_dirs/torchvision_{name}/{Path(args.init).stem}')
    init = read_init(args, machine)
    if machine.rank == 0:
        print('\n'.join(data.lines))
    trials = []
    for seed in range(args.seed, args.seed + args.trials):
        if machine.rank == 0:
            print(f'{name}: {recipe.iterations} iterations of {recipe.batch_size}, seed {seed}')
        trials.append(run_trial(args, recipe, seed, data, init, machine))
        if machine.rank == 0 and not args.keep_detectors:
            keep_best_detector(args.work_dir, trials, 'detector.pth')
    if machine.rank == 0:
        results = make_results(
            'torchvision',
            'voc' if args.data == 'voc' else 'coco',
            f'{kind}_r{init[1]["depth"]}_fpn_{name}',
            args.init,
            None if args.init == 'random' else init[1],
            trials,
        )
        write_results(args.work_dir / 'results.json', results | dict(data=data.summary()))
        print(format_table([results]))
        print(f'wrote {args.work_dir}/results.json')
    if machine.world_size > 1:
        dist.destroy_process_group()
