"""Limits each token of an answer to a grammar, the grammars of each model family's calls included."""
