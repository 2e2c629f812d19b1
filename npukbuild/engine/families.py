"""Kernel families by name: what a request of each may say, and how it becomes a plan.

A family of another package registers an entry point in the group ``npukbuild.families`` whose object is a
:class:`Family`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from npukbuild.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

FieldKind = Literal["size", "number", "name", "flag", "block"]
ENTRY_POINTS = "npukbuild.families"


@dataclass(frozen=True, slots=True)
class Field:
    """One thing a request may say.

    ``size`` is a whole number from 1, ``number`` one from 0, ``block`` three sizes (m, k, n), ``name`` one of
    ``choices`` if there are any, ``flag`` true or false. ``default`` None means "not given".
    """

    name: str
    kind: FieldKind
    help: str
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """A family: its fields, and a function ``request -> plan`` by the name ``module:function``.

    ``normal`` is a function ``request -> (kernel name, request)`` that fills in what was left out, so that
    equal requests look equal; it does not plan, and refuses contradictions with a RequestError.
    """

    name: str
    help: str
    fields: tuple[Field, ...]
    plan: str
    normal: str


MATMUL = Family(
    "matmul",
    "C[M,N] = A[M,K] x B[K,N]",
    (
        Field("m", "size", "rows of A and C", required=True),
        Field("k", "size", "columns of A, rows of B", default=64),
        Field("n", "size", "columns of B and C", required=True),
        Field("dtype", "name", "type of A and B", default="bf16", choices=("bf16", "bfp16", "i8", "i16")),
        Field(
            "out_dtype",
            "name",
            "type of C; by default that of A",
            choices=("bf16", "f32", "i8", "i16", "i32"),
        ),
        Field(
            "b_layout",
            "name",
            "B row-major (row) or given transposed (col)",
            default="row",
            choices=("row", "col"),
        ),
        Field("shift", "number", "right shift of i8 and i16 results", default=0),
        Field("cols", "size", "use exactly this many columns of the array"),
        Field("block", "block", "use exactly this block (m, k, n) per core"),
    ),
    plan="npukbuild.engine.families:plan_matmul_request",
    normal="npukbuild.engine.families:normal_matmul",
)

_BUILT_IN = {MATMUL.name: MATMUL}


def family_named(name: str) -> Family:
    """Return a family.

    Raises:
        RequestError: No family has that name.
    """
    known = _BUILT_IN.get(name) or _others().get(name)
    if known is None:
        raise RequestError(f"unknown family {name!r}", why=f"known families: {', '.join(family_names())}")
    return known


def family_names() -> tuple[str, ...]:
    """Return the names of all families, our own first."""
    return (*_BUILT_IN, *sorted(_others()))


def _others() -> dict[str, Family]:
    from importlib.metadata import entry_points

    return {point.name: point.load() for point in entry_points(group=ENTRY_POINTS)}


def plan_request(request: Mapping[str, Any]) -> Any:
    """Return the plan of a request: a mapping with ``family``, ``target`` and the family's fields.

    Raises:
        RequestError: It is no legal request.
        CannotFitError: No plan exists for it.
    """
    return resolve(family_named(str(request["family"])).plan)(request)


def normal_request(request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of the kernel that a request asks for, and the request with nothing left out.

    Raises:
        RequestError: It is no legal request.
    """
    name, normal = resolve(family_named(str(request["family"])).normal)(request)
    return str(name), dict(normal)


def resolve(name: str) -> Any:
    """Return what ``module:attribute`` names."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def _matmul_problem(request: Mapping[str, Any]) -> Any:
    from npukbuild.kernels.matmul import MatmulProblem

    given = {name: request[name] for name in ("m", "k", "n", "dtype", "b_layout", "shift") if name in request}
    return MatmulProblem(**given, out_dtype=request.get("out_dtype") or "")


def normal_matmul(request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and the full request of a matmul kernel."""
    problem = _matmul_problem(request)
    block = request.get("block")
    return problem.name, {
        "family": "matmul",
        "target": str(request["target"]),
        **problem.as_dict(),
        "cols": request.get("cols"),
        "block": list(block) if block else None,
    }


def plan_matmul_request(request: Mapping[str, Any]) -> Any:
    """Return the plan of a matmul request."""
    from npukbuild.planner import plan_matmul
    from npukbuild.targets import load_target

    block = request.get("block")
    return plan_matmul(
        _matmul_problem(request),
        load_target(str(request["target"])),
        block=(int(block[0]), int(block[1]), int(block[2])) if block else None,
        cols=request.get("cols"),
    )
