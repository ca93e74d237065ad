"""Several machines, played by several launchers on this one."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

# Stands in for slurm's: notes its arguments and starts the command twice, as two tasks.
SRUN = """#!/usr/bin/env bash
echo "$@" >"$SRUN_LOG"
while [[ $1 == -* ]]; do shift; done
for task in 0 1; do
    SLURM_PROCID=$task SLURM_LOCALID=$task SLURM_NTASKS=2 SLURM_NODELIST=localhost "$@" &
    tasks[task]=$!
done
wait "${tasks[0]}" && wait "${tasks[1]}"
"""


def losses(work_dir: Path) -> list[float]:
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line)['loss'] for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_two_nodes_and_slurm_train_as_two_processes_do(
    pretrain_config: Path,
    tool_command: Callable[..., list[str]],
    tool_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    def dist_train(work_dir: str, processes: int, **environment: str) -> subprocess.Popen:
        return subprocess.Popen(
            tool_command('dist_train.sh', pretrain_config, processes, '--work-dir', work_dir),
            env={**tool_environment, **environment},
            cwd=tmp_path,
        )

    assert dist_train('one_node', 2).wait(timeout=300) == 0

    nodes = [dist_train('two_nodes', 1, NNODES='2', NODE_RANK=str(rank)) for rank in range(2)]
    assert [node.wait(timeout=300) for node in nodes] == [0, 0]

    (tmp_path / 'bin').mkdir()
    srun = tmp_path / 'bin/srun'
    srun.write_text(SRUN)
    srun.chmod(0o755)
    subprocess.run(
        tool_command('slurm_train.sh', 'part', 'job', pretrain_config, 'slurm', '--no-validate'),
        env={
            **tool_environment,
            'PATH': f'{tmp_path / "bin"}:{os.environ["PATH"]}',
            'SRUN_LOG': str(tmp_path / 'srun.log'),
            'SRUN_ARGS': '--time=1 --quiet',
            'GPUS': '2',
            'GPUS_PER_NODE': '2',
            'GRES': '',
            'MASTER_ADDR': '127.0.0.1',
        },
        cwd=tmp_path,
        check=True,
        timeout=300,
    )
    words = (tmp_path / 'srun.log').read_text().split()
    assert words[:8] == [
        '--partition=part',
        '--job-name=job',
        '--ntasks=2',
        '--ntasks-per-node=2',
        '--cpus-per-task=5',
        '--kill-on-bad-exit=1',
        '--time=1',
        '--quiet',
    ]

    expected = losses(tmp_path / 'one_node')
    assert len(expected) == 6
    assert losses(tmp_path / 'two_nodes') == expected
    assert losses(tmp_path / 'slurm') == expected
