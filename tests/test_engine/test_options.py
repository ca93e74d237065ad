"""Values of --cfg-options and --hook arrive as they are meant, and what is wrong is named."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmjoint.engine import read_config
from mmjoint.engine.options import apply_hooks, apply_options
from mmjoint.engine.values import parse_value

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cfg() -> Config:
    return Config(
        dict(
            model=dict(
                type='DistributedSimCLR',
                backbone=dict(type='ResNet', depth=18, init_cfg=None),
                neck=dict(type='MoCoV2Neck', in_channels=512, with_avg_pool=True),
            ),
            train_dataloader=dict(
                batch_size=8,
                drop_last=True,
                dataset=dict(
                    type='ImageFolder',
                    data_root='data',
                    classes=['cat', 'dog'],
                    pipeline=[dict(type='LoadImage'), dict(type='JointCrop', scale=224, beta=None)],
                ),
            ),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            custom_hooks=[dict(type='KNNHook', interval=10)],
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        )
    )


def value_at(cfg: Config, key: str) -> object:
    node = cfg
    for part in key.split('.'):
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('3', 3),
        ('-3', -3),
        ('1e-3', 0.001),
        ('.5', 0.5),
        ('None', None),
        ('true', True),
        ('False', False),
        ('2024_01', '2024_01'),
        ('/my photos/a=b', '/my photos/a=b'),
        ('[1, 2]', [1, 2]),
        ('1, 2', [1, 2]),
        ('1,', [1]),
        ('[]', []),
        ('(3,)', (3,)),
        ('[(1, a b), c]', [(1, 'a b'), 'c']),
        ('"1, 2"', '1, 2'),
        ("['a, b', 2]", ['a, b', 2]),
        ("Bob's, Ann's", ["Bob's", "Ann's"]),
        ('dict(type="KNNHook", interval=5)', dict(type='KNNHook', interval=5)),
        ("[{'type': 'A', 'b': [1, -2]}]", [dict(type='A', b=[1, -2])]),
    ],
)
def test_values(text: str, value: object) -> None:
    read = parse_value(text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize('text', ['[1, 2', '(1]', 'dict(a=print(1))', '{1', 'dict(type=KNNHook)'])
def test_values_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        parse_value(text)


@pytest.mark.parametrize(
    'folder',
    ['/data/my photos, 2024/v1', '2024', 'red, blue', '1e3', '[old]', '/x/(a, b', 'true', "a'b, c"],
)
@pytest.mark.parametrize('key', ['train_dataloader.dataset.data_root', 'work_dir', 'load_from'])
def test_text_stays_as_it_was_typed(cfg: Config, key: str, folder: str) -> None:
    apply_options(cfg, [f'{key}={folder}'])
    assert value_at(cfg, key) == folder


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('train_dataloader.batch_size=1e2', 100),
        ('train_dataloader.drop_last=false', False),
        ('train_dataloader.prefetch_factor=4', 4),
        ('train_dataloader.dataset.classes=[red car, 2024]', ['red car', '2024']),
        ('train_dataloader.dataset.data_root=None', None),
        ('train_dataloader.dataset.pipeline.1.beta=-2', -2),
        ('train_dataloader.dataset.pipeline.1.scale=(96, 96)', (96, 96)),
        ('model.backbone.with_cp=True', True),
        ('model.backbone.init_cfg.type=StrictPretrained', 'StrictPretrained'),
        ('optim_wrapper.optimizer.lr=1', 1),
        ('optim_wrapper.clip_grad.max_norm=1.5', 1.5),
        ('optim_wrapper.dtype=bfloat16', 'bfloat16'),
        ('randomness.seed=3', 3),
        ('env_cfg.dist_cfg.backend=gloo', 'gloo'),
        ('default_hooks.logger.interval=5', 5),
        ('custom_hooks.0.interval=5', 5),
        ('custom_hooks=[dict(type="EMAHook")]', [dict(type='EMAHook')]),
        ('val_cfg=None', None),
    ],
)
def test_values_have_the_type_of_what_they_replace(cfg: Config, option: str, value: object) -> None:
    apply_options(cfg, [option])
    read = value_at(cfg, option.split('=')[0])
    assert read == value and type(read) is type(value)


def test_a_default_hook_keeps_its_type(cfg: Config) -> None:
    apply_options(cfg, ['default_hooks.logger.interval=5'])
    assert cfg.default_hooks.logger == dict(type='LoggerHook', interval=5)


def test_knn_loaders_are_settings(cfg: Config) -> None:
    cfg.knn_train_dataloader = dict(batch_size=8)
    apply_options(cfg, ['knn_train_dataloader.batch_size=4'])
    assert cfg.knn_train_dataloader.batch_size == 4


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('modl.typo=1', 'no setting modl; did you mean model'),
        ('model.bakbone.depth=50', 'model has no bakbone.*did you mean backbone'),
        ('model.backbone.dpth=50', 'ResNet takes no such argument; did you mean depth'),
        ('model.backbone.depth.x=50', 'model.backbone.depth is 18, which has no x'),
        ('model.backbone.depth=fifty', "expected a number like 18, got 'fifty'"),
        ('model.backbone=ResNet', 'it holds the settings type, depth'),
        ('train_dataloader.drop_last=maybe', 'expected True or False'),
        ('train_dataloader.batch_size=2.5', 'expected an integer like 8'),
        ('train_dataloader.batchsize=2', 'did you mean batch_size'),
        ('train_dataloader.dataset.pipeline.2.x=1', '0 to 1 .0 LoadImage, 1 JointCrop., not 2'),
        ('train_dataloader.dataset.pipeline.-1.x=1', 'not -1'),
        ('val_dataloader.batch_size=1', 'the config has no val_dataloader'),
        ('custom_hooks=KNNHook', '--hook TYPE KEY=VALUE'),
        ('custom_hooks.1.interval=5', 'elements 0 to 0'),
        ('param_scheduler.0.gamma=5', 'param_scheduler has no element 0'),
        ('default_hooks.chekpoint.interval=1', 'did you mean checkpoint'),
        ('optim_wrapper.optimizer.lr=[0.1', 'brackets do not match'),
        ('model..depth=1', 'a part of the key is empty'),
        ('model', 'expected KEY=VALUE'),
        ('=1', 'expected KEY=VALUE'),
    ],
)
def test_wrong_options(cfg: Config, option: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        apply_options(cfg, [option])
    assert option.split('=')[0] in str(caught.value)


def test_a_variable_is_no_setting() -> None:
    cfg = Config(dict(folder='/data', model=dict(type='MoCo')))
    with pytest.raises(ValueError, match='folder is a variable that the config file has already'):
        apply_options(cfg, ['folder=/other'])


def test_names_that_the_user_chooses_are_said(cfg: Config, capsys: pytest.CaptureFixture) -> None:
    cfg.optim_wrapper.paramwise_cfg = dict(norm_decay_mult=0)
    apply_options(cfg, ['optim_wrapper.paramwise_cfg.bias_lr_mult=0.5'])
    assert cfg.optim_wrapper.paramwise_cfg == dict(norm_decay_mult=0, bias_lr_mult=0.5)
    assert 'had no bias_lr_mult; it is added' in capsys.readouterr().err
    with pytest.raises(ValueError, match='did you mean norm_decay_mult'):
        apply_options(cfg, ['optim_wrapper.paramwise_cfg.norm_decay_mlut=0'])


def test_hook_is_changed_or_added(cfg: Config) -> None:
    apply_hooks(
        cfg,
        [
            ['KNNHook', 'interval=5', 'folder=my photos, 2024'],
            ['CheckpointHook', 'max_keep_ckpts=2'],
            ['EMAHook', 'momentum=0.01'],
        ],
    )
    assert cfg.custom_hooks == [
        dict(type='KNNHook', interval=5, folder='my photos, 2024'),
        dict(type='EMAHook', momentum=0.01),
    ]
    assert cfg.default_hooks.checkpoint == dict(type='CheckpointHook', interval=1, max_keep_ckpts=2)


@pytest.mark.parametrize(
    ('hook', 'message'),
    [
        (['KNHook'], 'no hook of this name; did you mean KNNHook'),
        (['ResNet'], 'no hook of this name'),
        (['KNNHook', 'intervl=5'], 'KNNHook takes no such argument; did you mean interval'),
        (['KNNHook', 'interval'], 'expected KEY=VALUE'),
        (['KNNHook', 'interval=often'], 'expected a number like 10'),
    ],
)
def test_wrong_hooks(cfg: Config, hook: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apply_hooks(cfg, [hook])


def test_two_hooks_of_a_type_are_told_apart_by_number(cfg: Config) -> None:
    cfg.custom_hooks = [dict(type='KNNHook', interval=1), dict(type='KNNHook', interval=2)]
    with pytest.raises(ValueError, match='has 2 of them'):
        apply_hooks(cfg, [['KNNHook', 'k=5']])


@pytest.mark.parametrize(
    'path', sorted(path for path in (ROOT / 'configs').glob('*/*_folder.py')), ids=lambda p: p.stem
)
def test_options_that_people_use_are_taken_by_our_configs(path: Path) -> None:
    options = [
        'train_dataloader.dataset.data_root=/data/my photos, 2024/v1',
        'train_dataloader.batch_size=64',
        'train_dataloader.num_workers=4',
        'train_cfg.max_epochs=2',
        'optim_wrapper.optimizer.lr=0.03',
        'optim_wrapper.clip_grad.max_norm=1.0',
        'default_hooks.checkpoint.max_keep_ckpts=2',
        'default_hooks.logger.interval=1',
        'model.backbone.with_cp=True',
        'randomness.seed=1',
        'randomness.deterministic=True',
        'log_level=WARNING',
    ]
    cfg = read_config(path, options)
    assert cfg.train_dataloader.dataset.data_root == '/data/my photos, 2024/v1'
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=1.0)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('x = 1\ny = (\n', r'config.py, line 2: SyntaxError'),
        ('x = 1\n\ny = z\n', r"config.py, line 3: NameError: name 'z'"),
        ("x = 1\n_base_ = 'no.py'\n", r'config.py: .*no.py'),
        ("_base_ = 'base.py'\n", r'config.py, in its base .*base.py, line 2: ZeroDivisionError'),
    ],
)
def test_configs_that_do_not_compile(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / 'base.py').write_text('x = 1\ny = 1 / 0\n')
    (tmp_path / 'config.py').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path / 'config.py')
