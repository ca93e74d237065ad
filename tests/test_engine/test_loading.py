"""Checkpoints reach a Runner as data, from files and addresses, and only where they fit."""

import functools
import http.server
import logging
import threading

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, BaseModule, initialize
from mmengine.runner import CheckpointLoader, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmjoint.checkpoints import CheckpointError
from mmjoint.engine.loading import (
    CheckHook,
    check_weights,
    load_from_file_or_address,
    use_safe_loader,
)


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))

    def forward(self, x, mode='tensor'):
        return {'loss': self.backbone(x).square().mean()}


@pytest.fixture(autouse=True)
def _restored_loaders(monkeypatch):
    from mmengine.registry import WEIGHT_INITIALIZERS

    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setattr(WEIGHT_INITIALIZERS, '_module_dict', dict(WEIGHT_INITIALIZERS._module_dict))
    use_safe_loader()


def make_runner(folder, name, hooks=(), **arguments):
    runner = Runner(
        model=Net(),
        work_dir=str(folder / name),
        train_dataloader=DataLoader([{'x': x} for x in torch.randn(8, 3)], batch_size=4),
        train_cfg=dict(by_epoch=True, max_epochs=arguments.pop('max_epochs', 1)),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=list(hooks),
        experiment_name=f'test_loading_{name}',
        log_level='ERROR',
        **arguments,
    )
    if arguments.get('load_from'):
        hook = CheckHook(arguments['load_from'], strict=bool(arguments.get('resume')))
        runner.register_hook(hook, priority='VERY_HIGH')
    return runner


@pytest.fixture
def trained(tmp_path):
    make_runner(tmp_path, 'first', [dict(type='EMAHook', momentum=0.5)]).train()
    return tmp_path / 'first/epoch_1.pth'


def test_config_in_a_checkpoint_is_not_run(tmp_path, trained):
    checkpoint = torch.load(trained, weights_only=False)
    checkpoint['meta']['config'] = f'open({str(tmp_path / "ran")!r}, "w")\ngpu_ids = [0]'
    torch.save(checkpoint, trained)
    runner = make_runner(
        tmp_path, 'second', [dict(type='EMAHook')], load_from=str(trained), resume=True,
        max_epochs=2,
    )  # fmt: skip
    runner.train()
    assert runner.epoch == 2
    assert not (tmp_path / 'ran').exists()


class Payload:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, 'w')


@pytest.fixture
def address(tmp_path, monkeypatch):
    """An HTTP server of the folder ``web``; downloads go to ``hub``."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    (tmp_path / 'web').mkdir()

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Silent, directory=str(tmp_path / 'web'))
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    thread.join()


def test_addresses(tmp_path, address):
    weights = Net().state_dict()
    torch.save({'state_dict': weights}, tmp_path / 'web/good.pth')
    torch.save(
        {'state_dict': weights, 'meta': Payload(tmp_path / 'ran')}, tmp_path / 'web/evil.pth'
    )
    read = CheckpointLoader.load_checkpoint(f'{address}/good.pth')['state_dict']
    for key, value in weights.items():
        assert torch.equal(read[key], value)
    with pytest.raises(CheckpointError, match=r'evil\.pth: holds [\w.]*open, which is neither'):
        CheckpointLoader.load_checkpoint(f'{address}/evil.pth')
    with pytest.raises(CheckpointError, match=r'absent\.pth: cannot be downloaded .*404'):
        CheckpointLoader.load_checkpoint(f'{address}/absent.pth')
    for scheme in ('s3', 'cluster:s3', 'petrel', 'pavi', 'file', 'ftp', 'unknown'):
        with pytest.raises(CheckpointError, match='only local files and http'):
            CheckpointLoader.load_checkpoint(f'{scheme}://there/a.pth')
    with pytest.raises(CheckpointError, match='no address of this name'):
        CheckpointLoader.load_checkpoint('torchvision://resnet51')
    assert not (tmp_path / 'ran').exists()


def test_every_scheme_is_safe():
    assert set(CheckpointLoader._schemes.values()) == {load_from_file_or_address}


def nan(weights):
    weights['backbone.0.weight'][0, 0] = float('nan')


def integers(weights):
    weights['backbone.0.weight'] = weights['backbone.0.weight'].int()


def negative(weights):
    weights['backbone.1.running_var'] -= 2


def text(weights):
    weights['backbone.0.bias'] = 'bias'


def of_others(weights):
    for key in list(weights):
        weights[f'encoder.{key}'] = weights.pop(key)


@pytest.mark.parametrize('strict', [True, False])
@pytest.mark.parametrize(
    'change, message',
    [
        (nan, r'1 not finite: NaN or infinity \(backbone\.0\.weight\)'),
        (integers, r'1 of no type of weights \(backbone\.0\.weight int32\)'),
        (negative, r'1 negative \(backbone\.1\.running_var\)'),
        (text, r'1 of no type of weights \(backbone\.0\.bias str\)'),
        (of_others, r'7 missing .*7 unexpected \(encoder\.backbone\.0\.weight'),
    ],
)
def test_weights_that_no_model_has(strict, change, message):
    weights = {key: value.clone() for key, value in Net().state_dict().items()}
    change(weights)
    with pytest.raises(CheckpointError, match=rf'^a\.pth: .*{message}'):
        check_weights(Net(), weights, 'a.pth', strict)


def test_partial_fit_is_said_in_one_line(caplog):
    weights = Net().state_dict()
    del weights['backbone.0.bias']
    weights['head.weight'] = torch.ones(2)
    with pytest.raises(CheckpointError, match='1 missing .*; 1 unexpected'):
        check_weights(Net(), weights, 'a.pth', strict=True)
    logger = MMLogger.get_instance('test_loading')
    logger.addHandler(caplog.handler)
    check_weights(Net(), weights, 'a.pth', strict=False)
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert record.getMessage() == (
        'a.pth: 6 of the 7 weights of this Net are taken; 1 missing (backbone.0.bias); '
        '1 unexpected (head.weight)'
    )


def test_weights_of_other_precisions_are_welcome():
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        weights = {k: v.to(dtype) if v.ndim else v for k, v in Net().state_dict().items()}
        check_weights(Net(), weights, 'a.pth', strict=True)


@pytest.mark.parametrize('damage', ['key', 'value', 'kind'])
def test_damaged_average_of_emahook(tmp_path, trained, damage):
    checkpoint = torch.load(trained, weights_only=False)
    average = checkpoint['ema_state_dict']
    if damage == 'key':
        average['module.more'] = torch.ones(1)
    elif damage == 'value':
        average['module.backbone.0.weight'] *= float('nan')
    else:
        checkpoint['ema_state_dict'] = [1]
    torch.save(checkpoint, trained)
    runner = make_runner(
        tmp_path, damage, [EMAHook()], load_from=str(trained), resume=True, max_epochs=2
    )
    with pytest.raises(CheckpointError, match=r'epoch_1\.pth: .*ema_state_dict'):
        runner.train()


def test_stock_pretrained(tmp_path):
    source = nn.Linear(3, 4)
    path = tmp_path / 'linear.pth'
    torch.save({'state_dict': {f'fc.{k}': v for k, v in source.state_dict().items()}}, path)

    class Module(BaseModule):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 4)

    target = Module()
    initialize(target, dict(type='Pretrained', checkpoint=str(path)))
    assert torch.equal(target.fc.weight, source.weight)
    target = nn.Linear(3, 4)
    initialize(target, dict(type='Pretrained', checkpoint=str(path), prefix='fc'))
    assert torch.equal(target.weight, source.weight)
    for prefix in (None, 'head'):
        with pytest.raises(CheckpointError, match=r'linear\.pth: no weight of it fits this Linear'):
            initialize(
                nn.Linear(3, 4), dict(type='Pretrained', checkpoint=str(path), prefix=prefix)
            )


def test_what_torch_compile_puts_into_names_does_not_count(tmp_path, trained):
    """Of a whole checkpoint, resumed by a model that is not compiled, and by one that is."""
    whole = torch.load(trained, weights_only=False)
    weights = {k: v.clone() for k, v in whole['state_dict'].items()}

    def compiled(names):
        return {k.replace('backbone.', 'backbone._orig_mod.'): v for k, v in names.items()}

    for key in ('state_dict', 'ema_state_dict'):
        whole[key] = compiled(whole[key])
    path = tmp_path / 'compiled.pth'
    torch.save(whole, path)
    for name, source in (('plain', path), ('compiled', path), ('back', trained)):
        hook = dict(type='EMAHook', momentum=0.5)
        runner = make_runner(tmp_path, name, [hook], load_from=str(source), resume=True)
        if name != 'plain':
            runner.model.backbone = torch.compile(runner.model.backbone)
        ema = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
        ema.before_run(runner)
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.load_or_resume()
        for model, expected in ((runner.model, 'ema'), (ema.ema_model.module, 'state')):
            own = {k.replace('_orig_mod.', ''): v for k, v in model.state_dict().items()}
            reference = weights if expected == 'state' else averaged_of(trained)
            assert own.keys() == reference.keys()
            assert all(torch.equal(value, reference[key]) for key, value in own.items()), name


def averaged_of(path):
    """Give what EMAHook has put aside: the weights, of which `state_dict` is the average."""
    saved = torch.load(path, weights_only=False)['ema_state_dict']
    return {k.removeprefix('module.'): v for k, v in saved.items() if k != 'steps'}


def test_pretrained_takes_compiled_names(tmp_path):
    source, module = nn.Linear(3, 4), nn.Linear(3, 4)
    path = tmp_path / 'compiled.pth'
    torch.save({f'backbone._orig_mod.{k}': v for k, v in source.state_dict().items()}, path)
    initialize(module, dict(type='Pretrained', checkpoint=str(path), prefix='backbone.'))
    assert torch.equal(module.weight, source.weight)
