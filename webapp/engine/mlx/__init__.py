"""The machine room: the only place that imports mlx, mlx_lm and transformers.

Import it through `webapp.engine.backend`, which loads a fast BLAS first.
"""
