"""Releases: the gate, signatures, provenance, and the registries that hold them."""
