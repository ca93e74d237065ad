"""The tools answer --help and mistyped arguments without importing anything that takes seconds."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from mmjoint.checkpoints import BLOCKS, TARGETS

ROOT = Path(__file__).resolve().parents[2]
TOOLS = sorted(
    path.relative_to(ROOT)
    for pattern in (
        'tools/*.py',
        'tools/benchmarks/*.py',
        'transfer/*.py',
    )
    for path in ROOT.glob(pattern)
    if 'start(main, parse_args())' in path.read_text()
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which nothing but the standard library can be imported."""
    for name in ('torch', 'mmengine', 'mmcv', 'mmpretrain', 'mmjoint', 'numpy', 'matplotlib'):
        (tmp_path / f'{name}.py').write_text(f'raise SystemExit("{name} was imported")')
    return os.environ | {'PYTHONPATH': str(tmp_path)}


@pytest.mark.parametrize('tool', TOOLS, ids=str)
@pytest.mark.parametrize(('argument', 'status'), [('--help', 0), ('--no-such-argument', 2)])
def test_arguments_are_read_first(
    tool: Path, argument: str, status: int, environment: dict[str, str]
) -> None:
    command = [sys.executable, str(ROOT / tool), argument]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    assert f'usage: {tool.name}' in (done.stdout if status == 0 else done.stderr)


def test_choices_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts that do not import the package before they read their arguments repeat them."""
    convert = runpy.run_path(str(ROOT / 'transfer/convert.py'))
    assert convert['TARGETS'] == tuple(TARGETS) and convert['DEPTHS'] == tuple(BLOCKS)
    monkeypatch.syspath_prepend(ROOT / 'tools/benchmarks')
    monkeypatch.setattr(os, 'environ', os.environ.copy())  # which views.py changes
    from view_benchmark.recipes import RECIPES

    views = runpy.run_path(str(ROOT / 'tools/benchmarks/views.py'))
    assert views['RECIPES'] == tuple(RECIPES)


def test_every_tool_is_tried() -> None:
    """But for those that import mmjoint first."""
    programs = {
        path.relative_to(ROOT)
        for pattern in ('tools/*.py', 'tools/benchmarks/*.py', 'transfer/*.py')
        for path in ROOT.glob(pattern)
        if '__main__' in path.read_text()
    }
    others = {Path('tools/launch.py'), Path('tools/benchmarks/step.py')}
    assert programs - others == set(TOOLS)


@pytest.mark.parametrize(
    ('package', 'tool'), [('mmjoint', 'make_scenes.py'), ('torch', 'launch.py')]
)
def test_what_is_not_installed_is_one_line(tmp_path: Path, package: str, tool: str) -> None:
    (tmp_path / f'{package}.py').write_text(
        f'raise ModuleNotFoundError("No module named {package!r}", name="{package}")'
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / tool), 'out'],
        env=os.environ | {'PYTHONPATH': str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f'error: No module named {package!r}') and 'pip install' in line


def test_the_environment_of_the_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / 'tools')
    from command_line import not_installed

    monkeypatch.setattr(sys, 'prefix', '/usr')
    line = not_installed(ImportError("No module named 'torch'"))
    activate = ROOT / '.venv/bin/activate'
    assert (str(activate) in line) is activate.is_file()
