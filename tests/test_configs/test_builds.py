"""Every config loads, builds and makes the views and the loss that it says."""

import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import VISUALIZERS
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS, TRANSFORMS
from PIL import Image
from scipy.stats import spearmanr
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.transforms import CenterCrop, PILToTensor, Resize

from mmjoint.engine.options import apply_options
from mmjoint.hooks import BetaHook
from mmjoint.paper.rows import format_markdown
from mmjoint.paper.tables import TABLES

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
NAMES = sorted(path.stem for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts)
PROBES = [name for name in NAMES if '-linear-' in name]
# The name of a variant: baseline's head, what is changed, baseline's tail.
VARIANT = re.compile(r'(.+)_((?:joint|contrastive)[a-z0-9-]+?)-(\d+xb.+)')
VARIANTS = [name for name in NAMES if VARIANT.fullmatch(name)]
BASELINES = [name for name in NAMES if name not in VARIANTS and name not in PROBES]
# Those in which one number alone differs from the baseline.
BETAS = [name for name in VARIANTS if re.search('_joint(crop|blur|color)', name)]


def differences(a, b, path=()):
    """Where two nested structures differ: (path, value in a, value in b)."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [*a, *(key for key in b if key not in a)]
        pairs = [(key, a.get(key, '<absent>'), b.get(key, '<absent>')) for key in keys]
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        pairs = [(i, x, y) for i, (x, y) in enumerate(zip(a, b, strict=True))]
    else:
        return [] if a == b and type(a) is type(b) else [(path, a, b)]
    return [found for key, x, y in pairs for found in differences(x, y, (*path, key))]


def joint_view(cfg):
    (view,) = [t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'JointView']
    return view


def group_of_views(cfg):
    (group,) = joint_view(cfg).transforms
    return group


@pytest.mark.parametrize('name', NAMES)
def test_survives_dump_and_reload(load, name, tmp_path):
    cfg = load(name)
    cfg.dump(tmp_path / 'config.py')
    assert differences(Config.fromfile(tmp_path / 'config.py').to_dict(), cfg.to_dict()) == []
    # Beside the parts that variants change, nothing but what the Runner and the tools read.
    runner = set(Runner.__init__.__annotations__) | {'optim_wrapper', 'find_unused_parameters'}
    ours = {'custom_imports', 'knn_train_dataloader', 'knn_val_dataloader'}
    assert set(cfg) <= runner | ours, set(cfg) - runner - ours
    assert '_scope_' not in (tmp_path / 'config.py').read_text()


@pytest.mark.yapf
@pytest.mark.parametrize(
    'name',
    [
        name
        if name in BASELINES and 'folder' in name
        else pytest.param(name, marks=pytest.mark.slow)
        for name in NAMES
    ],
)
def test_laid_out_text_says_the_same(load, name):
    cfg = load(name)
    assert differences(Config.fromstring(cfg.pretty_text, '.py').to_dict(), cfg.to_dict()) == []


def baseline_of(load, name):
    head, tag, tail = VARIANT.fullmatch(name).groups()
    return load(f'{head}_{tail}'), tag


@pytest.mark.parametrize('name', [n for n in BETAS if 'centersuppressed' not in n])
def test_variant_differs_in_its_joint_number_alone(load, name):
    baseline, tag = baseline_of(load, name)
    kind, sign, beta, where = re.fullmatch(
        r'joint(crop|blur|color)(m?)(\d)(?:-([a-z]+))?', tag
    ).groups()
    beta = -int(beta) if sign else int(beta)
    changes = differences(baseline.to_dict(), load(name).to_dict())
    groups = joint_view(baseline).transforms
    group = {'global': 0, 'local': 1}.get(where, 1 if baseline.model.type == 'LeOCLR' else 0)
    place = [i for i, t in enumerate(groups[group]) if t.type == f'Joint{kind.capitalize()}']
    if place:
        ((path, before, after),) = changes
        assert path[-4:] == ('transforms', group, *place, 'beta')
        assert before is None
        assert after == ({where: beta} if kind == 'color' else beta)
    else:  # neither small images nor MoCo v1 have a blur: the variant adds one
        assert kind == 'blur' and beta == 0
        ((path, before, after),) = changes
        assert path[-2:] == ('transforms', 0)
        (added,) = [t for t in after if t['type'] == 'JointBlur']
        assert added == dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=0)
        assert [t for t in after if t is not added] == before


def test_centre_suppressed_variant(load):
    tail = '8xb32-steplr-100e_in1k'
    name = f'mocov1_resnet50_jointcrop0-centersuppressed-{tail}'
    joint = load(f'mocov1_resnet50_jointcrop0-{tail}')
    changes = differences(joint.to_dict(), load(name).to_dict())
    assert {path[-1]: after for path, _, after in changes} == dict(
        position='center_suppressed', alpha=0.6
    )
    assert group_of_views(load(name))[0].beta == 0


def test_joint_choice_variant(load):
    """Appendix F: for each pair the views of one of the two variants, as they are."""
    head, tail = 'mocov1_resnet50', '8xb32-steplr-100e_in1k'
    (choice,) = group_of_views(load(f'{head}_jointchoice0-{tail}'))
    assert choice.type == 'JointChoice' and choice.prob == [0.5, 0.5]
    assert choice.transforms == [
        group_of_views(load(f'{head}_{joint}-{tail}')) for joint in ('jointcrop0', 'jointblur0')
    ]


@pytest.mark.parametrize('tag, rho', [('m1', -1), ('0', 0), ('1', 1)])
def test_coupled_variants(load, tag, rho):
    """Appendix F's crop and blur, both JC(0), coupled; all else is as in jointblur0."""
    head, tail = 'mocov1_resnet50', '8xb32-steplr-100e_in1k'
    blur, coupled = (load(f'{head}_{t}-{tail}') for t in ('jointblur0', f'jointcoupling{tag}'))
    changes = {path[-1]: after for path, _, after in differences(blur.to_dict(), coupled.to_dict())}
    assert changes == dict(beta=0, coupling=rho)
    views = TRANSFORMS.build(joint_view(coupled))
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    drawn = [map(dict, views(dict(img=image))['view_params']) for _ in range(200)]
    sizes = [
        [
            abs(math.log(first['JointCrop'].area / second['JointCrop'].area)),
            abs(math.log(first['JointBlur'].sigma / second['JointBlur'].sigma)),
        ]
        for first, second in drawn
    ]
    assert spearmanr(sizes)[0] == pytest.approx(rho, abs=0.25 if rho == 0 else 0.01)


def test_schedule_variant(load):
    crop, name = 'jointcrop0', 'simclr_resnet18_{}-1xb256-coslr-200e_folder'
    cfg = load(name.format('jointschedule'))
    hook = cfg.custom_hooks.pop()
    assert hook.pop('type') == 'BetaHook' and BetaHook(**hook).schedule.extremes == (-1, 2)
    assert differences(load(name.format(crop)).to_dict(), cfg.to_dict()) == []


def test_contrastive_crop_variant(load):
    baseline, _ = baseline_of(load, 'mocov1_resnet50_contrastivecrop-8xb32-steplr-100e_in1k')
    cfg = Config(load('mocov1_resnet50_contrastivecrop-8xb32-steplr-100e_in1k').to_dict())
    assert cfg.custom_hooks.pop() == dict(
        type='ContrastiveCropHook', warm_up=20, interval=20, threshold=0.1, scale=224
    )
    assert cfg.train_dataloader.dataset.pipeline.pop(1) == dict(type='LoadSemanticBox')
    crop = group_of_views(cfg)[0]
    assert (crop.pop('position'), crop.pop('alpha'), crop.beta) == ('semantic', 0.6, None)
    assert differences(baseline.to_dict(), cfg.to_dict()) == []


@pytest.mark.parametrize('name', [n for n in BETAS if '_jointcrop0-' in n or '_jointblur0-' in n])
def test_variant_takes_another_beta_from_the_command_line(load, name):
    pipeline = load(name).train_dataloader.dataset.pipeline
    step = next(i for i, t in enumerate(pipeline) if t.type == 'JointView')
    group, where = next(
        (g, i)
        for g, views in enumerate(pipeline[step].transforms)
        for i, t in enumerate(views)
        if t.get('beta') is not None
    )
    cfg = Config(load(name).to_dict())
    key = f'train_dataloader.dataset.pipeline.{step}.transforms.{group}.{where}.beta'
    cfg.merge_from_dict({key: -1})
    assert joint_view(cfg).transforms[group][where].beta == -1
    assert len(differences(load(name).to_dict(), cfg.to_dict())) == 1


@pytest.fixture(scope='module')
def photo(tmp_path_factory):
    """A noisy photo, larger than any view, as a file and decoded."""
    path = tmp_path_factory.mktemp('photo') / 'photo.png'
    img = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    cv2.imwrite(str(path), img)
    return path, img


def run_pipeline(loader, photo):
    """Run a loader's pipeline on the photo; a pipeline with no loading step takes it decoded."""
    path, img = photo
    data_set = DATASETS.build(dict(loader.dataset, lazy_init=True))
    results = dict(img_path=str(path), gt_label=3, sample_idx=0)
    if data_set.pipeline.transforms[0].__class__.__name__ != 'LoadImage':
        results['img'] = img.copy()
    return data_set.pipeline(results)


def sizes_of_views(cfg):
    """The sides of all views, by what the first transform of each group says."""
    sizes = []
    view = joint_view(cfg)
    numbers = view.num_views if isinstance(view.num_views, (list, tuple)) else [view.num_views]
    for number, group in zip(numbers, view.transforms, strict=True):
        first = group[0]
        while first.type == 'JointChoice':
            first = first.transforms[0][0]
        side = first.scale if isinstance(first.scale, int) else first.scale[0]
        sizes += [(3, side, side)] * number
        if group[-1].type == 'JigsawPatches':  # nine patches, one below the other
            sizes[-1] = (3, 9 * group[-1]['size'], group[-1]['size'])
    return sizes


@pytest.mark.parametrize('name', [*BASELINES, *VARIANTS])
def test_views_come_out(load, name, photo):
    packed = run_pipeline(load(name).train_dataloader, photo)
    views = packed['inputs']
    assert [tuple(view.shape) for view in views] == sizes_of_views(load(name))
    assert {view.dtype for view in views} == {torch.uint8}
    assert not torch.equal(*views[:2])


@pytest.mark.parametrize('name', PROBES)
def test_evaluation_pipelines(load, name, photo):
    cfg = load(name)
    size = next(t for t in cfg.train_dataloader.dataset.pipeline if 'Crop' in t.type).scale
    if cfg.knn_val_dataloader.dataset.type == 'STL10':  # every image is of its size
        photo = (photo[0], photo[1][:96, :96])
    first, second = (run_pipeline(cfg.knn_val_dataloader, photo) for _ in range(2))
    assert first['inputs'].shape == (3, size, size)
    assert torch.equal(first['inputs'], second['inputs'])
    assert first['data_samples'].gt_label.item() == 3
    assert torch.equal(run_pipeline(cfg.knn_train_dataloader, photo)['inputs'], first['inputs'])
    assert run_pipeline(cfg.train_dataloader, photo)['inputs'].shape == (3, size, size)


def test_evaluation_takes_the_middle_of_the_photo(load, photo):
    """Short side to 256, the middle 224: against Pillow by way of torchvision."""
    path, _ = photo
    cfg = load('simclr_resnet50_8xb64-coslr-100e_in1k')
    ours = run_pipeline(cfg.knn_val_dataloader, photo)['inputs'].flip(0)
    theirs = PILToTensor()(CenterCrop(224)(Resize(256)(Image.open(path))))
    assert (ours.int() - theirs.int()).abs().max() <= 1


# Those of a folder with a ResNet-50 differ from them in the data alone.
@pytest.mark.parametrize(
    'name', [n for n in (*BASELINES, *PROBES) if not re.search('resnet50.*_folder', n)]
)
def test_model_and_optimizer_build(load, name, monkeypatch):
    for layer in (nn.Conv2d, nn.Linear):  # the values do not matter
        monkeypatch.setattr(layer, 'reset_parameters', lambda self: None)
    cfg = load(name)
    model = MODELS.build(cfg.model)
    stem = getattr(model.backbone, 'conv1', None)
    if cfg.model.backbone.type == 'VisionTransformer':
        assert model.backbone.patch_embed.projection.stride == (16, 16)
    elif cfg.model.backbone.type == 'ResNet_CIFAR':
        assert (stem.kernel_size, stem.stride) == ((3, 3), (1, 1))
    else:
        assert (stem.kernel_size, stem.stride) == ((7, 7), (2, 2))
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    if name in PROBES:
        trained = {key for key, value in model.named_parameters() if value.requires_grad}
        assert trained == {'head.fc.weight', 'head.fc.bias'}
    optimizer = wrapper.optimizer
    assert type(optimizer).__name__ == cfg.optim_wrapper.optimizer.type
    if name in BASELINES and cfg.optim_wrapper.get('paramwise_cfg', {}).get('custom_keys', {}).get(
        'bn'
    ):
        # By what the modules are, not by their names: batch norms and biases are neither
        # decayed nor adapted, every other weight is both.
        bare = set()
        for module in model.modules():
            parameters = list(module.named_parameters(recurse=False))
            if isinstance(module, _BatchNorm):
                bare |= {id(value) for _, value in parameters}
            bare |= {id(value) for key, value in parameters if key == 'bias'}
        for group in optimizer.param_groups:
            (parameter,) = group['params']
            is_bare = id(parameter) in bare
            assert group.get('lars_exclude', False) is is_bare
            assert group['weight_decay'] == (0 if is_bare else 1e-6)
            assert group['lr'] == cfg.optim_wrapper.optimizer.lr


def build_on_cpu(cfg):
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()
    # The running statistics stand in for the batch's, so that a second pass gives the same.
    return model.eval()


def preprocessed_pair(model):
    images = torch.randint(0, 256, (2, 6, 3, 64, 64), dtype=torch.uint8)
    data = dict(inputs=list(images), data_samples=[])
    return model.data_preprocessor(data)['inputs']


def encode(model, images):
    with torch.no_grad():
        features = model.neck(model.backbone(images))[0].double().numpy()
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def test_simclr_loss(load):
    cfg = Config(load('simclr_resnet18_4xb128-coslr-500e_tiny-imagenet').to_dict())
    model = build_on_cpu(cfg)
    inputs = preprocessed_pair(model)
    loss = model(inputs, [], mode='loss')['loss'].item()
    z = np.concatenate([encode(model, view) for view in inputs])
    n, terms = len(z) // 2, []
    for i in range(2 * n):
        weights = np.exp(z @ z[i] / 0.5)
        terms.append(-math.log(weights[(i + n) % (2 * n)] / (weights.sum() - weights[i])))
    assert loss == pytest.approx(np.mean(terms), rel=1e-5)

    # The ContrastiveCrop repository's scale, as the config's comment says.
    cfg.merge_from_dict({'model.head.loss.loss_weight': 7.142857})
    scaled = build_on_cpu(cfg)(inputs, [], mode='loss')['loss'].item()
    assert scaled == pytest.approx(0.5 / 0.07 * loss, rel=1e-5)


def test_mocov2_loss(load):
    model = build_on_cpu(load('mocov2_resnet18_1xb256-coslr-10e_scenes'))
    model.queue_len, model.queue = 12, model.queue[:, :12].contiguous()  # a multiple of the batch
    queue = model.queue.double().numpy().copy()
    inputs = preprocessed_pair(model)
    loss = model(inputs, [], mode='loss')['loss'].item()
    # Before the first step the key encoder is the query encoder.
    q, k = (encode(model, view) for view in inputs)
    positive, negative = np.exp((q * k).sum(1) / 0.2), np.exp(q @ queue / 0.2)
    assert loss == pytest.approx(np.mean(np.log(1 + negative.sum(1) / positive)), rel=1e-4)
    np.testing.assert_allclose(model.queue[:, :6].numpy(), k.T, atol=1e-5)


def test_tensorboard_option(load, tmp_path):
    """The option that default_runtime.py names makes what TensorBoard reads."""
    text = (CONFIGS / '_base_/default_runtime.py').read_text()
    option = re.search(r'--cfg-options (visualizer\S+)', text)[1]
    cfg = Config(load('simclr_resnet50_8xb64-coslr-100e_in1k').to_dict())
    apply_options(cfg, [option])
    visualizer = VISUALIZERS.build(dict(cfg.visualizer, name='configs', save_dir=str(tmp_path)))
    visualizer.add_scalar('loss', 0.25, step=7)
    visualizer.close()
    (events,) = tmp_path.rglob('events.out.tfevents.*')
    written = EventAccumulator(str(events.parent)).Reload().Scalars('loss')
    assert [(event.step, event.value) for event in written] == [(7, 0.25)]


def test_index_names_every_config():
    text = (CONFIGS / 'README.md').read_text()
    for name in [*BASELINES, *PROBES]:
        assert f'`{name}`' in text, name
    for table in TABLES:  # python tools/paper.py --index prints them
        assert format_markdown(table) in text, table.label
    named = re.findall(r'configs/[\w./-]+\.py', text)
    assert named and all((CONFIGS.parent / path).is_file() for path in named)
