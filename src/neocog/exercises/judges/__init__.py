"""Judge the programs of readers: run them on many inputs and say where they go wrong."""
