"""What there is to see in a network, as arrays; :mod:`neocog.figures` draws it."""

from neocog.inspection.explain import Explanation, Inquiry, explain
from neocog.inspection.trace import Step, Trace, trace

__all__ = ["Explanation", "Inquiry", "Step", "Trace", "explain", "trace"]
