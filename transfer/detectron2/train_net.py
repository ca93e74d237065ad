"""Fine-tunes and evaluates a detector with detectron2: one trial of run_voc.sh or run_coco.sh."""

import argparse
import logging
import re
import time
from functools import partial
from pathlib import Path

import torch
from backbone_check import check_fits, check_loaded, read_weights
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import DefaultTrainer, HookBase, default_setup, hooks, launch
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.layers import get_norm
from detectron2.modeling import build_model
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, Res5ROIHeads
from detectron2.structures import BoxMode
from detectron2.utils import comm
from pycocotools import mask as rle
from torch import nn

from mmjoint.checkpoints import CheckpointError, read_checkpoint
from mmjoint.detection.data import write_results
from mmjoint.detection.metric import evaluate, evaluate_voc, write_predictions
from mmjoint.detection.sources import read_written
from mmjoint.utils.errors import one_line_errors
from mmjoint.utils.guard import lock_folder

RESULT_FILE = 'result.json'
# Settings that other arguments determine; two places for one setting could disagree.
_RESERVED = {
    'MODEL.WEIGHTS': '--weights',
    'OUTPUT_DIR': '--output-dir',
    'SEED': '--seed',
    'DATASETS.TRAIN': '--train-split or --train-annotations',
    'DATASETS.TEST': '--test-split or --test-annotations',
    'MODEL.MASK_ON': '--task',
    'MODEL.ROI_HEADS.NUM_CLASSES': '--classes',
}


@ROI_HEADS_REGISTRY.register()
class Res5ROIHeadsExtraNorm(Res5ROIHeads):
    """detectron2's C4 head with a norm after res5, as in MoCo's detection recipe.

    A pretrained res5 ends in a ReLU whose scale the detector's new layers do not know; the norm
    (``MODEL.RESNETS.NORM``, newly initialized, not from the checkpoint) permits fine-tuning C4 with
    the usual learning rates.
    """

    @classmethod
    def _build_res5_block(cls, cfg: CfgNode) -> tuple[nn.Sequential, int]:
        res5, channels = super()._build_res5_block(cfg)
        res5.add_module('norm', get_norm(cfg.MODEL.RESNETS.NORM, channels))
        return res5, channels


class LastCheckpoint(hooks.PeriodicCheckpointer):
    """Saves as detectron2 does, and then removes the earlier checkpoints of the folder."""

    def step(self, iteration: int, **kwargs: object) -> None:
        """Save in time."""
        super().step(iteration, **kwargs)
        if (iteration + 1) % self.period == 0 or iteration + 1 >= self.max_iter:
            last = self.checkpointer.get_checkpoint_file()
            for path in Path(self.checkpointer.save_dir).glob('model_[0-9]*.pth'):
                if path.name != Path(last).name:
                    path.unlink()


class Trainer(DefaultTrainer):
    """detectron2's trainer, which starts only with the whole backbone."""

    evaluator: 'Evaluator'

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Return the evaluator; ``cls.evaluator`` is the last one built."""
        cls.evaluator = Evaluator(MetadataCatalog.get(dataset_name).coco, cfg.OUTPUT_DIR)
        return cls.evaluator

    def build_hooks(self) -> list[HookBase]:
        """Return detectron2's hooks, of which the one that saves keeps the last checkpoint only."""
        return [
            LastCheckpoint(hook.checkpointer, hook.period)
            if isinstance(hook, hooks.PeriodicCheckpointer)
            else hook
            for hook in super().build_hooks()
        ]

    def resume_or_load(self, resume: bool = True) -> None:
        """Load the weights, or continue from the last checkpoint; compare what was loaded.

        Raises:
            CheckpointError: A weight of the backbone, which includes stem and res5, differs from
                the file.
        """
        # detectron2's own reader would run code from the file.
        self.checkpointer._load_file = read_checkpoint
        super().resume_or_load(resume)
        if self.start_iter == 0 and self.cfg.MODEL.WEIGHTS:
            weights = read_weights(self.cfg.MODEL.WEIGHTS)
            number = check_loaded(self.checkpointer.model.state_dict(), weights)
            if comm.is_main_process():
                logging.getLogger('detectron2.trainer').info(
                    f'All {number} backbone weights are those of {self.cfg.MODEL.WEIGHTS}.'
                )


def load_config(path: str, opts: list[str]) -> CfgNode:
    """Read a config and apply ``KEY VALUE`` pairs to it.

    Raises:
        ValueError: A key or value is unknown to detectron2, or another argument sets that key.
    """
    if len(opts) % 2:
        raise ValueError(f'--opts {" ".join(opts)}: expected KEY VALUE pairs')
    for key in opts[::2]:
        if key in _RESERVED:
            raise ValueError(f'--opts {key}: {_RESERVED[key]} says this')
    cfg = get_cfg()
    try:
        cfg.merge_from_file(path)
    except (KeyError, AssertionError) as error:
        raise ValueError(f'{path}: {error}') from error
    try:
        cfg.merge_from_list(opts)
    except (KeyError, AssertionError, ValueError) as error:
        raise ValueError(f'--opts {" ".join(opts)}: {error}') from error
    return cfg


def fit_to_machine(cfg: CfgNode, gpus: int, num_machines: int = 1) -> None:
    """Set the device; without GPUs one process trains on the CPU, where BN replaces SyncBN.

    Args:
        cfg (CfgNode): The config; changed in place.
        gpus (int): Number of processes per machine.
        num_machines (int): Number of machines. Defaults to 1.

    Raises:
        ValueError: The machine has fewer GPUs, or the batch cannot be split among the processes.
    """
    available = torch.cuda.device_count()
    if available == 0:
        if gpus * num_machines != 1:
            raise ValueError(
                f'GPUS is {gpus}, but this machine has no GPU, and without one detectron2 trains '
                'in one process only: give 1'
            )
        cfg.MODEL.DEVICE = 'cpu'
        for node in (cfg.MODEL.RESNETS, cfg.MODEL.FPN):
            if node.NORM in ('SyncBN', 'nnSyncBN'):
                print(f'No GPU: {node.NORM}, which has no CPU implementation, is replaced by BN.')
                node.NORM = 'BN'
    elif gpus > available:
        raise ValueError(f'GPUS is {gpus}, but this machine has {available}')
    if cfg.SOLVER.IMS_PER_BATCH % (gpus * num_machines):
        raise ValueError(
            f'SOLVER.IMS_PER_BATCH {cfg.SOLVER.IMS_PER_BATCH} cannot be split among '
            f'{gpus * num_machines} processes'
        )


def register_datasets(cfg: CfgNode, folder: str) -> None:
    """Make the config train and test on the sets that run.py has checked and written.

    Args:
        cfg (CfgNode): The config; data sets, number of classes, masks and their format are set in
            place.
        folder (str): Folder with ``train.npz`` and ``test.npz`` from ``DataSets.write``.
    """
    sets = [read_written(folder, name) for name in ('train', 'test')]
    info = sets[0]['info']
    classes = [category['name'] for category in sets[0]['categories']]
    cfg.MODEL.MASK_ON = info['masks']
    for node in (cfg.MODEL.ROI_HEADS, cfg.MODEL.RETINANET):
        node.NUM_CLASSES = len(classes)
    # detectron2 requires polygons or bitmaps throughout a data set, not a mixture.
    if info['masks'] and any(
        isinstance(item['segmentation'], dict)
        for item in sets[0]['annotations']
        if not item['iscrowd']
    ):
        cfg.INPUT.MASK_FORMAT = 'bitmask'
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ('mmjoint_train',), ('mmjoint_test',)
    for name, coco in zip(('mmjoint_train', 'mmjoint_test'), sets, strict=True):
        for catalog in (DatasetCatalog, MetadataCatalog):
            if name in catalog:
                catalog.pop(name)
        DatasetCatalog.register(name, partial(records, coco))
        MetadataCatalog.get(name).set(thing_classes=classes, coco=coco)


def records(coco: dict) -> list[dict]:
    """Return a data set in detectron2's format.

    VOC's difficult objects are used for training, as in detectron2; crowds are not.
    """
    labels = {category['id']: label for label, category in enumerate(coco['categories'])}
    images = {
        image['id']: dict(
            file_name=image['file_name'],
            height=image['height'],
            width=image['width'],
            image_id=image['id'],
            annotations=[],
        )
        for image in coco['images']
    }
    for item in coco['annotations']:
        image = images[item['image_id']]
        record = dict(
            bbox=item['bbox'],
            bbox_mode=BoxMode.XYWH_ABS,
            category_id=labels[item['category_id']],
            iscrowd=item['iscrowd'] and not item.get('difficult', 0),
        )
        shape = item.get('segmentation')
        if shape is not None:
            if isinstance(shape, dict) and isinstance(shape['counts'], list):
                shape = rle.frPyObjects(shape, image['height'], image['width'])
            record['segmentation'] = shape
        image['annotations'].append(record)
    return list(images.values())


class Evaluator(DatasetEvaluator):
    """The metric of all engines: COCO's metric, or VOC2007's with 11 recall points.

    Args:
        coco (dict): The test set.
        folder (str): Folder for ``predictions.json``, the detections.
    """

    def __init__(self, coco: dict, folder: str) -> None:
        self.coco, self.folder = coco, folder
        self.per_class: dict = {}
        self.reset()

    def reset(self) -> None:
        """Discard all detections."""
        self.found: list[dict] = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Store the detections of some images."""
        for image, output in zip(inputs, outputs, strict=True):
            instances = output['instances'].to('cpu')
            for item in instances_to_coco_json(instances, image['image_id']):
                item['category_id'] = self.coco['categories'][item['category_id']]['id']
                self.found.append(item)

    def evaluate(self) -> dict | None:
        """Return the metric in percent; None in all processes but the first."""
        gathered = comm.gather(self.found)
        if not comm.is_main_process():
            return None
        found = [item for part in gathered for item in part]
        write_predictions(Path(self.folder, 'predictions.json'), self.coco, found)
        if self.coco['info']['form'] == 'voc':
            metrics, self.per_class = evaluate_voc(self.coco, found)
        else:
            metrics, self.per_class = evaluate(self.coco, found, self.coco['info']['masks'])
        return metrics


def setup(args: argparse.Namespace) -> CfgNode:
    """Build the config and check everything that can be wrong before any process starts.

    Args:
        args (argparse.Namespace): The arguments of the command line.

    Returns:
        CfgNode: The frozen config.
    """
    cfg = load_config(args.config, args.opts)
    fit_to_machine(cfg, args.gpus, args.num_machines)
    register_datasets(cfg, args.data)
    cfg.OUTPUT_DIR = args.output_dir
    cfg.MODEL.WEIGHTS = '' if args.weights == 'random' else args.weights
    if cfg.MODEL.WEIGHTS:
        on_cpu = cfg.clone()
        on_cpu.MODEL.DEVICE = 'cpu'
        state = build_model(on_cpu).state_dict()
        try:
            check_fits(
                {name: value.shape for name, value in state.items()},
                read_weights(cfg.MODEL.WEIGHTS),
            )
        except CheckpointError as error:
            raise CheckpointError(f'{args.weights}: {error}') from error
    # The order of the images restarts with the process: a run that continues uses another seed, so
    # that it does not see its first images twice and its last ones never.
    cfg.SEED = args.seed + (_last_iteration(args.output_dir) if args.resume else 0)
    cfg.freeze()
    return cfg


def _last_iteration(folder: str) -> int:
    last = Path(folder, 'last_checkpoint')
    number = re.search(r'(\d+)\.pth', last.read_text()) if last.is_file() else None
    return int(number[1]) + 1 if number else 0


def train(args: argparse.Namespace, cfg: CfgNode) -> None:
    """Train, evaluate and write the result, in each process.

    Args:
        args (argparse.Namespace): The arguments of the command line.
        cfg (CfgNode): The config from ``setup``.
    """
    # A process started for a GPU does not know what `setup` registered and checked.
    cfg.defrost()
    register_datasets(cfg, args.data)
    cfg.freeze()
    default_setup(cfg, args)
    start = time.perf_counter()
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    trainer.train()
    if not comm.is_main_process():
        return
    result = dict(seed=args.seed, iterations=cfg.SOLVER.MAX_ITER)
    for kind in ('bbox', 'segm'):
        if kind in trainer._last_eval_results:
            result[kind] = dict(trainer._last_eval_results[kind])
    result['per_class'] = trainer.evaluator.per_class
    if trainer.start_iter == 0:
        result['seconds'] = round(time.perf_counter() - start, 1)
    write_results(Path(cfg.OUTPUT_DIR, RESULT_FILE), result)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='one of configs/')
    parser.add_argument('--weights', required=True, help="a converted backbone (.pkl), or 'random'")
    parser.add_argument('--output-dir', required=True, help='for checkpoints, logs and the result')
    parser.add_argument('--gpus', type=int, default=1, help='processes (default: 1)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the trial (default: 0)')
    parser.add_argument(
        '--resume', action='store_true', help='continue from the last checkpoint, if there is one'
    )
    parser.add_argument(
        '--data', required=True, help='folder of train.npz and test.npz, which run.py writes'
    )
    parser.add_argument(
        '--opts', nargs='+', default=[], metavar='KEY VALUE', help="detectron2's settings to change"
    )
    parser.add_argument('--num-machines', type=int, default=1, help='(default: 1)')
    parser.add_argument(
        '--machine-rank', type=int, default=0, help='rank of this machine (default: 0)'
    )
    parser.add_argument('--dist-url', default='auto', help='tcp://HOST:PORT for several machines')
    return parser.parse_args()


def main() -> None:
    """Fine-tune and evaluate."""
    args = parse_args()
    with one_line_errors():
        cfg = setup(args)
        if args.machine_rank == 0:
            lock_folder(args.output_dir)
        launch(
            train,
            args.gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args, cfg),
        )


if __name__ == '__main__':
    main()
