"""Every wrong command line ends with one line that names what is wrong, and a status above 0."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from mmpretrain.models import ResNet

RunTool = Callable[..., tuple[int, str, str]]

LABELLED = """
_pipeline = [dict(type='LoadImage', on_error='raise'), dict(type='PackInputs')]
_loader = dict(
    batch_size=8, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ImageFolder', data_root={folder!r}, with_label=True, pipeline=_pipeline))
knn_train_dataloader = knn_val_dataloader = _loader
"""
MOCO = """
_base_ = 'tiny.py'
model = dict(
    _delete_=True, type='MoCo', queue_len=64, feat_dim=16, momentum=0.01,
    data_preprocessor=dict(type='SelfSupDataPreprocessor'),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
    neck=dict(
        type='MoCoV2Neck', in_channels=64, hid_channels=16, out_channels=16, with_avg_pool=True),
    head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2))
"""
BROKEN = {
    'syntax.py': '_base_ = "tiny.py"\nx = (\n',
    'name.py': '_base_ = "tiny.py"\n\nx = undefined\n',
    'base.py': '_base_ = "nowhere.py"\n',
    'inner.py': '_base_ = "name.py"\n',
    'import.py': "custom_imports = dict(imports=['mmjont'])\n",
    'division.py': 'x = 1\ny = 1 / 0\n',
    'empty.py': '',
    'list.json': '[1, 2]',
    'no_type.py': "_base_ = 'tiny.py'\ncustom_hooks = [dict(interval=5)]\n",
    'hook.py': "_base_ = 'tiny.py'\ncustom_hooks = [dict(type='KNNHok')]\n",
    'hook_value.py': "_base_ = 'tiny.py'\ncustom_hooks = [dict(type='KNNHook', interval='5')]\n",
    'scheduler.py': "_base_ = 'tiny.py'\nparam_scheduler = [dict(type='CosineLR')]\n",
    'no_lr.py': "_base_ = 'tiny.py'\noptim_wrapper = dict(_delete_=True)\n",
    'null_pipeline.py': (
        "_base_ = 'tiny.py'\ntrain_dataloader = dict(dataset=dict(pipeline=None))\n"
    ),
}

# Arguments and what the line must say.
SET = '--cfg-options'
TRAIN = [
    ([SET, 'modl.typo=1'], r'modl.typo.*did you mean model'),
    ([SET, 'model.bakbone.depth=50'], r'model.bakbone.depth.*did you mean backbone'),
    ([SET, 'model.backbone.dpeth=50'], r'model has no dpeth|backbone.dpeth.*did you mean depth'),
    ([SET, 'model.backbone.depth=fifty'], r'model.backbone.depth.*fifty'),
    ([SET, 'train_dataloader.batch_size=many'], r'train_dataloader.batch_size.*many'),
    ([SET, 'train_dataloader.batch_size=2.5'], r'batch_size.*2\.5'),
    ([SET, 'train_dataloader.num_workers=-1'], r'num_workers.*-1|-1.*num_workers|num_workers'),
    ([SET, 'train_dataloader.drop_last=maybe'], r'drop_last.*maybe'),
    ([SET, 'train_dataloader.dataset.pipeline.9.scale=3'], r'pipeline.9.scale.*0 to 2'),
    ([SET, 'train_dataloader.dataset.pipeline.1.num_view=2'], r'num_view.*did you mean num_views'),
    ([SET, 'train_dataloader.dataset.datset_root=x'], r'datset_root.*did you mean data_root'),
    ([SET, 'train_dataloader.sampler.type=DefaltSampler'], r'DefaltSampler'),
    ([SET, 'custom_hooks=KNNHook'], r'custom_hooks.*KNNHook'),
    ([SET, 'custom_hooks.0.interval=5'], r'custom_hooks.0.interval.*--hook'),
    ([SET, 'default_hooks.chekpoint.interval=2'], r'chekpoint.*did you mean checkpoint'),
    ([SET, 'default_hooks.checkpoint.intervall=2'], r'intervall.*did you mean interval'),
    ([SET, 'optim_wrapper.optimizer.lr=fast'], r'optimizer.lr.*fast'),
    ([SET, 'optim_wrapper.optimizer=SGD'], r'optim_wrapper.optimizer.*SGD'),
    ([SET, 'optim_wrapper.optimizer.type=SGDD'], r'SGDD.*did you mean'),
    ([SET, 'train_cfg.max_epochs=2.5'], r'max_epochs.*2\.5'),
    ([SET, 'optim_wrapper.optimizer.lr=-1'], r'learning rate.*-1'),
    ([SET, 'train_cfg.max_epochs=0'], r'max_epochs'),
    ([SET, 'train_cfg.max_epochs=-3'], r'max_epochs.*-3'),
    ([SET, 'model.head.temperature=[1, 2'], r'temperature.*brackets'),
    ([SET, 'model=None'], r'model'),
    ([SET, 'randomness.seed=one'], r'randomness.seed|seed.*one'),
    ([SET, 'model.backbone.depth=50'], r'model.neck.in_channels.*256'),
    ([SET, 'model.neck.in_channels=32'], r'model.neck.in_channels.*64'),
    ([SET, 'log_level=LOUD'], r'LOUD'),
    ([SET, '=1'], r'expected KEY=VALUE'),
    (['--hook', 'KNHook'], r'KNHook.*did you mean KNNHook'),
    (['--hook', 'KNNHook', 'intervl=5'], r'intervl.*did you mean interval'),
    (['--hook', 'KNNHook', 'interval=0'], r'interval.*0'),
    (['--hook', 'KNNHook', 'interval=5'], r'knn_train_dataloader'),
    (['--work-dir', 'file'], r'file'),
    (['--resume', 'folder'], r'folder'),
    (['--resume', 'text.pth'], r'text.pth'),
    (['--resume', 'list.pth'], r'list.pth'),
    (['--resume', 'empty.pth'], r'empty.pth'),
]
MOCO_LINES = [
    ([SET, 'train_dataloader.batch_size=12'], r'batch.*12.*queue_len.*64'),
    (
        [SET, 'train_dataloader.batch_size=32', 'train_dataloader.drop_last=False'],
        r'drop_last.*16|16.*drop_last',
    ),
    ([SET, 'model.queue_len=4'], r'batch.*8.*queue_len.*4'),
]
CONFIGS = {
    'nowhere.py': r'no config file nowhere.py',
    'syntax.py': r'syntax.py, line 2',
    'name.py': r'name.py, line 3: NameError.*undefined',
    'inner.py': r'name.py, line 3',
    'base.py': r'base.py.*nowhere.py',
    'import.py': r'import.py.*mmjont',
    'division.py': r'division.py, line 2',
    'list.json': r'list.json',
}
TOOLS = {
    'train.py': [],
    'test.py': ['whole.pth'],
    'knn.py': ['--random-init'],
    'evaluate.py': ['--random-init'],
    'measure_sdf.py': ['whole.pth'],
    'browse_views.py': ['--out', 'page.html'],
}
OTHERS = [
    ('train.py', ['empty.py'], r'empty.py.*model|model'),
    ('train.py', ['no_type.py'], r'type'),
    ('train.py', ['hook.py'], r'KNNHok'),
    ('train.py', ['hook_value.py'], r'interval'),
    ('train.py', ['scheduler.py'], r'CosineLR'),
    ('train.py', ['no_lr.py'], r'optimizer'),
    ('train.py', ['null_pipeline.py'], r'.'),
    ('test.py', ['tiny.py', 'whole.pth'], r'no test set'),
    ('knn.py', ['tiny.py', '--random-init', '--data-root', 'x'], r'--data-root.*--data FOLDER'),
    ('knn.py', ['tiny.py', '--random-init'], r'knn_train_dataloader'),
    ('knn.py', ['labelled.py', '--random-init', SET, 'modl.typo=1'], r'modl.*did you mean model'),
    ('knn.py', ['labelled.py', '--random-init', '--k', '500'], r'k is 500'),
    ('knn.py', ['labelled.py', '--random-init', '--data-root', 'none'], r'none'),
    ('knn.py', ['labelled.py', '--random-init', '--json', 'no/where.json'], r'no/where.json'),
    ('knn.py', ['labelled.py', 'text.pth'], r'text.pth'),
    ('evaluate.py', ['tiny.py', '--random-init', '--data', 'none'], r'none'),
    ('evaluate.py', ['tiny.py', '--random-init'], r'knn_train_dataloader'),
    ('evaluate.py', ['labelled.py', 'none.pth'], r'none.pth'),
    ('evaluate.py', ['labelled.py', '--random-init', SET, 'model.backbone=1'], r'model.backbone'),
    ('evaluate.py', ['labelled.py', 'whole.pth', '--cache', 'file'], r'--cache|file is|: file'),
    ('measure_sdf.py', ['elsewhere.py', 'whole.pth'], r'--images FOLDER'),
    ('measure_sdf.py', ['tiny.py', 'none.pth'], r'none.pth'),
    ('measure_sdf.py', ['tiny.py', 'whole.pth', '--images', 'none'], r'none'),
    ('browse_views.py', ['elsewhere.py', '--out', 'a.html'], r'--images FOLDER'),
    ('browse_views.py', ['tiny.py', '--out', 'no/a.html'], r'no/a.html'),
    ('browse_views.py', ['tiny.py', '--out', 'a.html', '--beta', 'x'], r'--beta.*x|x'),
    ('paper.py', ['--table', '99'], r'99'),
    ('report.py', ['none', '--out', 'a.html'], r'none'),
    ('make_shards.py', ['none', 'out'], r'none'),
    ('make_scenes.py', ['out', '--train', '-1'], r'-1|train'),
]


# These end after the model is built, or a first batch; the others before.
LATE = re.compile(
    r'num_workers=-1|depth=50|in_channels=32|DefaltSampler|SGDD|lr=-1|interval=5|interval=0'
    r'|--resume|moco|--k 500|--cache|scheduler.py|hook.py|hook_value.py|no_type.py|null_pipeline'
)


def cases(rows: Iterable[tuple]) -> list:
    """The rows of a table as parameters, named by their command lines; the late ones are slow."""
    found = []
    for row in rows:
        words = [word for value in row[:-1] for word in ([value] if type(value) is str else value)]
        line = ' '.join(words)
        marks = [pytest.mark.slow] if LATE.search(line) and 'dpeth' not in line else []
        found.append(pytest.param(*row, id=line, marks=marks))
    return found


@pytest.fixture(scope='module')
def weights() -> dict:
    """What a checkpoint of the backbone of `pretrain_config` holds."""
    backbone = ResNet(depth=18, base_channels=8, stem_channels=8)
    return {f'backbone.{name}': value for name, value in backbone.state_dict().items()}


@pytest.fixture
def files(pretrain_config: Path, image_folder: Path, weights: dict, tmp_path: Path) -> Path:
    """A folder with configs and checkpoints, most of them wrong."""
    tiny = pretrain_config.read_text()
    (tmp_path / 'labelled.py').write_text(tiny + LABELLED.format(folder=str(image_folder)))
    (tmp_path / 'elsewhere.py').write_text(tiny.replace(str(image_folder), '/nowhere/photos'))
    (tmp_path / 'moco.py').write_text(MOCO)
    for name, text in BROKEN.items():
        (tmp_path / name).write_text(text)
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').write_text('a file')
    (tmp_path / 'text.pth').write_text('no checkpoint')
    (tmp_path / 'empty.pth').write_bytes(b'')
    torch.save([1, 2], tmp_path / 'list.pth')
    torch.save(dict(state_dict=weights), tmp_path / 'whole.pth')
    return tmp_path


def check(run_tool: RunTool, tool: str, arguments: list[str], message: str) -> None:
    status, _, err = run_tool(tool, *arguments)
    assert status in (1, 2), err
    assert 'Traceback' not in err
    (line,) = [line for line in err.splitlines() if re.match(r'(\S+\.py: )?error: ', line)]
    assert err.rstrip().endswith(line)
    assert re.search(message, line), line


@pytest.mark.parametrize(('arguments', 'message'), cases(TRAIN))
def test_train(arguments: list[str], message: str, files: Path, run_tool: RunTool) -> None:
    check(run_tool, 'train.py', ['tiny.py', *arguments], message)


@pytest.mark.slow
@pytest.mark.parametrize(('arguments', 'message'), cases(MOCO_LINES))
def test_queue(arguments: list[str], message: str, files: Path, run_tool: RunTool) -> None:
    check(run_tool, 'train.py', ['moco.py', *arguments], message)


@pytest.mark.parametrize('tool', TOOLS)
@pytest.mark.parametrize(('config', 'message'), cases(CONFIGS.items()))
def test_config(tool: str, config: str, message: str, files: Path, run_tool: RunTool) -> None:
    check(run_tool, tool, [config, *TOOLS[tool]], message)


@pytest.mark.parametrize('tool', TOOLS)
def test_option(tool: str, files: Path, run_tool: RunTool) -> None:
    config = 'labelled.py' if tool in ('knn.py', 'evaluate.py') else 'tiny.py'
    option = 'model.backbone.dpeth=50'
    message = 'model.backbone.dpeth.*did you mean depth'
    check(run_tool, tool, [config, *TOOLS[tool], SET, option], message)


@pytest.mark.parametrize(('tool', 'arguments', 'message'), cases(OTHERS))
def test_others(
    tool: str, arguments: list[str], message: str, files: Path, run_tool: RunTool
) -> None:
    check(run_tool, tool, arguments, message)
