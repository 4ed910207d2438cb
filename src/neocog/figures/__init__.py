"""Draw figures: arrays in, a Plotly figure out.

The only part of the library that needs plotly. All figures share one look, the Plotly template ``neocog``;
:func:`save` writes one to a file.

>>> from neocog import figures
>>> figure = figures.parameter_bars({"dense": 33280, "convolution": 80})
>>> figure.data[0].text
('33,280  (416×)', '80')
"""

from neocog.figures.attribution import attribution_grid, heat_overlay, responses
from neocog.figures.bars import class_count_bars, network_table, parameter_bars, probability_bars
from neocog.figures.channel_connections import channel_connections
from neocog.figures.computation_graph import computation_graph
from neocog.figures.confusion import confusion_matrix
from neocog.figures.convolution import sliding_kernel, stamping
from neocog.figures.convolution_grids import convolution_grids
from neocog.figures.descent import descent, descent_on_curve
from neocog.figures.embedding import embedding
from neocog.figures.explanation import explanation
from neocog.figures.feature_maps import feature_maps, max_pooling
from neocog.figures.images import class_examples, image_gallery
from neocog.figures.kernels import filter_evolution, filter_grid, filters
from neocog.figures.loss_landscape import loss_landscape
from neocog.figures.network_diagram import network_diagram
from neocog.figures.saving import page_script, save, to_html
from neocog.figures.spread_curves import spread_curves
from neocog.figures.study import study
from neocog.figures.sweep import sweep
from neocog.figures.trace import trace
from neocog.figures.training import compare_curves, learning_curves

__all__ = [
    "attribution_grid",
    "channel_connections",
    "class_count_bars",
    "class_examples",
    "compare_curves",
    "computation_graph",
    "confusion_matrix",
    "convolution_grids",
    "descent",
    "descent_on_curve",
    "embedding",
    "explanation",
    "feature_maps",
    "filter_evolution",
    "filter_grid",
    "filters",
    "heat_overlay",
    "image_gallery",
    "learning_curves",
    "loss_landscape",
    "max_pooling",
    "network_diagram",
    "network_table",
    "page_script",
    "parameter_bars",
    "probability_bars",
    "responses",
    "save",
    "sliding_kernel",
    "spread_curves",
    "stamping",
    "study",
    "sweep",
    "to_html",
    "trace",
]
