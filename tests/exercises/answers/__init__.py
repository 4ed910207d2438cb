"""Answers of the exercises, a module a chapter: worked out by hand, or the textbook's own figures.

``ANSWERS`` maps a name to the right answer, ``WRONG`` to a wrong one where 7 will not do.
"""

import importlib
import pkgutil

ANSWERS, WRONG = {}, {}
for module in pkgutil.iter_modules(__path__):
    chapter = importlib.import_module(f"{__name__}.{module.name}")
    ANSWERS |= chapter.ANSWERS
    WRONG |= getattr(chapter, "WRONG", {})
