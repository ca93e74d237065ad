"""What is installed, and what `import mmjoint` does with and without the mm stack."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from mmengine.config.utils import _get_cfg_metainfo
from packaging.requirements import Requirement

import mmjoint

ROOT = Path(__file__).resolve().parents[1]
SIMCLR = 'simclr_resnet50_jointcrop0-8xb64-coslr-100e_in1k'


def run_python(code: str, *args: str, path: list[Path]) -> subprocess.CompletedProcess:
    env = os.environ | {'PYTHONPATH': os.pathsep.join(map(str, path))}
    # Elsewhere, since -c puts the working folder first on sys.path.
    return subprocess.run(
        [sys.executable, *args, '-c', code],
        env=env,
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        timeout=300,
    )


def files(folder: Path) -> set[Path]:
    """Relative paths of all files, without hidden folders and byte code."""
    found = {path.relative_to(folder) for path in folder.rglob('*') if path.is_file()}
    return {f for f in found if f.parts[0] != '.mim' and '__pycache__' not in f.parts}


@pytest.fixture(scope='module')
def without_mm(tmp_path_factory) -> list[Path]:
    """A search path that has everything installed here but the mm stack."""
    site = tmp_path_factory.mktemp('site')
    for entry in Path(sysconfig.get_path('purelib')).iterdir():
        if not re.match(r'(onedl_)?mm(engine|cv|pretrain)', entry.name):
            (site / entry.name).symlink_to(entry)
    return [ROOT, site]


def test_version_is_that_of_the_distribution():
    assert mmjoint.__version__ == version('mmjoint')


def test_tested_set_is_within_the_ranges():
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith('#')]
    pins = {
        pin.name: str(pin.specifier).removeprefix('==')
        for pin in pinned
        if pin.marker is None or pin.marker.evaluate()
    }
    for line in requires('mmjoint'):
        requirement = Requirement(line)
        # Peers and the builder of the site are installed by those who ask for them.
        if str(requirement.marker) not in ('extra == "bench"', 'extra == "docs"'):
            assert requirement.specifier.contains(pins[requirement.name]), line


def test_import_registers_and_loads_neither_cuda_nor_numba():
    done = run_python(
        'import mmjoint, torch; from mmengine.registry import TRANSFORMS;'
        "print('JointCrop' in TRANSFORMS.module_dict, torch.cuda.is_initialized(), end=' ');"
        "import sys; print('numba' in sys.modules)",
        path=[],
    )
    assert done.stdout.split()[-3:] == ['True', 'False', 'False'], done.stderr


def test_without_mm_import_warns_and_a_transform_is_an_import_error(without_mm):
    code = """
        import warnings; warnings.showwarning = lambda message, *_: print(message)
        import mmjoint
        from mmjoint.distributions import JointDistribution
        from mmjoint import checkpoints
        print(len(JointDistribution(0.2, 1.0).sample()))
        print(hasattr(mmjoint, 'no_such_name'))
        for statement in 'from mmjoint import JointCrop', 'mmjoint.JointCrop', 'mmjoint.models':
            try:
                exec(statement)
            except Exception as error:
                print(f'{type(error).__name__}: {error}')
        mmjoint.JointView
    """
    done = run_python(textwrap.dedent(code), '-S', path=without_mm)
    warning, pair, unknown, *errors = done.stdout.splitlines()
    assert warning.startswith('mmengine, mmcv, mmpretrain not installed')
    assert "pip install 'mmjoint[mm]'" in warning
    assert (pair, unknown) == ('2', 'False')
    assert done.returncode == 1 and len(errors) == 3
    for error in (*errors, done.stderr.splitlines()[-1]):
        assert error.startswith('ImportError: mmengine, mmcv, mmpretrain not')


@pytest.mark.parametrize(
    ('error', 'shown'),
    [
        ('libGL.so.1: cannot open shared object file', 'apt-get install libgl1 libglib2.0-0'),
        ('libgthread-2.0.so.0: cannot open shared object file', 'apt-get install libgl1'),
        ('numpy.core.multiarray failed to import', 'ImportError: numpy.core.multiarray failed'),
    ],
)
def test_broken_opencv_is_explained_or_shown_as_it_is(tmp_path, error, shown):
    (tmp_path / 'cv2.py').write_text(f'raise ImportError({error!r})')
    done = run_python('import mmjoint', path=[tmp_path])
    assert done.returncode == 1
    assert shown in done.stderr.splitlines()[-1]


# As version 5: what BLIP takes from here is gone, and it goes on with None in its place.
TRANSFORMERS = {
    'transformers/__init__.py': "__version__ = '5.1.0'",
    'transformers-5.1.0.dist-info/METADATA': """\
        Metadata-Version: 2.1
        Name: transformers
        Version: 5.1.0
        """,
}


def write_packages(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))


@pytest.fixture
def transformers_5(tmp_path) -> Path:
    """A search path with a transformers that mmpretrain's multimodal models fail with."""
    write_packages(tmp_path, TRANSFORMERS)
    done = run_python('import mmpretrain.models', path=[tmp_path])
    assert done.returncode == 1  # or else this tests nothing
    assert 'mmpretrain/models/multimodal' in done.stderr or 'utils/huggingface' in done.stderr
    return tmp_path


@pytest.mark.slow
def test_import_with_transformers_5(transformers_5):
    code = 'import mmjoint; from mmpretrain.registry import MODELS; print(MODELS.get("SimCLR"))'
    done = run_python(code, path=[transformers_5])
    assert done.stdout == "<class 'mmpretrain.models.selfsup.simclr.SimCLR'>\n", done.stderr
    assert done.stderr == ''  # nor anything else: no warning, no 'Could not import OneDL'


@pytest.mark.slow
@pytest.mark.parametrize(
    'error',
    [
        'TypeError',
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ('AttributeError', 'ImportError', 'RuntimeError')
        ),
    ],
)
def test_import_with_a_broken_optional_package(tmp_path, error):
    for name in ('albumentations', 'onedl'):
        (tmp_path / f'{name}.py').write_text(f'raise {error}("broken")')
    code = """
        import sys, mmjoint
        from mmengine.registry import TRANSFORMS
        print("JointCrop" in TRANSFORMS.module_dict, "albumentations" in sys.modules)
    """
    done = run_python(textwrap.dedent(code), path=[tmp_path])
    assert done.stdout == 'True False\n', done.stderr


def test_wheel_holds_configs_and_tools_where_mim_looks(tmp_path):
    source = tmp_path / 'source'
    unwanted = shutil.ignore_patterns('.*', 'build', 'work_dirs', 'data', '*.egg-info')
    shutil.copytree(ROOT, source, ignore=unwanted)
    subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation']
        + ['--wheel-dir', str(tmp_path), str(source)],
        check=True,
    )
    site = tmp_path / 'site'
    (wheel,) = tmp_path.glob('mmjoint-*.whl')
    zipfile.ZipFile(wheel).extractall(site)

    done = run_python(
        "from mmengine.utils import get_installed_path as get; print(get('mmjoint'))", path=[site]
    )
    mim = Path(done.stdout.splitlines()[-1]) / '.mim'
    assert mim == site / 'mmjoint/.mim', done.stderr
    assert files(site / 'mmjoint') == files(ROOT / 'mmjoint')
    assert files(mim / 'configs') == files(ROOT / 'configs') != set()
    assert (mim / 'tools/train.py').is_file()
    assert files(mim / 'transfer') == files(ROOT / 'transfer') != set()
    assert not (mim / 'tools/setup_env.sh').exists()
    # How mmengine and mim find a config and what is known of it.
    model = _get_cfg_metainfo(str(site / 'mmjoint'), f'simclr/{SIMCLR}.py')
    assert (model['Name'], model['In Collection']) == (SIMCLR, 'SimCLR')


def test_set_up_says_what_python_it_needs(tmp_path):
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'mmjoint').mkdir()
    for name in ('setup.py', 'requirements.txt', 'mmjoint/version.py', 'tools/setup_env.sh'):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / 'tools/run_tests.sh', tmp_path / 'tools')
    path = tmp_path / 'bin'
    path.mkdir()
    for name in ('bash', 'cat', 'cksum', 'dirname', 'mkdir', 'rm'):
        (path / name).symlink_to(shutil.which(name))

    def last_line() -> str:
        done = subprocess.run(
            [path / 'bash', tmp_path / 'tools/run_tests.sh'],
            env={'PATH': str(path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        return done.stderr.splitlines()[-1]

    assert last_line().startswith('mmjoint: no Python 3.10 or later on the PATH')
    python = path / 'python3.12'
    python.write_text(
        f'#!/bin/bash\n[ "$2" = "import ensurepip" ] && exit 1\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    assert 'apt-get install python3-venv' in last_line()
    (tmp_path / '.venv/.mmjoint-installing').write_text(str(os.getpid()))
    assert last_line().startswith(f'mmjoint: process {os.getpid()} is setting up')


def test_what_a_config_names_of_ours_can_be_imported_from_the_package():
    """Every registered joint transform and algorithm is public at the top."""
    from mmpretrain.registry import TRANSFORMS

    public = {name for name in mmjoint.transforms.__all__ if not name.endswith('Params')}
    assert set(mmjoint.__all__) >= public | {'JointParams'}
    for name in mmjoint.__all__:
        assert hasattr(mmjoint, name), name
    assert TRANSFORMS.get('JointView') is mmjoint.JointView
