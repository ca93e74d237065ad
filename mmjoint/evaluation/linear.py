"""Linear accuracy of frozen features, by logistic regression."""

import torch
from torch import Tensor

from .logistic import fit_logistic_regressions

# Tried in this order; of equally good ones the first is taken.
WEIGHT_DECAYS = (1e-1, 1e-2, 1e-3, 1e-4)


def linear_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    weight_decays: tuple[float, ...] = WEIGHT_DECAYS,
) -> dict[str, float]:
    """Classify test images by a linear classifier trained on frozen features.

    Features are standardized by the training set's mean and standard deviation; a channel that does
    not vary is left out. The weight decay is the one that performs best on every fifth training
    image of each class (on the last image of a class of two to four) after training on the others;
    the classifier is then trained on all images. If no class has two images, the first weight decay
    is taken. No augmentation and no random number is involved, so the result is quick and
    repeatable; the papers' probes, which train with augmentation, are the configs in
    ``configs/benchmarks``.

    Args:
        train_features (Tensor): Float, of shape (N, C).
        train_labels (Tensor): Integers from 0, of shape (N,).
        test_features (Tensor): Float, of shape (M, C).
        test_labels (Tensor): Integers from 0, of shape (M,).
        weight_decays (tuple[float]): Candidates to choose from. Defaults to 0.1, 0.01, 0.001,
            0.0001.

    Returns:
        dict[str, float]: ``top1`` in percent and the chosen ``weight_decay``.

    Raises:
        ValueError: Features are not finite, or there are fewer than two training images.
    """
    everything = torch.arange(len(train_labels), device=train_labels.device)[None]
    (result,) = linear_accuracies(
        train_features, train_labels, test_features, test_labels, everything, weight_decays
    )
    return result


def linear_accuracies(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    subsets: Tensor,
    weight_decays: tuple[float, ...] = WEIGHT_DECAYS,
) -> list[dict[str, float]]:
    """Compute ``linear_accuracy`` for several subsets of the training images, all at once.

    Args:
        train_features, train_labels, test_features, test_labels, weight_decays: As documented in
            ``linear_accuracy``.
        subsets (Tensor): Indices of training images, of shape (S, n). All subsets have the same
            number of images of each class.

    Returns:
        list[dict[str, float]]: The result for each subset.

    Raises:
        ValueError: As documented in ``linear_accuracy``.
    """
    if not (train_features.isfinite().all() and test_features.isfinite().all()):
        raise ValueError('the features hold values that are not finite (NaN or infinity)')
    if subsets.shape[1] < 2:
        raise ValueError(f'{subsets.shape[1]} training images; at least 2 are needed')
    num_classes = int(max(train_labels.max(), test_labels.max())) + 1
    labels = train_labels[subsets]
    train = train_features[subsets].float()
    mean, std = train.mean(1), train.std(1)
    scale = torch.where(std > 1e-6, 1 / std, 0)
    train = (train - mean[:, None]) * scale[:, None]

    held_out = torch.stack([_held_out(own) for own in labels])
    chosen = [0] * len(subsets)
    if len(weight_decays) > 1 and held_out.any():
        # Boolean indices flatten the sets, which all hold out the same number of images.
        fit_on, judged_on = (
            [part[mask].unflatten(0, (len(subsets), -1)) for part in (train, labels)]
            for mask in (~held_out, held_out)
        )
        weight, bias = fit_logistic_regressions(fit_on[0], fit_on[1], num_classes, weight_decays)
        chosen = _hits(weight, bias, judged_on[0], judged_on[1]).argmax(1).tolist()

    results: list[dict] = [{} for _ in subsets]
    for index in sorted(set(chosen)):
        own = [i for i, choice in enumerate(chosen) if choice == index]
        decay = weight_decays[index]
        weight, bias = fit_logistic_regressions(train[own], labels[own], num_classes, [decay])
        for i, w, b in zip(own, weight[:, 0], bias[:, 0], strict=True):
            test = (test_features.float() - mean[i]) * scale[i]
            hits = _hits(w[None, None], b[None, None], test[None], test_labels[None])
            results[i] = dict(top1=100 * hits.item() / len(test_labels), weight_decay=decay)
    return results


def _hits(weight: Tensor, bias: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Count the correct predictions of classifiers (G, D, K, C), (G, D, K): (G, D).

    Features are (G, N, C), labels (G, N). The classifiers are applied one at a time, since all
    scores together would be large for a large test set.
    """
    counts = [
        ((own @ w.T + b).argmax(1) == truth).sum()
        for ws, bs, own, truth in zip(weight, bias, features, labels, strict=True)
        for w, b in zip(ws, bs, strict=True)
    ]
    return torch.stack(counts).unflatten(0, weight.shape[:2])


def _held_out(labels: Tensor) -> Tensor:
    """Mark every fifth image of each class, or the last image of a class of two to four."""
    mask = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
    for label in labels.unique():
        own = (labels == label).nonzero()[:, 0]
        mask[own[4::5] if len(own) > 4 else own[1:][-1:]] = True
    return mask
