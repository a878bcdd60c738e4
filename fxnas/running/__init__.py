"""How the trials of a search are run: where, in which order, and what becomes of those that die."""
