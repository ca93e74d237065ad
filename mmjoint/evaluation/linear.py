"""Linear accuracy of frozen features, by logistic regression."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Tried in this order; the first of equally good ones is taken.
WEIGHT_DECAYS = (1e-1, 1e-2, 1e-3, 1e-4)


def linear_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    weight_decays: tuple[float, ...] = WEIGHT_DECAYS,
) -> dict[str, float]:
    """Classify test images by a linear classifier trained on frozen features.

    Features are standardised by the training set's mean and standard deviation. The weight decay
    is the one that does best on every fifth training image of each class (the last of two to four)
    after training on the others; the classifier is then trained on all of them. Where no class has
    two images, the first weight decay is taken. No augmentation and no random number is involved,
    so the result is quick and repeatable; the papers' probes, which train with augmentation, are
    the configs in ``configs/benchmarks``.

    Args:
        train_features (Tensor): Float, of shape (N, C).
        train_labels (Tensor): Integers from 0, of shape (N,).
        test_features (Tensor): Float, of shape (M, C).
        test_labels (Tensor): Integers from 0, of shape (M,).
        weight_decays (tuple[float]): To choose from. Defaults to 0.1, 0.01, 0.001, 0.0001.

    Returns:
        dict[str, float]: ``top1``, percent, and the ``weight_decay`` chosen.

    Raises:
        ValueError: Features are not finite, or there are fewer than two training images.
    """
    if not (train_features.isfinite().all() and test_features.isfinite().all()):
        raise ValueError('the features hold values that are not finite (NaN or infinity)')
    if len(train_labels) < 2:
        raise ValueError(f'{len(train_labels)} training images; at least 2 are needed')
    num_classes = int(max(train_labels.max(), test_labels.max())) + 1
    mean, std = train_features.mean(0), train_features.std(0).clamp(min=1e-6)
    train, test = (train_features - mean) / std, (test_features - mean) / std

    held_out = _held_out(train_labels)
    if not held_out.any():
        weight_decays = weight_decays[:1]
    scores = [
        _accuracy(
            fit_logistic_regression(train[~held_out], train_labels[~held_out], num_classes, decay),
            train[held_out],
            train_labels[held_out],
        )
        for decay in weight_decays
        if len(weight_decays) > 1
    ] or [0.0]
    decay = weight_decays[scores.index(max(scores))]
    classifier = fit_logistic_regression(train, train_labels, num_classes, decay)
    return dict(top1=_accuracy(classifier, test, test_labels), weight_decay=decay)


def fit_logistic_regression(
    features: Tensor, labels: Tensor, num_classes: int, weight_decay: float
) -> tuple[Tensor, Tensor]:
    """Minimise mean cross-entropy + weight_decay / 2 * |W|^2 over W and b by L-BFGS.

    Args:
        features (Tensor): Float, of shape (N, C).
        labels (Tensor): Integers in 0..num_classes - 1, of shape (N,).
        num_classes (int): Number of classes.
        weight_decay (float): Positive; the bias is not decayed.

    Returns:
        tuple[Tensor, Tensor]: W of shape (num_classes, C) and b of shape (num_classes,).
    """
    device = features.device
    weight = torch.zeros(num_classes, features.shape[1], device=device, requires_grad=True)
    bias = torch.zeros(num_classes, device=device, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=300, tolerance_grad=1e-5, line_search_fn='strong_wolfe'
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(features, weight, bias), labels)
        loss = loss + weight_decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), bias.detach()


def _accuracy(classifier: tuple[Tensor, Tensor], features: Tensor, labels: Tensor) -> float:
    predicted = F.linear(features, *classifier).argmax(1)
    return 100 * (predicted == labels).float().mean().item()


def _held_out(labels: Tensor) -> Tensor:
    """Mark every fifth image of each class, the last one of a class of two to four."""
    mask = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
    for label in labels.unique():
        own = (labels == label).nonzero()[:, 0]
        mask[own[4::5] if len(own) > 4 else own[1:][-1:]] = True
    return mask
