"""What mmengine writes of a run: whole lines, an error that names the file, names of any kind."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.visualization import LocalVisBackend

from mmjoint.engine.log_files import mend_logger, mend_scalars, write_config


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalVisBackend:
    for name in ('_dump', 'add_config'):
        monkeypatch.setattr(LocalVisBackend, name, getattr(LocalVisBackend, name))
    mend_scalars()
    return LocalVisBackend(str(tmp_path))


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[MMLogger]:
    made = MMLogger('log_files', log_file=str(tmp_path / 'run.log'))
    mend_logger(made)
    yield made
    made.handlers[1].close()


def test_values(backend: LocalVisBackend, full_disk: Callable, tmp_path: Path) -> None:
    backend.add_scalars(dict(loss=1.5), step=1)
    path = tmp_path / 'scalars.json'
    with full_disk(40), pytest.raises(OSError, match=f'cannot write {path}: File too large'):
        backend.add_scalars(dict(loss=2.5, accuracy=0.5), step=2)
    backend.add_scalar('loss', 3.5, step=3)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [dict(loss=1.5, step=1), dict(loss=3.5, step=3)]


@pytest.mark.parametrize('name', ['vis.py', 'own.json'])
def test_config(backend: LocalVisBackend, full_disk: Callable, tmp_path: Path, name: str) -> None:
    cfg = Config(dict(folder='caf\udce9', numbers=list(range(100))))

    def write() -> None:
        if name == 'vis.py':
            backend.add_config(cfg)
        else:
            write_config(cfg, str(tmp_path / name))

    path = tmp_path / dict([('vis.py', 'config.py')]).get(name, name)
    with full_disk(20), pytest.raises(OSError, match=f'cannot write {path}: File too large'):
        write()
    assert list(tmp_path.iterdir()) == []
    write()
    assert Config.fromfile(path).to_dict() == cfg.to_dict()


def test_log(
    logger: MMLogger, full_disk: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / 'run.log'
    logger.info('caf\udce9')
    assert r'caf\udce9' in path.read_text()
    with full_disk(100), pytest.raises(OSError, match=f'cannot write {path}: File too large'):
        logger.info('x' * 200)
    logger.handlers[1].close()  # as at the end of the program
    told = capsys.readouterr()
    assert 'Traceback' not in told.err + told.out
