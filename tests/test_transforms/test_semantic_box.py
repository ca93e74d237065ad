import torch
from mmengine.logging import MMLogger

from mmjoint.transforms import JointView, LoadSemanticBox


def test_box_follows_the_shared_tensor():
    boxes = torch.full((3, 4), float('nan')).share_memory_()
    load = LoadSemanticBox()
    load.connect(boxes)
    assert load(dict(sample_idx=1))['semantic_box'] is None
    boxes[1] = torch.tensor([0.125, 0.25, 0.5, 1.0])
    assert load(dict(sample_idx=1))['semantic_box'] == (0.125, 0.25, 0.5, 1.0)
    assert load(dict(sample_idx=2))['semantic_box'] is None


def test_warns_once_where_no_hook_gives_boxes(caplog):
    logger = MMLogger.get_instance('semantic_box')
    logger.addHandler(caplog.handler)
    load = LoadSemanticBox()
    for _ in range(2):
        assert load(dict(sample_idx=0))['semantic_box'] is None
    assert caplog.text.count('no ContrastiveCropHook provides boxes') == 1


def test_box_reaches_every_view(images):
    crop = dict(type='JointCrop', scale=16, crop_ratio_range=(0.01, 0.02), position='semantic')
    load = LoadSemanticBox()
    load.connect(torch.tensor([[0.5, 0.0, 1.0, 0.5]]))
    view = JointView([[crop], [crop]], [2, 2])
    for img in images:
        results = view(load(dict(img=img, sample_idx=0)))
        for params in results['view_params']:
            box = params[0][1]
            assert box.x + box.width / 2 >= 0.5 * img.shape[1] - 2
            assert box.y + box.height / 2 <= 0.5 * img.shape[0] + 2
