"""Measures of a pretrained backbone: kNN, linear and few-shot accuracy of frozen features."""

from .evaluate import (
    PROTOCOLS,
    balanced_subset,
    cached_features,
    evaluate_protocols,
    few_shot_accuracy,
    provenance,
    write_evaluation,
)
from .folders import labeled_splits, use_folder
from .knn import evaluate_knn, extract_features, knn_accuracy, labelled_features
from .linear import linear_accuracy

__all__ = [
    'PROTOCOLS',
    'balanced_subset',
    'cached_features',
    'evaluate_knn',
    'evaluate_protocols',
    'extract_features',
    'few_shot_accuracy',
    'knn_accuracy',
    'labeled_splits',
    'labelled_features',
    'linear_accuracy',
    'provenance',
    'use_folder',
    'write_evaluation',
]
