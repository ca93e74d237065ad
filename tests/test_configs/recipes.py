"""What the pretraining configs must say, written down from the papers and the repositories."""


def gray():
    return dict(type='ToGray', prob=0.2)


def crop(scale, low, high=1.0, **kwargs):
    return dict(type='JointCrop', scale=scale, crop_ratio_range=(low, high), beta=None, **kwargs)


def color(strength, saturation, hue, prob=0.8):
    return dict(
        type='JointColor',
        brightness=strength,
        contrast=strength,
        saturation=saturation,
        hue=hue,
        prob=prob,
        beta=None,
    )


FLIP = dict(type='HorizontalFlip', prob=0.5)
BLUR = dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=None)


def small_views(scale):
    return [crop(scale, 0.2), FLIP, color(0.4, 0.4, 0.1), gray()]


SIMCLR_VIEWS = [crop(224, 0.08), FLIP, color(0.8, 0.8, 0.2), gray(), BLUR]
MOCOV2_VIEWS = [crop(224, 0.2), color(0.4, 0.4, 0.1), gray(), BLUR, FLIP]

MOCOV1_VIEWS = [crop(224, 0.2), gray(), color(0.4, 0.4, 0.4, prob=1.0), FLIP]
# View 1 is always blurred, view 2 seldom, but solarized now and then.
UNEQUAL = [
    dict(BLUR, prob=(1.0, 0.1)),
    dict(type='PerView', transforms=[[], [dict(type='Solarization', thr=128, prob=0.2)]]),
]
MOCOV3_VIEWS = [crop(224, 0.2), color(0.4, 0.2, 0.1), gray(), *UNEQUAL, FLIP]
BYOL_VIEWS = [crop(224, 0.08, interpolation='bicubic'), *MOCOV3_VIEWS[1:]]


def dino_views(size):
    """The paper's multi-crop (appendix D) in the order of DINO's repository."""
    changes = [FLIP, color(0.4, 0.2, 0.1), gray()]
    return [
        [crop(size, 0.4, interpolation='bicubic'), *changes, *UNEQUAL],
        [crop(96, 0.05, 0.4, interpolation='bicubic'), *changes, BLUR],
    ]


def whole(size):
    return [dict(type='Resize', scale=(size, size), backend='pillow')]


IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
TINY_MEAN, TINY_STD = (122.451, 114.2655, 101.3625), (58.701, 57.7575, 57.681)
STL_MEAN, STL_STD = (112.353, 108.9615, 98.379), (58.956, 57.7575, 57.0435)

SIMCLR = dict(
    type='DistributedSimCLR',
    data_set='imagenet',
    batch=512,
    epochs=100,
    optimizer=dict(type='ForeachLARS', lr=0.6, momentum=0.9, weight_decay=1e-6),
    warmup=10,
    final=0.0,
    views=SIMCLR_VIEWS,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    temperature=0.1,
    backbone='ResNet',
    depth=50,
    norm='SyncBN',
    zero_init_residual=True,
    neck=('NonLinearNeck', 2048, 2048, 128),
)
MOCOV2 = dict(
    SIMCLR,
    type='MoCo',
    batch=256,
    epochs=200,
    optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4),
    warmup=0,
    views=MOCOV2_VIEWS,
    temperature=0.2,
    norm='BN',
    zero_init_residual=False,
    neck=('MoCoV2Neck', 2048, 2048, 128),
    queue=65536,
    momentum=0.001,
)
SMALL = dict(
    data_set='tiny-imagenet',
    batch=512,
    epochs=500,
    optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=1e-4),
    warmup=0,
    final=0.1,
    views=small_views(64),
    mean=TINY_MEAN,
    std=TINY_STD,
    backbone='ResNet_CIFAR',
    depth=18,
    zero_init_residual=False,
    neck=('MoCoV2Neck', 512, 512, 128),
)
SCENES = dict(
    data_set='scenes',
    batch=256,
    epochs=10,
    optimizer=dict(type='SGD', lr=0.25, momentum=0.9, weight_decay=1e-4),
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    backbone='ResNet',
)
STL = dict(data_set='stl10', views=small_views(96), mean=STL_MEAN, std=STL_STD)
FOLDER = dict(data_set='folder', batch=256, epochs=200, depth=18)

IN100 = dict(data_set='imagenet100')
COCO = dict(data_set='coco')
MOCOV1 = dict(
    MOCOV2,
    optimizer=dict(MOCOV2['optimizer'], lr=0.03),
    steps=[120, 160],
    views=MOCOV1_VIEWS,
    temperature=0.07,
    neck=('LinearNeck', 2048, None, 128),
)
LARS_4096 = dict(
    SIMCLR,
    batch=4096,
    temperature=None,
)
MOCOV3 = dict(
    LARS_4096,
    type='MoCoV3',
    optimizer=dict(SIMCLR['optimizer'], lr=9.6),
    views=MOCOV3_VIEWS,
    temperature=1.0,
    zero_init_residual=True,
    neck=('NonLinearNeck', 2048, 4096, 256),
    predictor=('NonLinearNeck', 256, 4096, 256),
    base_momentum=0.01,
    loss_weight=2.0,
)
BYOL = dict(
    LARS_4096,
    type='BYOL',
    epochs=200,
    optimizer=dict(SIMCLR['optimizer'], lr=4.8),
    views=BYOL_VIEWS,
    zero_init_residual=False,
    neck=('NonLinearNeck', 2048, 4096, 256),
    predictor=('NonLinearNeck', 256, 4096, 256),
    base_momentum=0.01,
)
SIMSIAM = dict(
    SIMCLR,
    type='SimSiam',
    batch=256,
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4),
    warmup=0,
    views=MOCOV2_VIEWS,
    temperature=None,
    zero_init_residual=True,
    neck=('NonLinearNeck', 2048, 2048, 2048),
    predictor=('NonLinearNeck', 2048, 512, 2048),
    hooks=['FixedLRHook'],
)
DINO = dict(
    SIMCLR,
    type='DINO',
    optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=1e-4),
    final=1e-6 / 0.06,
    by_iteration=True,
    num_views=[2, 4],
    groups=dino_views(160),
    temperature=None,
    zero_init_residual=False,
    neck=('DINONeck', 2048, 2048, 65536),
    base_momentum=0.004,
    hooks=['DINOHook'],
)
LEOCLR = dict(MOCOV2, type='LeOCLR', num_views=[1, 2], groups=[whole(224), MOCOV2_VIEWS])
INFOMIN = dict(
    MOCOV2,
    type='InfoMin',
    epochs=100,
    final=1e-3,
    num_views=[2, 1],
    groups=None,  # test_infomin.py has its views
    temperature=0.15,
)
SWAV = dict(
    SIMCLR,
    type='SwAV',
    batch=256,
    epochs=200,
    optimizer=dict(type='ForeachLARS', lr=0.6, momentum=0.9, weight_decay=1e-6),
    warmup=0,
    final=1e-3,
    by_iteration=True,
    num_views=[2, 6],
    groups=[
        [crop(224, 0.14), *SIMCLR_VIEWS[1:]],
        [crop(96, 0.05, 0.14), *SIMCLR_VIEWS[1:]],
    ],
    temperature=None,
    zero_init_residual=False,
    neck=('SwAVNeck', 2048, 2048, 128),
    hooks=['SwAVHook'],
)

SIMCLR_SMALL = dict(SIMCLR, **SMALL, temperature=0.5)
BYOL_SMALL = dict(
    {**BYOL, **SMALL},
    neck=('NonLinearNeck', 512, 512, 128),
    predictor=('NonLinearNeck', 128, 512, 128),
    base_momentum=0.004,
)
SIMSIAM_SMALL = dict(
    {**SIMSIAM, **SMALL},
    zero_init_residual=True,
    neck=('NonLinearNeck', 512, 512, 512),
    predictor=('NonLinearNeck', 512, 128, 512),
)
# Ours: the paper has no DINO on small images. Without blur, as all recipes for images so small.
DINO_SMALL_VIEWS = [
    [crop(64, 0.4, interpolation='bicubic'), *dino_views(64)[0][1:4], UNEQUAL[1]],
    [crop(32, 0.05, 0.4, interpolation='bicubic'), *dino_views(64)[1][1:4]],
]
DINO_SMALL = dict(
    {**DINO, **SMALL},
    optimizer=DINO['optimizer'],
    warmup=10,
    final=DINO['final'],
    groups=DINO_SMALL_VIEWS,
    neck=('DINONeck', 512, 2048, 4096),
)
MOCOV2_SMALL = {**MOCOV2, **SMALL}
RECIPES = {
    'simclr_resnet50_8xb64-coslr-100e_in1k': SIMCLR,
    'simclr_resnet18_4xb128-coslr-500e_tiny-imagenet': SIMCLR_SMALL,
    'simclr_resnet18_4xb128-coslr-500e_stl10': {**SIMCLR_SMALL, **STL},
    'simclr_resnet18_1xb256-coslr-200e_folder': {
        **SIMCLR,
        **FOLDER,
        'optimizer': dict(SIMCLR['optimizer'], lr=0.3),
        'neck': ('NonLinearNeck', 512, 512, 128),
    },
    'simclr_resnet18_1xb32-coslr-10e_scenes': {
        **SIMCLR_SMALL,
        **SCENES,
        'batch': 32,
        'views': small_views(32),
        'optimizer': dict(type='AdamW', lr=1e-3, weight_decay=1e-4, fused=True),
        'neck': ('NonLinearNeck', 512, 512, 128),
        'temperature': 0.2,
    },
    'mocov2_resnet50_8xb32-coslr-200e_in1k': MOCOV2,
    'mocov2_resnet18_4xb128-coslr-500e_tiny-imagenet': MOCOV2_SMALL,
    'mocov2_resnet18_4xb128-coslr-500e_stl10': {**MOCOV2_SMALL, **STL},
    'mocov2_resnet18_1xb256-coslr-200e_folder': {
        **MOCOV2,
        **FOLDER,
        'neck': ('MoCoV2Neck', 512, 512, 128),
        'queue': 4096,
    },
    **{
        f'{method}_resnet{depth}_1xb256-coslr-200e_folder': {
            **recipe,
            **FOLDER,
            'depth': depth,
            'neck': (kind, 2048 if depth == 50 else 512, *widths),
            'optimizer': dict(recipe['optimizer'], lr=lr),
        }
        for method, recipe, lr in (
            ('byol', BYOL, 0.3),
            ('mocov3', MOCOV3, 0.3),
            ('simsiam', SIMSIAM, 0.05),
            ('dino', dict(DINO, final=1e-6 / 0.03), 0.03),
        )
        for depth in (18, 50)
        for kind, _, *widths in (recipe['neck'],)
    },
    'simclr_resnet50_1xb256-coslr-200e_folder': {
        **SIMCLR,
        **FOLDER,
        'depth': 50,
        'optimizer': dict(SIMCLR['optimizer'], lr=0.3),
    },
    'mocov2_resnet50_1xb256-coslr-200e_folder': {**MOCOV2, **FOLDER, 'depth': 50, 'queue': 4096},
    'mocov2_resnet18_1xb256-coslr-10e_scenes': {
        **MOCOV2_SMALL,
        **SCENES,
        'queue': 1024,
        'momentum': 0.01,
    },
    **{
        f'{method}_resnet18_4xb128-coslr-500e_{name}': {**recipe, **data}
        for method, recipe in (('byol', BYOL_SMALL), ('simsiam', SIMSIAM_SMALL))
        for name, data in (('tiny-imagenet', {}), ('stl10', STL))
    },
    'byol_resnet50_16xb256-coslr-200e_in1k': BYOL,
    'simsiam_resnet50_8xb32-coslr-100e_in1k': SIMSIAM,
    'mocov1_resnet50_8xb32-steplr-200e_in1k': MOCOV1,
    'mocov1_resnet50_8xb32-steplr-100e_in1k': dict(MOCOV1, epochs=100, steps=[60, 80]),
    'mocov1_resnet50_8xb32-steplr-200e_in100': {**MOCOV1, **IN100},
    'mocov1_resnet50_8xb32-steplr-200e_coco': {**MOCOV1, **COCO},
    'mocov2_resnet50_8xb32-coslr-200e_coco': {**MOCOV2, **COCO},
    'mocov3_resnet50_16xb256-coslr-100e_in1k': MOCOV3,
    'mocov3_resnet50_16xb256-coslr-300e_in1k': dict(
        MOCOV3, epochs=300, optimizer=dict(MOCOV3['optimizer'], lr=4.8)
    ),
    'dino_resnet50_8xb64-coslr-100e_in1k': DINO,
    'dino_resnet18_4xb128-coslr-500e_tiny-imagenet': DINO_SMALL,
    'dino_vit-small_8xb64-coslr-100e_in1k': dict(
        DINO,
        optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.04),
        final=1e-6 / 1e-3,
        num_views=[2, 8],
        groups=dino_views(224),
        neck=('DINONeck', 384, 2048, 65536),
        backbone='VisionTransformer',
    ),
    'leoclr_resnet50_8xb32-coslr-200e_in1k': LEOCLR,
    'leoclr_resnet18_4xb128-coslr-500e_tiny-imagenet': dict(
        {**LEOCLR, **SMALL}, groups=[whole(64), small_views(64)]
    ),
    'infomin_resnet50_8xb32-coslr-100e_in1k': INFOMIN,
    'swav_resnet50_8xb32-coslr-200e_in1k': SWAV,
}
