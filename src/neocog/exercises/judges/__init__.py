"""Judge the programs of readers: run them on many inputs and say where they go wrong.

A judge is a function ``(program, seed=None) -> str``: "" if the program is right. Its name is that of the
function that it judges, its docstring says how that is called. A file holds those of one family, forward
beside backward, or those of one chapter alone.
"""
