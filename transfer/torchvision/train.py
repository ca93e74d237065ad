"""Fine-tune Faster or Mask R-CNN with FPN from a pretrained ResNet on VOC or COCO, and evaluate.

Needs no GPU and no compiler. run_voc.sh and run_coco.sh start it.
"""

import argparse
import dataclasses
import json
import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torchvision.models import get_model_weights

from mmjoint.checkpoints import backbone_weights, convert, read_provenance
from mmjoint.detection.data import (
    COCO_SPLITS,
    VOC_SPLITS,
    check_coco,
    check_voc,
    data_root,
    format_table,
    make_results,
    write_results,
)
from mmjoint.detection.torchvision.data import DetectionImages, read_coco, read_voc
from mmjoint.detection.torchvision.engine import (
    Machine,
    average_precision,
    check_settings,
    detect,
    precise_batch_norm,
    save_whole,
    train,
)
from mmjoint.detection.torchvision.models import DEPTHS, build_detector, load_backbone_weights
from mmjoint.detection.torchvision.pictures import draw_predictions
from mmjoint.detection.torchvision.recipes import RECIPES, Recipe
from mmjoint.utils.errors import DEBUG_HELP, one_line_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=DEBUG_HELP)
    parser.add_argument('data', choices=['voc', 'coco', 'scenes'], help='the data set')
    parser.add_argument(
        '--init',
        required=True,
        metavar='CKPT',
        help="a checkpoint of a ResNet, 'random', or 'torchvision' (ImageNet labels, downloaded)",
    )
    parser.add_argument(
        '--which', choices=['online', 'momentum'], default='online', help='of its two backbones'
    )
    parser.add_argument('--trust', action='store_true', help='let the checkpoint run code')
    parser.add_argument(
        '--work-dir',
        type=Path,
        help='folder of results, logs and checkpoints; the same command goes on where it ended',
    )
    parser.add_argument(
        '--small',
        action='store_true',
        help='small images and heads, few iterations: shows on a CPU that all works, is no result',
    )
    group = parser.add_argument_group('data')
    group.add_argument('--voc-root', help='the VOCdevkit folder (default: $DETECTRON2_DATASETS)')
    group.add_argument('--coco-root', help='default: $DETECTRON2_DATASETS/coco')
    group.add_argument('--scenes-root', default='data/scenes', help='of tools/make_scenes.py')
    group.add_argument('--train-split', nargs='+', help='such as VOC2007/trainval, train2017')
    group.add_argument('--test-split', help='such as VOC2007/test, val2017')
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
    group.add_argument('--lr', type=float, help='learning rate of that batch size')
    group.add_argument('--seed', type=int, default=0, help='of the first trial (default: 0)')
    group.add_argument('--trials', type=int, default=1, help='with seeds that follow each other')
    group = parser.add_argument_group('machine')
    group.add_argument('--device', help='default: cuda if there is one, or else cpu')
    group.add_argument('--amp', action='store_true', help='mixed precision (bfloat16 on the CPU)')
    group.add_argument('--workers', type=int, default=2, help='that load images (default: 2)')
    group.add_argument('--checkpoint-interval', type=int, help='default: a 20th of the iterations')
    group.add_argument(
        '--pictures', type=int, default=8, help='test images in predictions.png (default: 8)'
    )
    args = parser.parse_args()
    for name in ('iterations', 'batch_size', 'trials', 'checkpoint_interval'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, got {value}')
    if args.small and args.data == 'scenes':
        parser.error('--small is for voc and coco; the scenes are small')
    return args


def choose_recipe(args: argparse.Namespace) -> tuple[str, Recipe]:
    """Return the recipe's name and the recipe with what the command line changes."""
    name = f'{args.data}-small' if args.small else args.data
    recipe = RECIPES[name]
    changes = {}
    if args.iterations:
        share = args.iterations / recipe.iterations
        changes['iterations'] = args.iterations
        changes['steps'] = tuple(round(share * step) for step in recipe.steps)
        changes['warmup'] = min(recipe.warmup, args.iterations // 10)
    if args.batch_size:
        changes['batch_size'] = args.batch_size
        changes['lr'] = recipe.lr * args.batch_size / recipe.batch_size
    if args.lr:
        changes['lr'] = args.lr
    return name, dataclasses.replace(recipe, **changes)


def read_data(args: argparse.Namespace) -> tuple[dict, dict]:
    """Check that the files are there, and return training and test set in COCO's form."""
    published = {
        'voc': (VOC_SPLITS[:2], VOC_SPLITS[2]),
        'coco': (COCO_SPLITS[:1], COCO_SPLITS[1]),
        'scenes': (('train',), 'val'),
    }[args.data]
    args.train_split = list(args.train_split or published[0])
    args.test_split = args.test_split or published[1]
    splits = [*args.train_split, args.test_split]
    if args.data == 'voc':
        root = data_root('voc', args.voc_root)
        check_voc(root, splits)
        return read_voc(root, args.train_split), read_voc(root, [args.test_split])
    if len(args.train_split) > 1:
        raise ValueError(f'--train-split {" ".join(args.train_split)}: {args.data} takes one')
    root = args.scenes_root
    if args.data == 'coco':
        root = data_root('coco', args.coco_root)
        check_coco(root, splits)
    return read_coco(root, splits[0]), read_coco(root, splits[1])


def connect(args: argparse.Namespace) -> Machine:
    """Choose the device and connect the processes that torchrun started."""
    world_size = int(os.environ.get('WORLD_SIZE', 1))
    rank, local_rank = int(os.environ.get('RANK', 0)), int(os.environ.get('LOCAL_RANK', 0))
    device = torch.device(args.device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    if device.type == 'cuda':
        if not torch.cuda.is_available():
            raise ValueError(f'--device {device}: torch finds no GPU')
        if world_size > 1:
            device = torch.device('cuda', local_rank)
        torch.cuda.set_device(device)
    if world_size > 1:
        dist.init_process_group('nccl' if device.type == 'cuda' else 'gloo')
    return Machine(device, args.amp, args.workers, rank, world_size)


def read_init(args: argparse.Namespace, machine: Machine) -> tuple[dict | None, dict]:
    """Return the weights to start from, None for a random start, and where they came from."""
    if args.init == 'random':
        return None, dict(depth=args.depth or 50, stem='7x7')
    source, depth = args.init, args.depth
    if args.init == 'torchvision':
        depth = depth or 50
        url = get_model_weights(f'resnet{depth}')['IMAGENET1K_V1'].url
        source = Path(torch.hub.get_dir(), 'checkpoints', Path(url).name)
        if machine.rank == 0:
            torch.hub.load_state_dict_from_url(url, map_location='cpu', check_hash=True)
    converted = args.work_dir / 'backbone.pth'
    if machine.rank == 0:
        convert(source, converted, 'torchvision', args.which, args.trust, depth)
    if machine.world_size > 1:
        dist.barrier()
    return backbone_weights(converted), read_provenance(converted)


def run_trial(
    args: argparse.Namespace,
    recipe: Recipe,
    seed: int,
    coco: tuple[dict, dict],
    init: tuple[dict | None, dict],
    machine: Machine,
) -> dict:
    """Train and test once; return seed, metrics, seconds of training and settings."""
    weights, provenance = init
    folder = args.work_dir / f'seed_{seed}'
    done = folder / 'trial.json'
    settings = dict(
        data=args.data, recipe=json.loads(json.dumps(dataclasses.asdict(recipe))), seed=seed,
        init=provenance.get('sha256', args.init), depth=provenance['depth'], amp=args.amp,
        train_split=args.train_split, test_split=args.test_split,
        images=[len(part['images']) for part in coco], processes=machine.world_size,
    )  # fmt: skip

    if done.is_file():
        trial = json.loads(done.read_text())
        check_settings(trial['settings'], settings, done)
        return trial
    masks = recipe.model.masks
    training = DetectionImages(coco[0], recipe.short_sides, recipe.max_side, True, masks)
    test = DetectionImages(coco[1], (recipe.test_short_side,), recipe.max_side, False)
    torch.manual_seed(seed)
    model = build_detector(
        provenance['depth'], len(coco[0]['categories']), recipe.model, provenance['stem'] == '3x3'
    )
    if weights is not None:
        count = load_backbone_weights(model, weights, args.init)
        if machine.rank == 0:
            print(f'all {count} tensors of the backbone come from {args.init}')
    model.to(machine.device)
    if machine.world_size > 1 and machine.device.type == 'cuda':
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    interval = args.checkpoint_interval or max(1, recipe.iterations // 20)
    seconds = train(model, training, recipe, seed, folder, machine, interval, settings)
    precise_batch_norm(model, training, recipe, seed, machine)
    found = detect(model, test, machine, recipe.test_batch_size)
    if machine.rank:
        return {}
    trial = dict(
        seed=seed,
        **average_precision(coco[1], found, masks),
        seconds=seconds,
        settings=settings,
    )
    save_whole(dict(model=model.state_dict(), settings=settings), folder / 'detector.pth')
    if args.pictures and seed == args.seed:
        draw_predictions(coco[1], found, args.work_dir / 'predictions.png', args.pictures)
    write_results(done, trial)
    (folder / 'last.pth').unlink()
    return trial


def main() -> None:
    """Run all trials, print the table, write results.json."""
    args = parse_args()
    name, recipe = choose_recipe(args)
    kind = 'mask_rcnn' if recipe.model.masks else 'faster_rcnn'
    coco = read_data(args)
    machine = connect(args)
    args.work_dir = args.work_dir or Path(f'work_dirs/torchvision_{name}/{Path(args.init).stem}')
    init = read_init(args, machine)
    trials = []
    for seed in range(args.seed, args.seed + args.trials):
        if machine.rank == 0:
            print(f'{name}: {recipe.iterations} iterations of {recipe.batch_size}, seed {seed}')
        trials.append(run_trial(args, recipe, seed, coco, init, machine))
    if machine.rank == 0:
        results = make_results(
            'torchvision',
            'voc' if args.data == 'voc' else 'coco',
            f'{kind}_r{init[1]["depth"]}_fpn_{name}',
            args.init,
            None if args.init == 'random' else init[1],
            trials,
        )
        write_results(args.work_dir / 'results.json', results)
        print(format_table([results]))
        print(f'wrote {args.work_dir}/results.json')
    if machine.world_size > 1:
        dist.destroy_process_group()


if __name__ == '__main__':
    with one_line_errors():
        main()
