"""The detectron2 engine: the head, features, data sets and the scripts.

Tests that need detectron2 are skipped where it is not installed.
"""

import argparse
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2_engine import ENGINE, load, needs_detectron2
from mmpretrain.models import ResNet
from PIL import Image
from torch import nn

from mmjoint.checkpoints import CheckpointError, convert
from mmjoint.detection.masks import decode_mask
from mmjoint.detection.sources import add_arguments, read_data

check = load('backbone_check')


# The detectors -----------------------------------------------------------------------------------


def small(train_net, name, *opts):
    cfg = train_net.load_config(
        str(ENGINE / 'configs' / f'{name}.yaml'), ['MODEL.DEVICE', 'cpu', *opts]
    )
    from detectron2.modeling import build_model

    torch.manual_seed(0)
    return build_model(cfg)


@needs_detectron2
def test_extra_norm_follows_res5(train_net):
    from detectron2.layers import NaiveSyncBatchNorm

    head = small(train_net, 'voc_r50_c4_24k').roi_heads
    plain = small(train_net, 'voc_r50_c4_24k', 'MODEL.ROI_HEADS.NAME', 'Res5ROIHeads').roi_heads
    extra = set(head.state_dict()) - set(plain.state_dict())
    assert {name.rpartition('.')[0] for name in extra} == {'res5.norm'}
    assert type(head.res5.norm) is NaiveSyncBatchNorm

    # The same weights and statistics but for the norm: its output is the closed form's.
    plain.load_state_dict({k: v for k, v in head.state_dict().items() if k not in extra})
    generator = torch.Generator().manual_seed(0)
    for value in (head.res5.norm.weight, head.res5.norm.bias, head.res5.norm.running_mean):
        value.data.normal_(generator=generator)
    head.res5.norm.running_var.uniform_(0.5, 2, generator=generator)
    head.eval()
    plain.eval()
    x = torch.randn(2, 1024, 14, 14, generator=generator)
    norm = {k: v[:, None, None] for k, v in head.res5.norm.state_dict().items() if v.ndim}
    with torch.no_grad():
        y = plain.res5(x)
        expected = (y - norm['running_mean']) / (norm['running_var'] + 1e-5).sqrt()
        expected = expected * norm['weight'] + norm['bias']
        torch.testing.assert_close(head.res5(x), expected, rtol=1e-4, atol=1e-5)


@needs_detectron2
@pytest.mark.parametrize('name', ['voc_r50_c4_24k', 'coco_mask_r50_fpn_1x'])
def test_everything_is_trained(name, train_net):
    model = small(train_net, name)
    assert all(parameter.requires_grad for parameter in model.parameters())
    norms = [m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    # 53 of a ResNet-50; in C4 the 10 of res5 are in the head. 8 of the FPN.
    assert len(norms) == (43 if '_c4_' in name else 53 + 8)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.roi_heads.modules()) == (
        11 if '_c4_' in name else 0
    )


@pytest.fixture(scope='module')
def mm_backbone(tmp_path_factory):
    """A ResNet-50 of mmpretrain with the norms of a trained network, and its checkpoint."""
    torch.manual_seed(0)
    model = ResNet(50, out_indices=(0, 1, 2, 3), zero_init_residual=False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    model.eval()
    path = tmp_path_factory.mktemp('mm') / 'epoch_1.pth'
    weights = {f'backbone.{name}': value for name, value in model.state_dict().items()}
    torch.save({'state_dict': weights, 'meta': {'epoch': 1}}, path)
    return model, path


@needs_detectron2
@pytest.mark.parametrize('name', ['voc_r50_c4_24k', 'coco_mask_r50_fpn_1x'])
def test_same_features_in_the_detector(name, mm_backbone, tmp_path, train_net):
    from detectron2.checkpoint import DetectionCheckpointer

    reference, checkpoint = mm_backbone
    convert(checkpoint, tmp_path / 'backbone.pkl', 'detectron2')
    detector = small(train_net, name)
    DetectionCheckpointer(detector).load(str(tmp_path / 'backbone.pkl'))
    weights = check.read_weights(tmp_path / 'backbone.pkl')
    assert check.check_loaded(detector.state_dict(), weights) == 53 * 5
    detector.eval()

    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)  # RGB
    tensor = torch.from_numpy(image).permute(2, 0, 1).float()
    with torch.no_grad():
        # The detector normalizes; the reference is given what mm's preprocessor would give it.
        images = detector.preprocess_image([{'image': tensor}]).tensor[:, :, :96, :128]
        mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
        std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
        features = reference(((tensor - mean) / std)[None])
        bottom_up = getattr(detector.backbone, 'bottom_up', detector.backbone)
        x = bottom_up.stem(images)
        for i, expected in enumerate(features):
            stage = f'res{i + 2}'
            if hasattr(bottom_up, stage):
                x = getattr(bottom_up, stage)(x)
            else:  # C4: the head's blocks, without the norm that follows them
                x = detector.roi_heads.res5[:3](x)
            assert x.shape == expected.shape
            error = (x - expected).norm() / expected.norm()
            assert error < 1e-5, f'{stage}: {error:.2e}'


# Machine and data --------------------------------------------------------------------------------


@needs_detectron2
def test_cpu_trains_in_one_process_with_bn(train_net, capsys):
    path = str(ENGINE / 'configs/coco_mask_r50_fpn_1x.yaml')
    cfg = train_net.load_config(path, ['MODEL.RESNETS.NORM', 'SyncBN'])
    train_net.fit_to_machine(cfg, 1)
    assert (cfg.MODEL.DEVICE, cfg.MODEL.RESNETS.NORM, cfg.MODEL.FPN.NORM) == (
        'cpu',
        'BN',
        'naiveSyncBN',  # in one process it is BN as it stands
    )
    assert 'No GPU: SyncBN' in capsys.readouterr().out
    with pytest.raises(ValueError, match='GPUS is 2, but this machine has no GPU'):
        train_net.fit_to_machine(cfg, 2)


@needs_detectron2
def test_batch_is_split_among_processes(train_net, monkeypatch):
    cfg = train_net.load_config(str(ENGINE / 'configs/voc_r50_c4_24k.yaml'), [])
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 8)
    train_net.fit_to_machine(cfg, 8)
    assert cfg.MODEL.DEVICE == 'cuda'
    with pytest.raises(ValueError, match='IMS_PER_BATCH 16 cannot be split among 3'):
        train_net.fit_to_machine(cfg, 3)
    with pytest.raises(ValueError, match='GPUS is 16, but this machine has 8'):
        train_net.fit_to_machine(cfg, 16)


@needs_detectron2
@pytest.mark.parametrize(
    'opts, message',
    [
        (['SOLVER.MAX_ITERS', '5'], 'SOLVER.MAX_ITERS 5: .*SOLVER.MAX_ITERS'),
        (['SOLVER.MAX_ITER'], 'expected KEY VALUE pairs'),
        (['SOLVER.MAX_ITER', 'many'], 'MAX_ITER many'),
        (['MODEL.WEIGHTS', 'a.pkl'], '--opts MODEL.WEIGHTS: --weights says this'),
    ],
)
def test_wrong_settings_are_refused(opts, message, train_net):
    with pytest.raises(ValueError, match=message):
        train_net.load_config(str(ENGINE / 'configs/voc_r50_c4_24k.yaml'), opts)


def make_voc(root, images=2, years=(2007, 2012)):
    """Write gray images with a bright square each, a car, in VOC's layout."""
    rng = np.random.default_rng(0)
    for year in years:
        folder = root / f'VOC{year}'
        for name in ('Annotations', 'JPEGImages', 'ImageSets/Main'):
            (folder / name).mkdir(parents=True)
        names = [f'{year}_{i:03}' for i in range(images)]
        for name in names:
            x, y = rng.integers(1, 40, 2)
            pixels = rng.integers(60, 90, (96, 128, 3), dtype=np.uint8)
            pixels[y - 1 : y + 39, x - 1 : x + 59] += 120
            Image.fromarray(pixels).save(folder / f'JPEGImages/{name}.jpg')
            (folder / f'Annotations/{name}.xml').write_text(
                '<annotation><size><width>128</width><height>96</height><depth>3</depth></size>'
                '<object><name>car</name><pose>Left</pose><truncated>0</truncated>'
                f'<difficult>0</difficult><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>'
                f'<xmax>{x + 59}</xmax><ymax>{y + 39}</ymax></bndbox></object></annotation>'
            )
        for split in ('trainval', 'test'):
            (folder / f'ImageSets/Main/{split}.txt').write_text('\n'.join(names) + '\n')
    return root


def written(form, folder, *arguments):
    """Read, check and write data as run.py does; return the folder of the two files."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args([str(argument) for argument in arguments])
    read_data(args, form).write(folder)
    return str(folder)


@needs_detectron2
def test_data_are_those_that_were_written(tmp_path, train_net):
    from detectron2.data import DatasetCatalog, MetadataCatalog

    cfg = train_net.load_config(str(ENGINE / 'configs/voc_r50_c4_24k.yaml'), [])
    for name, number in (('a', 2), ('b', 3)):  # pointing elsewhere replaces what was there
        root = make_voc(tmp_path / name, images=number)
        train_net.register_datasets(
            cfg, written('voc', tmp_path / f'{name}_data', '--voc-root', root)
        )
        records = DatasetCatalog.get('mmjoint_train')
        assert len(records) == 2 * number
    assert cfg.DATASETS.TRAIN == ('mmjoint_train',) and not cfg.MODEL.MASK_ON
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 20
    x, y = np.random.default_rng(0).integers(1, 40, 2)
    box = DatasetCatalog.get('mmjoint_test')[0]['annotations'][0]
    assert box['bbox'] == [x - 1, y - 1, 60, 40]  # VOC counts pixels from 1, ends included
    assert MetadataCatalog.get('mmjoint_test').thing_classes[box['category_id']] == 'car'


@needs_detectron2
def test_difficult_objects_are_trained_on_and_crowds_are_not(train_net):
    box = dict(image_id=1, category_id=4, bbox=[0, 0, 9, 9])
    coco = dict(
        images=[dict(id=1, file_name='/a.jpg', width=60, height=48)],
        annotations=[dict(box, iscrowd=1, difficult=1), dict(box, iscrowd=1), dict(box, iscrowd=0)],
        categories=[dict(id=4, name='cat')],
    )
    (record,) = train_net.records(coco)
    assert [item['iscrowd'] for item in record['annotations']] == [0, 1, 0]
    assert [item['category_id'] for item in record['annotations']] == [0, 0, 0]


@needs_detectron2
def test_voc_metric_is_detectron2s(tmp_path, train_net):
    from detectron2.data import DatasetCatalog, MetadataCatalog
    from detectron2.data.datasets import register_pascal_voc
    from detectron2.evaluation import PascalVOCDetectionEvaluator
    from detectron2.structures import Boxes, Instances

    root = make_voc(tmp_path / 'voc', images=30)
    cfg = train_net.load_config(str(ENGINE / 'configs/voc_r50_c4_24k.yaml'), [])
    cfg.OUTPUT_DIR = str(tmp_path)
    train_net.register_datasets(cfg, written('voc', tmp_path / 'data', '--voc-root', root))
    ours = train_net.Trainer.build_evaluator(cfg, 'mmjoint_test')
    # Of one class, so that their mean over 20 classes is a twentieth of ours.
    car = MetadataCatalog.get('mmjoint_test').thing_classes.index('car')
    register_pascal_voc('theirs', str(root / 'VOC2007'), 'test', 2007)
    theirs = PascalVOCDetectionEvaluator('theirs')
    theirs.reset()
    rng = np.random.default_rng(0)
    scores = rng.permutation(1000)[:90] / 1000  # no two alike
    for number, record in enumerate(DatasetCatalog.get('mmjoint_test')):
        x, y, w, h = record['annotations'][0]['bbox']
        boxes = np.array([x, y, x + w, y + h]) + rng.normal(0, 4, (3, 4))
        found = Instances((96, 128))
        found.pred_boxes = Boxes(torch.from_numpy(boxes).float())
        found.scores = torch.from_numpy(scores[3 * number : 3 * number + 3])
        found.pred_classes = torch.full((3,), car)
        ours.process([record], [{'instances': found}])
        name = Path(record['file_name']).stem
        theirs.process([dict(image_id=name)], [{'instances': found}])
    with np.errstate(invalid='ignore'):
        expected = theirs.evaluate()['bbox']
    result = ours.evaluate()['bbox']
    assert 5 < result['AP'] < 95
    assert result == {name: pytest.approx(20 * value) for name, value in expected.items()}
    assert ours.per_class['car']['bbox'] == result['AP'] and ours.per_class['cat']['bbox'] is None


@needs_detectron2
def test_trainer_starts_from_all_of_the_file_or_not_at_all(mm_backbone, tmp_path, train_net):
    convert(mm_backbone[1], tmp_path / 'backbone.pkl', 'detectron2')
    cfg = train_net.load_config(
        str(ENGINE / 'configs/voc_r50_c4_24k.yaml'),
        ['MODEL.DEVICE', 'cpu', 'DATALOADER.NUM_WORKERS', '0'],
    )
    root = make_voc(tmp_path / 'voc')
    cfg.OUTPUT_DIR, cfg.MODEL.WEIGHTS = str(tmp_path), str(tmp_path / 'backbone.pkl')
    train_net.register_datasets(cfg, written('voc', tmp_path / 'data', '--voc-root', root))
    trainer = train_net.Trainer(cfg)
    trainer.resume_or_load(resume=True)
    loaded = trainer.model.state_dict()['backbone.stem.conv1.weight']
    torch.testing.assert_close(loaded, mm_backbone[0].state_dict()['conv1.weight'], rtol=0, atol=0)

    content = pickle.loads((tmp_path / 'backbone.pkl').read_bytes())
    content['model']['stem.conv1.wait'] = content['model'].pop('stem.conv1.weight')
    (tmp_path / 'backbone.pkl').write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match=r'1 of .*\(backbone\.stem\.conv1\.weight\)'):
        trainer.resume_or_load(resume=True)


@needs_detectron2
def test_perfect_detector_on_coco(shared_data, tmp_path, train_net):
    from detectron2.data import DatasetCatalog
    from detectron2.structures import Boxes, Instances

    cfg = train_net.load_config(str(ENGINE / 'configs/coco_mask_r50_c4_1x.yaml'), [])
    cfg.OUTPUT_DIR = str(tmp_path)
    root = shared_data / 'coco_mini'
    arguments = ('--coco-root', root, '--classes', 'dog', 'traffic light')
    train_net.register_datasets(cfg, written('coco', tmp_path / 'data', *arguments))
    assert cfg.MODEL.MASK_ON and cfg.MODEL.ROI_HEADS.NUM_CLASSES == 2
    evaluator = train_net.Trainer.build_evaluator(cfg, 'mmjoint_test')
    for record in DatasetCatalog.get('mmjoint_test'):
        size = record['height'], record['width']
        items = [item for item in record['annotations'] if not item['iscrowd']]
        boxes = torch.tensor([item['bbox'] for item in items]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        masks = [decode_mask(item, *size) for item in items]
        found = Instances(size)
        found.pred_boxes = Boxes(boxes)
        found.scores = torch.ones(len(items))
        found.pred_classes = torch.tensor(
            [item['category_id'] for item in items], dtype=torch.int64
        )
        found.pred_masks = torch.from_numpy(np.array(masks, dtype=bool).reshape(-1, *size))
        evaluator.process([record], [{'instances': found}])
    hundred = pytest.approx(dict(AP=100, AP50=100, AP75=100))
    assert evaluator.evaluate() == dict(bbox=hundred, segm=hundred)


@needs_detectron2
def test_data_are_not_a_setting(train_net):
    with pytest.raises(ValueError, match='DATASETS.TEST: --test-split or --test-annotations'):
        train_net.load_config(
            str(ENGINE / 'configs/voc_r50_c4_24k.yaml'), ['DATASETS.TEST', "('lvis_v1_val',)"]
        )


@needs_detectron2
def test_seed_of_a_run_that_goes_on_is_another(tmp_path, train_net):
    assert train_net._last_iteration(str(tmp_path)) == 0
    (tmp_path / 'last_checkpoint').write_text('model_0000019.pth')
    assert train_net._last_iteration(str(tmp_path)) == 20


@needs_detectron2
def test_the_last_checkpoint_is_kept(tmp_path, train_net):
    from detectron2.checkpoint import DetectionCheckpointer

    def names() -> list[str]:
        return sorted(path.name for path in tmp_path.glob('*.pth'))

    (tmp_path / 'model_0000001.pth').touch()  # of the run that was killed
    checkpointer = DetectionCheckpointer(torch.nn.Linear(1, 1), str(tmp_path))
    hook = train_net.LastCheckpoint(checkpointer, 2)
    hook.max_iter = 6
    hook.step(2)
    assert names() == ['model_0000001.pth']
    hook.step(3)
    assert names() == ['model_0000003.pth']
    hook.step(5)
    assert names() == ['model_final.pth']


# The scripts -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(find_spec('detectron2') is not None, reason='detectron2 is installed')
def test_missing_detectron2_is_one_line(tmp_path):
    done = subprocess.run(
        ['bash', ENGINE / 'run_voc.sh', 'random', '1', '--work-dir', tmp_path],
        env=os.environ | {'PYTHON': sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        'error: detectron2 is not installed: transfer/README.md says how to build it'
    )
    assert not any(tmp_path.iterdir())


SMALL = """
    SOLVER.MAX_ITER 6 SOLVER.IMS_PER_BATCH 1 SOLVER.CHECKPOINT_PERIOD 1 SOLVER.STEPS ()
    INPUT.MIN_SIZE_TRAIN (64,) INPUT.MIN_SIZE_TEST 64 DATALOADER.NUM_WORKERS 0
    MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE 8 MODEL.RPN.POST_NMS_TOPK_TRAIN 16
    MODEL.RPN.POST_NMS_TOPK_TEST 4 TEST.PRECISE_BN.NUM_ITER 1
""".split()


def start(arguments):
    return subprocess.Popen(
        ['bash', ENGINE / 'run_voc.sh', *map(str, arguments), '--opts', *SMALL],
        env=os.environ | {'PYTHON': sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@needs_detectron2
@pytest.mark.slow
def test_whole_script_goes_on_after_a_kill(mm_backbone, tmp_path):
    voc, work_dir = make_voc(tmp_path / 'voc'), tmp_path / 'work'
    arguments = [mm_backbone[1], 1, '--voc-root', voc, '--work-dir', work_dir, '--seed', 3]
    first = start(arguments)
    last = work_dir / 'seed_3/last_checkpoint'
    while first.poll() is None and not (last.is_file() and last.read_text()):
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert first.returncode == 128 + signal.SIGTERM
    stopped_at = last.read_text()
    assert not (work_dir / 'results.json').exists()

    out, error = (second := start(arguments)).communicate()
    assert second.returncode == 0, error
    log = (work_dir / 'seed_3/log.txt').read_text()
    assert f'Loading from {work_dir}/seed_3/{stopped_at}' in log
    assert [path.name for path in (work_dir / 'seed_3').glob('*.pth')] == ['model_final.pth']
    results = json.loads((work_dir / 'results.json').read_text())
    assert (results['engine'], results['task'], results['options']) == ('detectron2', 'voc', SMALL)
    assert results['weights']['epoch'] == 1
    assert results['weights']['depth'] == 50
    (trial,) = results['trials']
    assert (trial['seed'], trial['iterations']) == (3, 6)
    assert results['mean']['bbox'].keys() == {'AP', 'AP50', 'AP75'}
    assert out.splitlines()[-1] == f'wrote {work_dir / "results.json"}'

    other = start(['random', *arguments[1:]])
    _, error = other.communicate()
    assert other.returncode == 1
    assert 'holds a run with other settings, init ' in error.splitlines()[-1]
