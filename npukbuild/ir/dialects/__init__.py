"""The ``aie`` and ``aiex`` dialects on xDSL, and the spellings of standard dialects that xDSL lacks.

Spellings of several mlir-aie releases are read side by side. An operation keeps its attributes under the
names of mlir-aie's definitions, so that the quoted generic form reads as well.
"""
