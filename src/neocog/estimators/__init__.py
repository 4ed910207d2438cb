"""Provide estimators for scikit-learn: a convolutional network with ``fit``, ``predict`` and ``score``.

>>> from sklearn.datasets import load_digits
>>> X, y = load_digits(return_X_y=True)
>>> model = ConvNetClassifier(image_shape=(8, 8), epochs=5, random_state=0).fit(X[:1200] / 16, y[:1200])
>>> model.score(X[1200:] / 16, y[1200:]) > 0.9
True
"""

from neocog.estimators.classifier import ConvNetClassifier
from neocog.estimators.regressor import ConvNetRegressor

__all__ = ["ConvNetClassifier", "ConvNetRegressor"]
