"""A row and a table of the paper: what they hold, their commands, and their text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

_Named = TypeVar('_Named', bound=Any)


@dataclass(frozen=True)
class Row:
    """One number of a table.

    Args:
        method (str): The contrastive method, such as ``'MoCo v2'``.
        variant (str): The change to the method, such as ``'J-Crop(0)'``; ``'baseline'`` for none.
        config (str): The pretraining config, as ``'folder/name'`` below ``configs``, without .py.
        probe (str): The config of the linear probe below ``configs/benchmarks``, or the script of
            the detector below ``transfer/detectron2``.
        accuracy (float, optional): The number that the paper reports: top-1 accuracy or the AP of
            boxes, in percent, or seconds. None if it reports none.
        data (str): The data set, if the table has several.
        beta (str): Betas that are set in the config, in the words of ``--beta``, such as
            ``'JointBlur=2'``. Defaults to ``''``, the config as it is.
        more (dict[str, float]): Further numbers that the paper reports, such as ``AP50``.
    """

    method: str
    variant: str
    config: str
    probe: str
    accuracy: float | None
    data: str = ''
    beta: str = ''
    more: dict[str, float] = field(default_factory=dict, hash=False)

    @property
    def group(self) -> tuple[str, str]:
        """The method and the data set; rows with the same group share a baseline."""
        return self.method, self.data

    @property
    def key(self) -> str:
        """The config and the betas: what tells the runs of two rows apart."""
        return f'{self.config} {self.beta}'.rstrip()

    @property
    def folder(self) -> str:
        """The folder of the row's reduced runs, below ``--work-dirs``."""
        return self.key.rpartition('/')[2].replace(' ', '_')


@dataclass(frozen=True)
class Table:
    """A table of the paper, a sentence of it that contains numbers, or what it leaves open.

    Args:
        name (str): The value that ``--table`` takes.
        title (str): What the table measures.
        rows (tuple[Row, ...]): Its numbers; the first of each method and data set is the baseline.
        note (str): What the paper does not specify, and what is used here.
        metrics (tuple[str, ...]): What a reduced run measures: ``'linear'`` and ``'knn'`` accuracy,
            or ``'seconds'``.
        heading (str): What it is called; ``''`` for the paper's ``'Table NAME'``.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    note: str = ''
    metrics: tuple[str, ...] = ('linear', 'knn')
    heading: str = ''

    @property
    def label(self) -> str:
        """What the table is called."""
        return self.heading or f'Table {self.name}'

    @property
    def of_detectors(self) -> bool:
        """Whether the rows are fine-tuned detectors, for which there are no reduced runs."""
        return self.rows[0].probe.endswith('.sh')

    def baseline_of(self, row: Row) -> Row:
        """Return the baseline with which a row is compared."""
        return next(other for other in self.rows if other.group == row.group)

    def gain_of(self, row: Row) -> float | None:
        """Return the difference from the baseline that the paper reports; None without one."""
        baseline = self.baseline_of(row)
        if row is baseline or row.accuracy is None or baseline.accuracy is None:
            return None
        return row.accuracy - baseline.accuracy


def find_by_name(things: Sequence[_Named], name: str, option: str) -> _Named:
    """Return the table or the study of a name.

    Args:
        things (Sequence): What there is; each has a ``name``.
        name (str): The name.
        option (str): The option that names it, such as ``'--table'``.

    Raises:
        ValueError: There is none of that name; the message names those there are.
    """
    for thing in things:
        if thing.name == name:
            return thing
    names = ', '.join(thing.name for thing in things)
    what = option.removeprefix('--')
    raise ValueError(f'{option} {name}: there is no such {what}; there are {names}')


def pretrain_command(row: Row) -> str:
    """Return the command that pretrains a row at full size, with eight GPUs per machine."""
    gpus = _gpus(row.config)
    several = f'NNODES={gpus // 8} NODE_RANK=... MASTER_ADDR=... ' if gpus > 8 else ''
    beta = f' --beta {row.beta}' if row.beta else ''
    return f'{several}bash tools/dist_train.sh configs/{row.config}.py {min(gpus, 8)}{beta}'


def evaluate_command(row: Row) -> str:
    """Return the command that evaluates a row's checkpoint as the paper does; '' for no probe."""
    if not row.probe:
        return ''
    if row.probe.endswith('.sh'):
        return f'bash transfer/detectron2/{row.probe} CKPT 8'
    return (
        f'bash tools/dist_train.sh configs/benchmarks/{row.probe}.py {_gpus(row.probe)} '
        '--cfg-options model.backbone.init_cfg.checkpoint=CKPT'
    )


def _gpus(config: str) -> int:
    return int(re.findall(r'[_-](\d+)xb\d+-', config)[0])


def number(value: float | None, digits: int = 2) -> str:
    """Format a number that the paper reports; '' for None."""
    return '' if value is None else f'{value:.{digits}f}'


def format_markdown(table: Table) -> str:
    """Format a table for the index of the configs, ``configs/README.md``."""
    more = list(dict.fromkeys(name for row in table.rows for name in row.more))
    lines = [f'### {table.label}: {table.title}', '']
    if table.note:
        lines += [table.note, '']
    head = ['method', 'variant', 'config', 'probe', 'paper', *more]
    lines += [_cells(head), '|' + '---|' * len(head)]
    for row in table.rows:
        method = f'{row.method}, {row.data}' if row.data else row.method
        config = f'`{row.config.rpartition("/")[2]}`'
        if row.beta:
            config += f', `--beta {row.beta}`'
        probe = row.probe and f'`{row.probe}`'
        numbers = [number(row.accuracy), *(number(row.more.get(name), 1) for name in more)]
        lines.append(_cells([method, row.variant, config, probe, *numbers]))
    return '\n'.join(lines)


def _cells(texts: list[str]) -> str:
    return re.sub(r' +\|', ' |', '| ' + ' | '.join(texts) + ' |')
