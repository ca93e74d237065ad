"""The notebook's cells run in order, at a tiny size, and say what they should.

They are executed here by themselves: a kernel and its packages would add to the installation and
test nothing of ours.
"""

import ast
import json
import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from mmengine.registry import DefaultScope

NOTEBOOK = Path(__file__).resolve().parents[1] / 'docs/joint_pairs.ipynb'
TINY = {'NUM_DRAWS': 500, 'NUM_IMAGES': 16, 'EPOCHS': 1, 'BATCH_SIZE': 8}


def test_nothing_of_a_run_is_committed():
    cells = json.loads(NOTEBOOK.read_text())['cells']
    for cell in cells:
        assert not cell.get('outputs') and not cell.get('execution_count')


def test_what_it_imports_is_there():
    for cell in json.loads(NOTEBOOK.read_text())['cells']:
        if cell['cell_type'] == 'code':
            for line in ast.parse(''.join(cell['source'])).body:
                if isinstance(line, ast.Import | ast.ImportFrom):
                    exec(ast.unparse(line), {})


@pytest.mark.slow
def test_cells_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, 'show', lambda: None)
    names = {}
    with mpl.rc_context({'backend': 'Agg'}), DefaultScope.overwrite_default_scope('mmpretrain'):
        for cell in json.loads(NOTEBOOK.read_text())['cells']:
            if cell['cell_type'] == 'code':
                source = ''.join(cell['source'])
                for name, value in TINY.items():
                    source = re.sub(rf'(?m)^{name} = .*', f'{name} = {value}', source)
                exec(compile(source, NOTEBOOK.name, 'exec'), names)
    plt.close('all')
    assert names['NUM_IMAGES'] == 16 and (tmp_path / 'joint_pairs/epoch_1.pth').is_file()
    # The closed forms, within four standard errors of 500 draws.
    for beta, expected in ((None, 0.28125), (0.0, 0.5693)):
        assert abs(names['beyond'][beta] - expected) < 4 * (expected * (1 - expected) / 500) ** 0.5
    assert [row['num_images'] for row in names['rows']] == [16] * 4
    assert all(-1 <= row['sdf'] <= 1 for row in names['rows'])
    assert 'beta -2.0' in capsys.readouterr().out
