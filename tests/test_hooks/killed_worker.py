"""A training run that is killed in the middle of writing its second checkpoint.

Called as ``python killed_worker.py WORK_DIR HOOK``. The kernel kills a process whose file grows
over the limit at once, as kill -9 would, and always at the same byte.
"""

import resource
import signal
import sys

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

import mmjoint  # noqa: F401  registers the hooks


class Model(BaseModel):
    """One weight of 2 MB; the second iteration sets the limit."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(500_000))
        self.iteration = 0

    def forward(self, inputs: torch.Tensor, mode: str = 'loss') -> dict:
        self.iteration += 1
        if self.iteration == 2:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        return dict(loss=self.weight.sum())


if __name__ == '__main__':
    Runner(
        model=Model(),
        work_dir=sys.argv[1],
        train_dataloader=dict(
            batch_size=1,
            dataset=torch.zeros(4, 1),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=lambda batch: dict(inputs=torch.stack(batch)),
        ),
        train_cfg=dict(by_epoch=False, max_iters=4),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(
            checkpoint=dict(type=sys.argv[2], interval=1, by_epoch=False, max_keep_ckpts=1)
        ),
    ).train()
