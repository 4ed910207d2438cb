"""Compute what can be seen in a network, as arrays; :mod:`neocog.figures` draws them."""

from neocog.inspection.activation_maximization import maximize_activation, most_exciting
from neocog.inspection.attribution import (
    grad_cam,
    gradient_times_input,
    integrated_gradients,
    occlusion,
    saliency,
    smooth_grad,
)
from neocog.inspection.attribution_maps import attribution_maps
from neocog.inspection.embedding import embedding
from neocog.inspection.explain import Inquiry, explain
from neocog.inspection.explanation import Explanation
from neocog.inspection.filters import dead_units, feature_maps, filters
from neocog.inspection.loss_landscape import loss_landscape
from neocog.inspection.predictions import confusion, label_scores, least_certain, misclassified
from neocog.inspection.receptive_field import unit_receptive_field
from neocog.inspection.rules import Factor, Rule, Term
from neocog.inspection.statistics import StatisticsLog, layer_statistics
from neocog.inspection.trace import LayerRecord, Trace, trace

__all__ = [
    "Explanation",
    "Factor",
    "Inquiry",
    "LayerRecord",
    "Rule",
    "StatisticsLog",
    "Term",
    "Trace",
    "attribution_maps",
    "confusion",
    "dead_units",
    "embedding",
    "explain",
    "feature_maps",
    "filters",
    "grad_cam",
    "gradient_times_input",
    "integrated_gradients",
    "label_scores",
    "layer_statistics",
    "least_certain",
    "loss_landscape",
    "maximize_activation",
    "misclassified",
    "most_exciting",
    "occlusion",
    "saliency",
    "smooth_grad",
    "trace",
    "unit_receptive_field",
]
