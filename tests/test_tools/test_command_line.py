"""The tools answer --help and mistyped arguments without importing anything that takes seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / 'tools').glob('*.py')
    if path.stem not in ('command_line', 'launch')
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which nothing but the standard library can be imported."""
    for name in ('torch', 'mmengine', 'mmcv', 'mmpretrain', 'mmjoint', 'numpy', 'matplotlib'):
        (tmp_path / f'{name}.py').write_text(f'raise SystemExit("{name} was imported")')
    return os.environ | {'PYTHONPATH': str(tmp_path)}


@pytest.mark.parametrize('tool', TOOLS, ids=lambda path: path.stem)
@pytest.mark.parametrize(('argument', 'status'), [('--help', 0), ('--no-such-argument', 2)])
def test_arguments_are_read_first(
    tool: Path, argument: str, status: int, environment: dict[str, str]
) -> None:
    command = [sys.executable, str(ROOT / tool), argument]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    assert f'usage: {tool.name}' in (done.stdout if status == 0 else done.stderr)


def test_missing_mmjoint_is_one_line(tmp_path: Path) -> None:
    (tmp_path / 'mmjoint.py').write_text(
        'raise ModuleNotFoundError("No module named \'mmjoint\'", name="mmjoint")'
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tools/make_scenes.py'), 'out'],
        env=os.environ | {'PYTHONPATH': str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: No module named 'mmjoint'") and 'pip install' in line
