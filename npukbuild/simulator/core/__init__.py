"""Core programs: the region of an ``aie.core`` translated once to a Python generator, and what runs it."""
