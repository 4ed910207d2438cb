"""Project the features of a set of images onto a few dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.inspection.arguments import activations, check_batch
from neocog.layers import Layer
from neocog.layers.base import Array
from neocog.validation import RandomSource, generator, integer, one_of

__all__ = ["Embedding", "embedding"]


@dataclass(frozen=True)
class Embedding:
    """The result of :func:`embedding`: one point for each image.

    Attributes
    ----------
    points : array (N, dimensions)
    features : array (N, F)
        What was embedded.
    explained : array (dimensions,) or None
        Fraction of the features' variance along each axis, 0 where all are alike; None for t-SNE.
    method : str
    """

    points: Array
    features: Array
    explained: Array | None
    method: str


@accepts_old_names
def embedding(
    network: Layer,
    x: Any,
    layer: str | None = None,
    *,
    method: str = "pca",
    dimensions: int = 2,
    rng: RandomSource = 0,
    batch_size: int = 256,
) -> Embedding:
    """Project the features of images by PCA or t-SNE (scikit-learn); similar images lie close together.

    PCA is a linear map, the directions of largest variance; t-SNE keeps neighbours together and says nothing
    of large distances.

    Parameters
    ----------
    network : Layer
    x : floating point array (N, C, H, W), or lazy images
    layer : str, optional
        Layer whose outputs are embedded; default: the inputs of the last layer with parameters.
    method : {"pca", "tsne"}
    dimensions : int
        1 to 3 for t-SNE.
    rng : Generator, int or None
        For t-SNE.
    batch_size : int

    Returns
    -------
    Embedding

    Raises
    ------
    TypeError, ValueError
        If there is no such layer, the images do not fit the network, or there are too few images or features
        for so many dimensions.

    Notes
    -----
    Source: K. Pearson, 1901; L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", 2008.
    """
    x = check_batch(network, x, "x")
    one_of("method", method, ("pca", "tsne"))
    dimensions = integer("dimensions", dimensions)
    if layer is None:
        last = [name for name, leaf in network.leaves() if leaf.params][-1:]
        if not last:
            raise ValueError("layer must be named, as no layer of the network has parameters.")
        outputs = activations(network, x, last, batch_size, inputs=True)
    else:
        outputs = activations(network, x, [layer], batch_size)
    features = np.concatenate([y.reshape(len(y), -1) for kept in outputs for y in kept.values()])
    if method == "pca":
        return _pca(features, dimensions)
    return _tsne(features, dimensions, generator(rng))


def _pca(features: Array, dimensions: int) -> Embedding:
    from sklearn.decomposition import PCA

    if dimensions > min(features.shape):
        raise ValueError(
            f"dimensions must be at most {min(features.shape)} for {len(features)} images with "
            f"{features.shape[1]} features, got {dimensions}."
        )
    pca = PCA(dimensions, svd_solver="full")
    with np.errstate(invalid="ignore"):  # 0 / 0 where all images are alike
        points = pca.fit_transform(features)
    return Embedding(points, features, np.nan_to_num(pca.explained_variance_ratio_), "pca")


def _tsne(features: Array, dimensions: int, rng: np.random.Generator) -> Embedding:
    from sklearn.manifold import TSNE

    N = len(features)
    if dimensions > 3:
        raise ValueError(f"dimensions must be at most 3 for method='tsne', got {dimensions}.")
    if N < 4:
        raise ValueError(f"images must be at least 4 for method='tsne', got {N}.")
    perplexity = min(30.0, (N - 1) / 3)
    # Start from the principal components where there are enough: they keep the large distances.
    init = "pca" if dimensions <= min(features.shape) and np.ptp(features, axis=0).any() else "random"
    tsne = TSNE(dimensions, perplexity=perplexity, init=init, random_state=int(rng.integers(2**31)))
    return Embedding(tsne.fit_transform(features), features, None, "tsne")
