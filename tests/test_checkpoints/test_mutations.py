"""Every way into the program takes whole checkpoints and refuses bad ones in a line, all others.

As a program, ``python test_mutations.py FOLDER [EVERY]`` counts what becomes of all mutations.
"""

import collections
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import initialize
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from PIL import Image
from torch import nn

from mmjoint import engine
from mmjoint.checkpoints import load_backbone
from mmjoint.models import StrictPretrained

if __name__ == '__main__':  # as a program it belongs to no package
    from mutations import mutations
else:
    from .mutations import mutations

# Small, so that hundreds of files take minutes; what convert.py refuses is in test_transfer.
BACKBONE = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, zero_init_residual=False)
# Of processor time, since other programs may have the machine too; and of the clock.
SECONDS, PATIENCE = 20, 400
# What a run that starts from a checkpoint may leave aside, in one line of its log.
PARTIAL = ('dropped', 'renamed', 'transposed', 'empty', 'half of it', 'more', 'without', 'another')


def config(folder: Path) -> Config:
    for name in 'ab':
        (folder / 'images' / name).mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (32, 32)).save(folder / 'images' / name / '1.png')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    dataset = dict(type='CustomDataset', data_root=str(folder / 'images'), pipeline=pipeline)
    loader = dict(batch_size=2, dataset=dataset, sampler=dict(type='DefaultSampler', shuffle=False))
    loader |= dict(num_workers=0, collate_fn=dict(type='default_collate'))
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='ImageClassifier',
                backbone=BACKBONE,
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=2, in_channels=64),
            ),
            work_dir=str(folder / 'work'),
            train_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=3),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
            load_from=str(folder / 'checkpoint.pth'),
            log_level='ERROR',
            experiment_name=f'mutations_{folder.name}_{time.time_ns()}',
        )
    )


class WaysIn:
    """All that reads a checkpoint, on one file ``checkpoint.pth`` of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / 'checkpoint.pth'
        init_default_scope('mmpretrain')
        cfg = config(folder)
        self.runners = {}
        for way, strict, resume in (
            ('load_from', False, False), ('test.py', True, False), ('--resume', True, True),
        ):  # fmt: skip
            cfg.resume = resume
            cfg.experiment_name += way
            self.runners[way] = runner = engine.build_runner(cfg.copy(), strict)
            runner._train_loop = runner.build_train_loop(runner._train_loop)
            runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        self.backbone = MODELS.build(BACKBONE)
        self.content = dict(
            meta=dict(epoch=1, iter=1, seed=0, cfg=cfg.pretty_text, dataset_meta=None),
            message_hub=runner.message_hub.state_dict(),
            state_dict=runner.model.state_dict(),
            optimizer=runner.optim_wrapper.state_dict(),
            param_schedulers=[],
        )
        self.expected = {k: v.clone() for k, v in runner.model.backbone.state_dict().items()}

    def run(self, way: str) -> nn.Module | None:
        """Go one way; return what has got the weights, if it is a backbone."""
        if way in self.runners:
            runner = self.runners[way]
            runner._has_loaded = False
            runner.load_or_resume()
            return runner.model.backbone
        backbone = self.backbone
        if way == 'evaluate, knn, SDF':
            load_backbone(backbone, self.path)
        elif way == 'StrictPretrained':
            StrictPretrained(str(self.path))(backbone)
        else:
            init_cfg = dict(type='Pretrained', checkpoint=str(self.path), prefix='backbone.')
            initialize(backbone, init_cfg)
        return backbone

    @property
    def names(self) -> list[str]:
        more = ['evaluate, knn, SDF', 'StrictPretrained', 'Pretrained']
        return [*more, *self.runners]


def judge(ways: WaysIn, way: str, name: str, marker: Path) -> str:
    """Say what becomes of the file: ``right``, or what is wrong."""
    outcome = 'right'
    try:
        backbone = ways.run(way)
    except Exception as error:
        # What a tool tells in one line; anything else is a traceback.
        told = str(error)
        if name.startswith('plain/') and 'archive' not in name:
            outcome = f'refused though whole: {told}'
        elif not isinstance(error, ValueError | OSError):
            outcome = f'traceback {type(error).__name__}: {told.splitlines()[:1]}'
        elif str(ways.path) not in told or '\n' in told:
            outcome = f'no clear line: {told!r}'
    else:
        loose = way in ('load_from', 'Pretrained')
        if name.startswith('plain/'):
            state = {} if backbone is None else backbone.state_dict()
            for key, value in state.items():
                if not torch.allclose(value, ways.expected[key].to(value), rtol=1e-2, atol=1e-2):
                    outcome = f'wrong values of {key}'
        elif not (loose and any(word in name for word in PARTIAL)):
            outcome = 'accepted'
    if marker.exists():
        marker.unlink()
        outcome = 'EXECUTED'
    return outcome


def in_a_process(go: Callable[[], None], seconds: int) -> bool:
    """Fork, for what may never come back; tell whether it did in time."""
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            go()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) not in (-signal.SIGKILL, -signal.SIGXCPU)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def campaign(folder: Path, every: int = 1) -> dict[str, list[tuple[str, str]]]:
    """Take every so many-th mutation all ways; give what is not right, by its kind."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a fork has none of the others
    ways, marker = WaysIn(folder), folder / 'marker'
    found, count = collections.defaultdict(list), 0
    for number, (name, data) in enumerate(mutations(ways.content, marker)):
        if number % every:
            continue
        ways.path.write_bytes(data)
        results = folder / 'results.jsonl'
        results.write_text('')

        def go(name: str = name, results: Path = results) -> None:
            for way in ways.names:
                with open(results, 'a') as file:
                    print(json.dumps([way, judge(ways, way, name, marker)]), file=file)

        ended = in_a_process(go, SECONDS)
        outcomes = dict(map(json.loads, results.read_text().splitlines()))
        with open(folder / 'log.jsonl', 'a') as file:
            print(json.dumps([name, ended, outcomes]), file=file)
        for way in ways.names:
            count += 1
            outcome = outcomes.get(way, 'died' if ended else 'hung')
            if outcome != 'right':
                found[outcome.split(':')[0].split(' of ')[0]].append((name, way, outcome))
            if not ended and way not in outcomes:
                break  # the others were not tried
    torch.set_num_threads(threads)
    found['tried'] = count
    found['mutations'] = number // every + 1
    return found


def wrong(found: dict) -> list:
    return [
        case for key, cases in found.items() if key not in ('tried', 'mutations') for case in cases
    ]


@pytest.mark.slow
def test_some_bad_checkpoints_all_ways_in(tmp_path):
    found = campaign(tmp_path, every=40)
    assert found['mutations'] >= 6
    assert wrong(found) == []


@pytest.mark.slow
def test_all_bad_checkpoints_all_ways_in(tmp_path):
    found = campaign(tmp_path)
    assert found['mutations'] >= 200
    assert wrong(found) == []


if __name__ == '__main__':
    result = campaign(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    for kind, cases in result.items():
        print(kind, cases if isinstance(cases, int) else len(cases))
        for case in [] if isinstance(cases, int) else cases:
            print('   ', case)
