"""Measures of a pretrained backbone."""

from .knn import evaluate_knn, extract_features, knn_accuracy, labelled_features
from .linear import linear_accuracy

__all__ = [
    'evaluate_knn',
    'extract_features',
    'knn_accuracy',
    'labelled_features',
    'linear_accuracy',
]
