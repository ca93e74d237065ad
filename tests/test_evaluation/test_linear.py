"""The linear probe against SciPy's minimiser and against data with a known answer."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from mmjoint.evaluation import linear_accuracy
from mmjoint.evaluation.linear import fit_logistic_regression


def blobs(num: int, seed: int, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Three Gaussian blobs in five dimensions."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(0, 3, (3, 5))
    labels = rng.integers(0, 3, num)
    features = centres[labels] + rng.normal(0, spread, (num, 5))
    return torch.tensor(features, dtype=torch.float32), torch.tensor(labels)


@pytest.mark.parametrize('weight_decay', [1e-1, 1e-3])
def test_minimum_is_scipys(weight_decay):
    features, labels = blobs(200, 1, spread=4)
    x, y = features.double().numpy(), labels.numpy()

    def objective(flat):
        weight, bias = flat[:15].reshape(3, 5), flat[15:]
        logs = log_softmax(x @ weight.T + bias, axis=1)
        return -logs[np.arange(len(y)), y].mean() + weight_decay / 2 * (weight**2).sum()

    want = minimize(objective, np.zeros(18), tol=1e-10).x
    weight, bias = fit_logistic_regression(features, labels, 3, weight_decay)
    np.testing.assert_allclose(weight.numpy(), want[:15].reshape(3, 5), atol=2e-3)
    np.testing.assert_allclose(bias - bias.mean(), want[15:] - want[15:].mean(), atol=2e-3)


def test_separable_and_hopeless_data():
    assert linear_accuracy(*blobs(300, 1, 0.1), *blobs(100, 2, 0.1))['top1'] == 100
    features, labels = blobs(600, 3)
    shuffled = labels[torch.randperm(600, generator=torch.Generator().manual_seed(0))]
    hopeless = linear_accuracy(features[:300], shuffled[:300], features[300:], shuffled[300:])
    assert hopeless['top1'] < 50  # chance is 33 %; 50 % is 6 standard errors off


def test_scale_and_shift_of_the_features_do_not_matter():
    train, test = blobs(300, 1, 3), blobs(200, 2, 3)
    scale, shift = torch.tensor([1.0, 10, 100, 0.1, 5]), 7.0
    moved = linear_accuracy(train[0] * scale + shift, train[1], test[0] * scale + shift, test[1])
    assert moved == linear_accuracy(*train, *test)


def test_bad_input():
    features, labels = blobs(10, 0)
    with pytest.raises(ValueError, match='not finite'):
        linear_accuracy(features * float('nan'), labels, features, labels)
    with pytest.raises(ValueError, match='at least 2'):
        linear_accuracy(features[:1], labels[:1], features, labels)
