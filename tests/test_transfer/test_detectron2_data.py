"""The detectron2 engine: data sets and metrics.

Tests that need detectron2 are skipped where it is not installed.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2_engine import ENGINE, make_voc, needs_detectron2, written

from mmjoint.detection.masks import decode_mask


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
@pytest.mark.parametrize('form', ['coco', 'voc'])
def test_perfect_detector(form, shared_data, tmp_path, train_net):
    from detectron2.data import DatasetCatalog
    from detectron2.structures import Boxes, Instances

    name = dict(coco='coco_mask_r50_c4_1x', voc='voc_r50_c4_24k')[form]
    cfg = train_net.load_config(str(ENGINE / f'configs/{name}.yaml'), [])
    cfg.OUTPUT_DIR = str(tmp_path)
    arguments = [f'--{form}-root', shared_data / f'{form}_mini', '--classes', 'dog', 'bus']
    if form == 'voc':
        arguments += ['--train-split', 'VOC2007/trainval', '--test-split', 'VOC2007/test']
    train_net.register_datasets(cfg, written(form, tmp_path / 'data', *arguments))
    masks_on = form == 'coco'
    assert masks_on == cfg.MODEL.MASK_ON and cfg.MODEL.ROI_HEADS.NUM_CLASSES == 2
    evaluator = train_net.Trainer.build_evaluator(cfg, 'mmjoint_test')
    for record in DatasetCatalog.get('mmjoint_test'):
        size = record['height'], record['width']
        items = [item for item in record['annotations'] if not item['iscrowd']]
        boxes = torch.tensor([item['bbox'] for item in items]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        found = Instances(size)
        found.pred_boxes = Boxes(boxes)
        found.scores = torch.ones(len(items))
        found.pred_classes = torch.tensor(
            [item['category_id'] for item in items], dtype=torch.int64
        )
        if masks_on:
            masks = [decode_mask(item, *size) for item in items]
            found.pred_masks = torch.from_numpy(np.array(masks, dtype=bool).reshape(-1, *size))
        evaluator.process([record], [{'instances': found}])
    hundred = pytest.approx(dict(AP=100, AP50=100, AP75=100))
    assert evaluator.evaluate() == dict.fromkeys(
        ['bbox', 'segm'] if masks_on else ['bbox'], hundred
    )


@needs_detectron2
def test_data_are_not_a_setting(train_net):
    with pytest.raises(ValueError, match='DATASETS.TEST: --test-split or --test-annotations'):
        train_net.load_config(
            str(ENGINE / 'configs/voc_r50_c4_24k.yaml'), ['DATASETS.TEST', "('lvis_v1_val',)"]
        )
