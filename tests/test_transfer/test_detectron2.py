"""The detectron2 engine: the head, features and the scripts.

Tests that need detectron2 are skipped where it is not installed.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from detectron2_engine import ENGINE, load, make_voc, needs_detectron2, written
from mmpretrain.models import ResNet
from torch import nn

from mmjoint.checkpoints import CheckpointError, convert

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


# Machine and start -------------------------------------------------------------------------------


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
