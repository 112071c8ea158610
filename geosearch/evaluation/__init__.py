"""How right answers are: data sets, splits, baselines, metrics with intervals, reports.

Accuracy only; time and memory are measured by `geosearch/benchmarks`.
"""

from geosearch.evaluation.datasets import Dataset, Query, load_manifest, load_public
from geosearch.evaluation.features import FeatureSet, load_features
from geosearch.evaluation.galleries import CatalogueGallery, FeatureGallery, Gallery
from geosearch.evaluation.harness import (
    Answer,
    EvaluationReport,
    Method,
    MethodReport,
    Unanswered,
    evaluate,
)
from geosearch.evaluation.methods import blind_methods, gallery_methods
from geosearch.evaluation.metrics import Accuracy, Estimate, GroupBootstrap, geoscore, measure
from geosearch.evaluation.report import report_to_dict, report_to_markdown
from geosearch.evaluation.twins import load_twins

__all__ = [
    "Accuracy",
    "Answer",
    "CatalogueGallery",
    "Dataset",
    "Estimate",
    "EvaluationReport",
    "FeatureGallery",
    "FeatureSet",
    "Gallery",
    "GroupBootstrap",
    "Method",
    "MethodReport",
    "Query",
    "Unanswered",
    "blind_methods",
    "evaluate",
    "gallery_methods",
    "geoscore",
    "load_features",
    "load_manifest",
    "load_public",
    "load_twins",
    "measure",
    "report_to_dict",
    "report_to_markdown",
]
