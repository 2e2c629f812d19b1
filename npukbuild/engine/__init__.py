"""The build engine: actions with content keys, verified stores, one scheduler for every job.

This package's modules are imported one by one, when they are needed: a build in which nothing changed reads
``engine.stamp`` and nothing else.
"""
