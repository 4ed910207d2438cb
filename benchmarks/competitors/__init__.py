"""Run the works of each competitor, one file a competitor.

``inference(network, x, **setting)`` and ``step(network, x, t, **setting)`` (JAX has ``epoch``, too) return a
function that does the work once, on these arrays, and returns its result on the host: the outputs, the loss
before the step, or the losses of an epoch's steps. The number of threads comes from the environment.
"""
