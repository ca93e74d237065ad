import copy
from collections.abc import Callable

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.engine.optimizers import LARS
from mmpretrain.registry import OPTIMIZERS
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmjoint.engine.optimizers import ForeachLARS

SETTINGS = {
    'momentum': dict(momentum=0.9),
    'nesterov': dict(momentum=0.9, nesterov=True),
    'dampening': dict(momentum=0.9, dampening=0.3),
    'no momentum': dict(),
    'weight decay': dict(momentum=0.9, weight_decay=1e-2),
    'all': dict(momentum=0.8, weight_decay=1e-2, nesterov=True, eta=0.02),
}
# As mmengine makes them, one for a weight: excluded or not, of several rates, decays and types.
GROUPS = (
    dict(),
    dict(lars_exclude=True),
    dict(lr=0.01),
    dict(weight_decay=0.0, lars_exclude=True),
    dict(lr=0.03, momentum=0.5, eta=0.1),
    dict(),
)
SHAPES = ((8, 3, 3, 3), (8,), (16, 8), (16,), (4, 16), ())


def groups(dtype: torch.dtype = torch.float64) -> list[dict]:
    torch.manual_seed(0)
    return [
        dict(group, params=[nn.Parameter(torch.randn(shape, dtype=dtype))])
        for shape, group in zip(SHAPES, GROUPS, strict=True)
    ]


def weights(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [weight for group in optimizer.param_groups for weight in group['params']]


def set_gradients(optimizer: torch.optim.Optimizer, step: int) -> None:
    """The same for every optimizer; some weights have none in some steps, or zeros."""
    generator = torch.Generator().manual_seed(step)
    for i, weight in enumerate(weights(optimizer)):
        gradient = torch.randn(weight.shape, dtype=torch.float64, generator=generator)
        weight.grad = None if (step + i) % 5 == 0 else gradient.to(weight.dtype)
        if weight.grad is not None and (step + i) % 7 == 0:
            weight.grad.zero_()


def train(optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        set_gradients(optimizer, step)
        for group in optimizer.param_groups:  # a schedule
            group['lr'] = group.setdefault('initial_lr', group['lr']) * (1 - 0.05 * step)
        before = [None if w.grad is None else w.grad.clone() for w in weights(optimizer)]
        optimizer.step()
        for weight, gradient in zip(weights(optimizer), before, strict=True):
            assert gradient is None or torch.equal(weight.grad, gradient)


def assert_equal(found: torch.optim.Optimizer, expected: torch.optim.Optimizer) -> None:
    for ours, theirs in zip(weights(found), weights(expected), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
        assert found.state[ours].keys() == expected.state[theirs].keys()
        for name, value in expected.state[theirs].items():
            torch.testing.assert_close(found.state[ours][name], value, rtol=1e-6, atol=0)


@pytest.mark.parametrize('name', SETTINGS)
def test_ten_steps_are_those_of_mmpretrain(name: str) -> None:
    ours, theirs = (kind(groups(), lr=0.1, **SETTINGS[name]) for kind in (ForeachLARS, LARS))
    for optimizer in (ours, theirs):
        train(optimizer, range(10))
    assert_equal(ours, theirs)


def test_ten_steps_in_float32() -> None:
    """Of weights as they are: rounding adds up to no more than this, relative to a weight's."""
    ours, theirs = (
        kind(groups(torch.float32), lr=0.1, **SETTINGS['all']) for kind in (ForeachLARS, LARS)
    )
    for optimizer in (ours, theirs):
        train(optimizer, range(10))
    for found, expected in zip(weights(ours), weights(theirs), strict=True):
        assert (found - expected).norm() <= 1e-6 * expected.norm()


@pytest.mark.parametrize('first, second', [(LARS, ForeachLARS), (ForeachLARS, LARS)])
def test_checkpoints_are_those_of_mmpretrain(first: type, second: type) -> None:
    start = first(groups(), lr=0.1, **SETTINGS['all'])
    train(start, range(5))
    state = copy.deepcopy(start.state_dict())
    resumed = second(groups(), lr=7.0)  # what it was made with gives way to the checkpoint's
    with torch.no_grad():
        for weight, value in zip(weights(resumed), weights(start), strict=True):
            weight.copy_(value)
    resumed.load_state_dict(state)
    assert resumed.state_dict().keys() == state.keys()
    assert resumed.state_dict()['param_groups'] == state['param_groups']
    for optimizer in (start, resumed):
        train(optimizer, range(5, 10))
    assert_equal(resumed, start)


def test_weights_and_gradients_of_zeros() -> None:
    """There the layer has no scale of its own, and takes the plain learning rate."""
    optimizer = ForeachLARS([nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(3))], lr=0.5)
    first, second = weights(optimizer)
    first.grad, second.grad = torch.ones(3), torch.zeros(3)
    optimizer.step()
    torch.testing.assert_close(first.detach(), torch.full((3,), -0.5))
    torch.testing.assert_close(second.detach(), torch.ones(3))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_beside_float32(dtype: torch.dtype) -> None:
    """Each weight keeps its type; a norm beyond float16's range does not stop its layer."""
    half, full = (
        nn.Parameter(torch.full((200, 200), 400.0, dtype=dtype)),
        nn.Parameter(torch.ones(4)),
    )
    optimizer = ForeachLARS([half, full], lr=1.0, eta=0.1)
    half.grad, full.grad = torch.full_like(half, 2.0), torch.ones(4)
    optimizer.step()
    # The norms are 400 and 2 times 200: a rate of 0.1 * 200.
    assert half.dtype is dtype and full.dtype is torch.float32
    torch.testing.assert_close(half.float(), torch.full((200, 200), 360.0), rtol=4e-3, atol=0)
    torch.testing.assert_close(full.detach(), torch.full((4,), 0.9))


def test_closure_computes_gradients() -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = ForeachLARS([weight], lr=1.0, eta=0.5)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (3 * weight).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 6.0
    torch.testing.assert_close(weight.detach(), torch.tensor([2.0 - 0.5 * 2 / 3 * 3]))


def test_steps_that_a_loss_scaler_leaves_out() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = ForeachLARS([weight], lr=0.1)
    scaler = torch.amp.GradScaler('cpu', init_scale=8.0)
    scaler.scale((weight * float('inf')).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    torch.testing.assert_close(weight.detach(), torch.ones(3))
    optimizer.zero_grad()
    scaler.scale((2 * weight).sum()).backward()
    scaler.step(optimizer)
    # The gradient's norm is twice the weight's: a rate of 0.1 * 0.001 / 2.
    torch.testing.assert_close(weight.detach(), torch.full((3,), 1 - 1e-4), rtol=1e-7, atol=0)


def test_sparse_gradients_are_refused() -> None:
    embedding = nn.Embedding(4, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match='sparse'):
        ForeachLARS(embedding.parameters(), lr=0.1).step()


@pytest.mark.parametrize(
    'arguments, word',
    [
        (dict(lr=-1), 'learning rate'),
        (dict(lr=1.0, momentum=-1), 'momentum'),
        (dict(lr=1.0, nesterov=True), 'Nesterov'),
    ],
)
def test_wrong_arguments(arguments: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        ForeachLARS([nn.Parameter(torch.zeros(1))], **arguments)


class _Calls(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, function: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        self.names.append(function.name())
        return function(*args, **(kwargs or {}))


def test_calls_do_not_grow_with_the_weights() -> None:
    """And none reads a scalar: groups of one weight each are gathered by their settings."""

    def calls(layers: int) -> list[str]:
        model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(layers)])
        cfg = dict(
            optimizer=dict(type='ForeachLARS', lr=0.1, momentum=0.9, weight_decay=1e-6),
            paramwise_cfg=dict(custom_keys={'bias': dict(decay_mult=0, lars_exclude=True)}),
        )
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            optimizer = build_optim_wrapper(model, cfg).optimizer
        assert len(optimizer.param_groups) == 2 * layers
        for _ in range(2):
            for weight in model.parameters():
                weight.grad = torch.ones_like(weight)
            with _Calls() as mode:
                optimizer.step()
        return mode.names

    few, many = calls(2), calls(20)
    assert few == many
    assert 'aten::_local_scalar_dense' not in few


def test_it_is_what_configs_name() -> None:
    assert OPTIMIZERS.get('ForeachLARS') is ForeachLARS
