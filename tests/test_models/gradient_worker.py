"""The processes of tests/test_models/test_distributed.py: loss and gradient of parts of a batch.

Called as ``python gradient_worker.py FOLDER``, it makes a run of one process and one of two, and
writes FOLDER/WORLD_SIZE.RANK. It works in double precision and with BN in eval mode, so that
nothing but the algorithm can differ between one process and two.
"""

import os
import sys

import mmpretrain.models  # noqa: F401  registers the models
import numpy as np
import torch
import torch.distributed as dist
from mmengine.logging import MessageHub
from mmengine.model import MMDistributedDataParallel
from mmpretrain.registry import MODELS

import mmjoint  # noqa: F401  registers the models

BATCH = 8
STEPS = 2
CONTRASTIVE = dict(
    neck=dict(
        type='MoCoV2Neck', in_channels=16, hid_channels=32, out_channels=16, with_avg_pool=True
    ),
    head=dict(
        type='ContrastiveHead',
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        temperature=0.2,
    ),
)
PROJECTION = dict(
    type='NonLinearNeck', hid_channels=32, out_channels=16, norm_cfg=dict(type='BN1d')
)
MODEL = {
    'SimCLR': CONTRASTIVE,
    'DistributedSimCLR': CONTRASTIVE,
    'MoCo': dict(CONTRASTIVE, queue_len=32, feat_dim=16),
    'LeOCLR': dict(CONTRASTIVE, queue_len=32, feat_dim=16),
    'InfoMin': dict(
        CONTRASTIVE,
        queue_len=32,
        feat_dim=16,
        jigsaw_neck=dict(
            type='JigsawNeck', in_channels=16, hid_channels=32, out_channels=16, num_patches=4
        ),
    ),
    'MoCoV3': dict(
        neck=dict(PROJECTION, in_channels=16),
        head=dict(
            type='MoCoV3Head',
            predictor=dict(PROJECTION, in_channels=16, with_avg_pool=False),
            loss=dict(type='CrossEntropyLoss', loss_weight=2.0),
            temperature=1.0,
        ),
    ),
    'DINO': dict(
        base_momentum=0.5,
        neck=dict(
            type='DINONeck',
            in_channels=16,
            hid_channels=32,
            bottleneck_channels=16,
            out_channels=24,
        ),
        head=dict(type='DINOHead', out_channels=24),
    ),
    **{
        f'SwAV {loss}': dict(
            neck=dict(
                type='SwAVNeck',
                in_channels=16,
                hid_channels=32,
                out_channels=16,
                norm_cfg=dict(type='BN1d'),
            ),
            head=dict(
                type='SwAVHead',
                loss=dict(
                    type=loss, feat_dim=16, num_crops=[2, 2], num_prototypes=12, epsilon=0.005
                ),
            ),
        )
        for loss in ('SwAVLoss', 'DistributedSwAVLoss')
    },
}
VIEW_SIZES = {'LeOCLR': [32] * 3, 'DINO': [32, 32, 16, 16], 'InfoMin': [32, 32, (64, 16)]}
VIEW_SIZES.update(
    {f'SwAV {loss}': VIEW_SIZES['DINO'] for loss in ('SwAVLoss', 'DistributedSwAVLoss')}
)


def build(kind: str) -> torch.nn.Module:
    # Two of its stages: features of 16 channels.
    backbone = dict(
        type='ResNet',
        depth=18,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1,),
        base_channels=8,
        stem_channels=8,
        norm_eval=True,
    )
    torch.manual_seed(0)
    model = MODELS.build(dict(MODEL[kind], type=kind.split()[0], backbone=backbone)).double()
    return model.train(kind == 'DINO')  # it moves its teacher and its center in training only


def measure(kind: str) -> list[dict]:
    rank, world_size = dist.get_rank(), dist.get_world_size()
    MessageHub.get_current_instance().update_info('max_iters', 4)
    model = MMDistributedDataParallel(build(kind), device_ids=None, broadcast_buffers=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    # Its own: what models draw, as MoCo's shuffle over processes, does not change the views.
    generator = torch.Generator().manual_seed(1)
    steps = []
    for _ in range(STEPS):
        views = [
            torch.randn(
                BATCH, 3, *np.broadcast_to(size, 2), dtype=torch.double, generator=generator
            )[rank::world_size]
            for size in VIEW_SIZES.get(kind, [32, 32])
        ]
        optimizer.zero_grad()
        loss = sum(model(views, None, mode='loss').values())
        loss.backward()
        steps.append(
            dict(
                loss=loss.detach(),
                gradient={
                    name: None if weight.grad is None else weight.grad.clone()
                    for name, weight in model.module.named_parameters()
                },
                buffers={name: value.clone() for name, value in model.module.named_buffers()},
            )
        )
        optimizer.step()
    return steps


def work(folder: str, world_size: int, rank: int) -> None:
    store = f'file://{folder}/store_{world_size}'
    dist.init_process_group('gloo', init_method=store, world_size=world_size, rank=rank)
    torch.save({kind: measure(kind) for kind in MODEL}, f'{folder}/{world_size}.{rank}')
    dist.destroy_process_group()


if __name__ == '__main__':
    children = []
    for world_size, rank in ((1, 0), (2, 0), (2, 1)):
        child = os.fork()  # sooner there than a process that imports everything
        if not child:
            work(sys.argv[1], world_size, rank)
            sys.exit()
        children.append(child)
    sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
