from collections.abc import Iterator

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import OPTIM_WRAPPERS

from mmjoint.engine import acceleration, fit_to_cpu


def config(**wrapper: object) -> Config:
    wrapper['optimizer'] = dict(type='SGD', lr=0.1)
    return Config(dict(optim_wrapper=wrapper, launcher='none'))


@pytest.mark.parametrize(
    'given, dtype, scaler', [({}, None, True), (dict(dtype='bfloat16'), torch.bfloat16, False)]
)
def test_amp_on_a_gpu(
    given: dict, dtype: torch.dtype | None, scaler: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mmengine builds what the config says; float16 alone gets a loss scaler."""
    cfg = config(**given)
    acceleration.use_amp(cfg)
    # It refuses to be built without a GPU, and only then needs none.
    module = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
    monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    wrapper = OPTIM_WRAPPERS.build(dict(cfg.optim_wrapper, optimizer=optimizer))
    assert wrapper.cast_dtype is dtype
    if torch.cuda.is_available() or not scaler:  # without CUDA torch turns every scaler off
        assert wrapper.loss_scaler.is_enabled() is scaler
    assert cfg.optim_wrapper.loss_scale == ('dynamic' if scaler else dict(enabled=False))
    state = wrapper.state_dict()
    wrapper.load_state_dict(state)  # as resuming does


@pytest.mark.parametrize('dtype', [None, 'bfloat16', 'float16'])
def test_amp_on_the_cpu_says_what_it_takes(
    dtype: str | None, capsys: pytest.CaptureFixture
) -> None:
    cfg = config(**({} if dtype is None else dict(dtype=dtype)))
    acceleration.use_amp(cfg)
    fit_to_cpu(cfg)
    assert cfg.optim_wrapper.type == 'CPUAmpOptimWrapper'
    assert ('not float16' in capsys.readouterr().out) is (dtype == 'float16')


def test_amp_replaces_no_wrapper_of_its_own() -> None:
    with pytest.raises(ValueError, match='optim_wrapper.type is DeepSpeedOptimWrapper'):
        acceleration.use_amp(config(type='DeepSpeedOptimWrapper'))


def test_hooks_are_named_once() -> None:
    cfg = Config(dict(custom_hooks=[dict(type='ChannelsLastHook')]))
    acceleration.use_channels_last(cfg)
    acceleration.use_compile(cfg)
    acceleration.use_compile(cfg)
    assert [hook['type'] for hook in cfg.custom_hooks] == ['ChannelsLastHook', 'CompileHook']


@pytest.mark.parametrize(
    'device, backbone, others, expected',
    [
        ('cpu', 'ResNet', {}, True),
        ('cpu', 'VisionTransformer', {}, True),
        ('cuda', 'ResNet', {}, True),
        ('cuda', 'ResNet_CIFAR', {}, True),
        ('cuda', 'VisionTransformer', {}, False),
        ('cuda', 'mmpretrain.MoCoV3ViT', {}, False),
        ('cuda', 'ResNet', dict(runner_type='FlexibleRunner'), False),
        ('cuda', 'ResNet', dict(model_wrapper_cfg=dict(type='MMFullyShardedDataParallel')), False),
        ('npu', 'ResNet', {}, False),
    ],
)
def test_where_channels_lie_last(device: str, backbone: str, others: dict, expected: bool) -> None:
    cfg = Config(dict(model=dict(backbone=dict(type=backbone)), **others))
    assert acceleration.suits_channels_last(cfg, device) is expected


@pytest.fixture
def full_precision() -> Iterator[None]:
    """Products in float32, and afterwards as they were."""
    modules = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [module.allow_tf32 for module in modules]
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    for module, allowed in zip(modules, before, strict=True):
        module.allow_tf32 = allowed


@pytest.mark.parametrize('device, said', [('cuda', 1), ('cpu', 0)])
def test_tf32(device: str, said: int, full_precision: None, capsys: pytest.CaptureFixture) -> None:
    acceleration.use_tf32(device)
    assert torch.backends.cuda.matmul.allow_tf32 is bool(said)
    assert capsys.readouterr().out.count('TF32') == said
