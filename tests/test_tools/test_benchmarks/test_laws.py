"""The table of laws: its distances are those of samples from the laws themselves."""

import re


def test_table(run_tool):
    status, out, err = run_tool('benchmarks/laws.py', '--pairs', 300)
    assert status == 0, err
    rows = re.findall(r'^\| (Joint\w+\.\w+) \| (.*) \|$', out, flags=re.MULTILINE)
    assert len(rows) == 11 and '1 of 100 exceeds 0.0940' in out
    for name, row in rows:
        numbers = [float(word) for word in row.split(' | ')]
        # Areas that do not fit are drawn anew with beta None.
        assert max(numbers[name == 'JointCrop.area' :]) < 1.95 / 300**0.5
    status, _, err = run_tool('benchmarks/laws.py', '--pairs', 0)
    assert status != 0 and '--pairs must be at least 1' in err
