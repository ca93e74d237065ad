"""What the shell scripts start: which Python, with which path, and who can reach the store."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# By script, its least arguments and the Python file that it is to start.
SCRIPTS = {
    'tools/dist_train.sh': (['CONFIG', '2'], 'tools/launch.py'),
    'tools/dist_test.sh': (['CONFIG', 'CKPT', '2'], 'tools/launch.py'),
    'tools/slurm_train.sh': (['PARTITION', 'JOB', 'CONFIG', 'FOLDER'], 'tools/train.py'),
    'transfer/detectron2/run_coco.sh': (['CKPT', '2'], 'transfer/detectron2/run.py'),
    'transfer/detectron2/run_voc.sh': (['CKPT', '2'], 'transfer/detectron2/run.py'),
    'transfer/mmdet/run_coco.sh': (['CKPT', '2'], 'transfer/mmdet/run.py'),
    'transfer/mmdet/run_voc.sh': (['CKPT', '2'], 'transfer/mmdet/run.py'),
    'transfer/torchvision/run_coco.sh': (['CKPT'], 'transfer/torchvision/train.py'),
    'transfer/torchvision/run_voc.sh': (['CKPT', '2'], 'tools/launch.py'),
}
# They set up or use an environment of their own, or are sourced by the others.
OTHERS = {
    'tools/build_docs.sh',
    'tools/common.sh',
    'tools/quickstart.sh',
    'tools/run_tests.sh',
    'tools/setup_env.sh',
    'transfer/mmdet/install.sh',
    'transfer/torchvision/run.sh',
}


def test_all_scripts_are_known():
    found = {str(path.relative_to(ROOT)) for path in ROOT.glob('t[or]*/**/*.sh')}
    assert found == SCRIPTS.keys() | OTHERS


def start(script: str, folder: Path, pythons: list[str], **environment: str) -> list[str]:
    """Run a script where these pythons are on the PATH; return what the one it took was given."""
    commands = folder / 'bin'
    commands.mkdir()
    for name in ('bash', 'dirname', 'sed'):
        (commands / name).symlink_to(shutil.which(name))
    (commands / 'srun').write_text(
        '#!/usr/bin/env bash\nwhile [[ $1 == -* ]]; do shift; done\nexec "$@"\n'
    )
    for name in pythons:
        (commands / name).write_text(
            f'#!/usr/bin/env bash\nprintf "%s\\n" {name} "$PYTHONPATH" "$@"\n'
        )
    for path in commands.iterdir():
        path.chmod(0o755)
    done = subprocess.run(
        [shutil.which('bash'), ROOT / script, *SCRIPTS[script][0]],
        env={'PATH': str(commands), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize('script', SCRIPTS)
def test_python_is_found_and_the_path_has_no_empty_entry(script, tmp_path):
    name, path, *arguments = start(script, tmp_path, ['python3'])
    assert name == 'python3' and path == str(ROOT)
    assert next(a for a in arguments if a.startswith('/')) == str(ROOT / SCRIPTS[script][1])
    assert arguments.count('CKPT') + arguments.count('CONFIG') >= 1


def test_python_comes_before_python3_and_the_variable_before_both(tmp_path):
    script = 'transfer/mmdet/run_voc.sh'
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    pythons = ['python', 'python3', 'mine']
    name, path, *_ = start(script, tmp_path / 'a', pythons, PYTHONPATH='/x:/y')
    assert (name, path) == ('python', f'{ROOT}:/x:/y')
    assert start(script, tmp_path / 'b', pythons, PYTHON='mine')[0] == 'mine'


def test_no_python_is_said(tmp_path):
    with pytest.raises(AssertionError, match='error: neither python nor python3 is on the PATH'):
        start('tools/dist_train.sh', tmp_path, [])


PROCESS = """
import os
from pathlib import Path
import torch.distributed as dist
dist.init_process_group('gloo')
port = f':{int(os.environ["MASTER_PORT"]):04X}'
rows = [line.split() for table in ('tcp', 'tcp6')
        for line in Path('/proc/net', table).read_text().splitlines()[1:]]
listening = [row[1] for row in rows if row[3] == '0A' and row[1].endswith(port)]
if dist.get_rank() == 0:
    print('listening', *listening)
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc/net')
def test_store_of_one_machine_listens_on_the_loopback_alone(tmp_path):
    script = tmp_path / 'process.py'
    script.write_text(PROCESS)
    done = subprocess.run(
        ['bash', '-c', f'source {ROOT}/tools/common.sh; launch 2 {script}'],
        env={**os.environ, 'PYTHON': sys.executable},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith('listening')]
    # 127.0.0.1 as the kernel writes it.
    assert len(told) == 1 and len(told[0]) == 1 and told[0][0].startswith('0100007F:')


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        done = subprocess.run(
            ['bash', ROOT / 'tools/dist_train.sh', 'nothing.py', '2'],
            env={**os.environ, 'PYTHON': sys.executable, 'PORT': str(taken.getsockname()[1])},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert 'cannot connect' in line and 'ddress already in use' in line
    assert 'Traceback' not in done.stderr
