"""One process of tests/test_models/test_distributed.py: loss and gradient of its share of a batch.

Called as ``python gradient_worker.py OUT`` with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set;
writes OUT.RANK. It works in double precision and with BN in eval mode, so that nothing but the
algorithm can differ between one process and two.
"""

import sys

import mmpretrain.models  # noqa: F401  registers the models
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmpretrain.registry import MODELS

import mmjoint  # noqa: F401  registers the models

BATCH = 8


def build(kind: str) -> torch.nn.Module:
    config = dict(
        type=kind,
        backbone=dict(type='ResNet', depth=18, norm_eval=True),
        neck=dict(
            type='MoCoV2Neck', in_channels=512, hid_channels=32, out_channels=16, with_avg_pool=True
        ),
        head=dict(
            type='ContrastiveHead',
            loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
            temperature=0.2,
        ),
    )
    if kind == 'MoCo':
        config.update(queue_len=32, feat_dim=16)
    torch.manual_seed(0)
    return MODELS.build(config).double().eval()


def measure(kind: str) -> dict:
    rank, world_size = dist.get_rank(), dist.get_world_size()
    model = MMDistributedDataParallel(build(kind), device_ids=None, broadcast_buffers=False)
    torch.manual_seed(1)
    views = [torch.randn(BATCH, 3, 32, 32, dtype=torch.double)[rank::world_size] for _ in range(2)]
    loss = model(views, None, mode='loss')['loss']
    loss.backward()
    return dict(
        loss=loss.detach(),
        gradient={name: weight.grad for name, weight in model.module.named_parameters()},
        queue=getattr(model.module, 'queue', None),
    )


if __name__ == '__main__':
    dist.init_process_group('gloo')
    torch.save(
        {kind: measure(kind) for kind in ('SimCLR', 'DistributedSimCLR', 'MoCo')},
        f'{sys.argv[1]}.{dist.get_rank()}',
    )
    dist.destroy_process_group()
