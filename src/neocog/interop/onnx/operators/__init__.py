"""Write and read operators: a file for each of :mod:`neocog.layers`, with its layers' two directions.

Beside these, ``folding`` computes with constants, ``products`` reads multiplications by constants, and
``patterns`` reads nodes that are a layer only together. Importing this package registers them all.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
