"""The linear probe against SciPy's and scikit-learn's minima and data with a known answer."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from torchvision.models import resnet18

from mmjoint.evaluation import linear_accuracy
from mmjoint.evaluation.logistic import fit_logistic_regressions


def blobs(num: int, seed: int, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Three Gaussian blobs in five dimensions."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(0, 3, (3, 5))
    labels = rng.integers(0, 3, num)
    features = centers[labels] + rng.normal(0, spread, (num, 5))
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
    # Beside another set and another weight decay, which are to leave it alone.
    both = torch.stack([features.flip(0) * 0.5, features]), torch.stack([labels, labels])
    found = fit_logistic_regressions(*both, 3, [1.0, weight_decay])
    weight, bias = (part[1, 1] for part in found)
    np.testing.assert_allclose(weight.numpy(), want[:15].reshape(3, 5), atol=2e-3)
    np.testing.assert_allclose(bias - bias.mean(), want[15:] - want[15:].mean(), atol=2e-3)


def objective(
    features: torch.Tensor,
    labels: torch.Tensor,
    decay: float,
    weight: torch.Tensor,
    bias: torch.Tensor,
) -> float:
    scores = F.linear(features.double(), weight.double(), bias.double())
    return float(F.cross_entropy(scores, labels) + decay / 2 * weight.double().square().sum())


def photo_features(folder: Path, per_class: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of Tiny-ImageNet photos by a ResNet-18 as it is initialized."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    paths = [path for own in classes for path in sorted(own.glob('**/*.JPEG'))[:per_class]]
    images = torch.stack([torch.from_numpy(cv2.imread(str(path))) for path in paths])
    backbone = resnet18()
    backbone.fc = torch.nn.Identity()
    with torch.no_grad():
        features = backbone.eval()((images.permute(0, 3, 1, 2) / 255 - 0.45) / 0.25)
    return features, torch.arange(len(paths)) // per_class


def test_minima_are_scikit_learns_on_photos(shared_data):
    torch.manual_seed(0)
    features, labels = photo_features(shared_data / 'tiny_imagenet_20/train', 15)
    torch.manual_seed(0)
    others, truth = photo_features(shared_data / 'tiny_imagenet_20/val', 10)
    mean, std = features.mean(0), features.std(0)
    features, others = (features - mean) / std, (others - mean) / std
    decays = (1e-1, 1e-2, 1e-3)
    weights, biases = fit_logistic_regressions(features[None], labels[None], 20, decays)
    for decay, weight, bias in zip(decays, weights[0], biases[0], strict=True):
        model = LogisticRegression(C=1 / (decay * len(labels)), tol=1e-6, max_iter=2000)
        model.fit(features.double().numpy(), labels.numpy())
        theirs = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
        values = [objective(features, labels, decay, *found) for found in ((weight, bias), theirs)]
        assert values[0] == pytest.approx(values[1], rel=1e-4)
        hits = (F.linear(others, weight, bias).argmax(1) == truth).sum().item()
        expected = (model.predict(others.numpy()) == truth.numpy()).sum()
        assert hits == expected  # of 200, so within 0.1 points is equal


def test_sets_solved_together_are_those_solved_alone():
    """Also where one is finished long before the other and where there are few images."""
    sets = [blobs(12, 1, 5), blobs(12, 2, 0.1)]
    decays = (1.0, 1e-4)
    weight, bias = fit_logistic_regressions(
        torch.stack([x for x, _ in sets]), torch.stack([y for _, y in sets]), 3, decays
    )
    for i, (features, labels) in enumerate(sets):
        for j, decay in enumerate(decays):
            alone = fit_logistic_regressions(features[None], labels[None], 3, [decay])
            values = [
                objective(features, labels, decay, *found)
                for found in ((weight[i, j], bias[i, j]), (alone[0][0, 0], alone[1][0, 0]))
            ]
            assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_a_channel_that_does_not_vary_says_nothing():
    train, test = blobs(100, 1, 3), blobs(100, 2, 3)
    dead = (
        torch.cat([train[0], torch.zeros(100, 1)], 1),
        torch.cat([test[0], torch.ones(100, 1)], 1),
    )
    assert linear_accuracy(dead[0], train[1], dead[1], test[1]) == linear_accuracy(*train, *test)


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
