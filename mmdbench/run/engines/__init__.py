"""Engines: a model in processes of this machine, or in actors of a Ray cluster.

A pool opens the model in its workers, and takes the model's place where a run is planned. A dispatcher
gives the requests of one run to the workers of a pool. Only the calling process writes replies; a worker
may exit at any moment without losing or doubling one.
"""
