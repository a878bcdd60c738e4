"""The insides of a choice graph: what is needed when, what is written, and the Python that runs it."""
