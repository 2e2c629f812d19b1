"""A user's .npy files: read strictly, converted openly, written whole."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy as np

from npukbuild.errors import InputError
from npukbuild.kernels.matmul_numerics import NUMPY_DTYPES
from npukbuild.smoke.whole_files import write_together

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from npukbuild.kernels.abi import Argument

_MAGIC = b"\x93NUMPY"
_ZIP = b"PK"


def load_array(path: Path) -> NDArray[Any]:
    """Read a .npy file.

    Raises:
        InputError: The file is missing, is not a .npy file, is cut short, or holds Python objects.
    """
    try:
        _check_start(path)
        loaded = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} is not a readable .npy file", why=_why(error), hint="write it with numpy.save"
        ) from error
    if not isinstance(loaded, np.ndarray):
        raise InputError(f"{path} is an archive of several arrays", hint="give one .npy file per argument")
    if loaded.dtype == np.dtype("V2"):
        # numpy has no bfloat16 of its own and reads one back as two opaque bytes.
        return loaded.view(NUMPY_DTYPES["bf16"])
    return loaded


def _check_start(path: Path) -> None:
    """Refuse what numpy would take for a pickle, since it then names a way to load it unsafely."""
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
    if start != _MAGIC and not start.startswith(_ZIP):
        raise ValueError("it does not begin as a .npy file does" if start else "it is empty")


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if "allow_pickle" in str(error):
        return "it holds Python objects, which are not loaded: unpickling a file can run any code"
    return str(error)


def convert(array: NDArray[Any], argument: Argument) -> tuple[NDArray[Any], str | None]:
    """Bring ``array`` to the argument's dtype; return it and what was done, if anything.

    Wider floats become bf16 or float32 with round-to-nearest-even; integers must fit without loss.

    Raises:
        InputError: Wrong shape, or values which the dtype cannot hold.
    """
    wanted = NUMPY_DTYPES[argument.dtype]
    if array.shape != argument.logical:
        raise InputError(
            f"{argument.name} has shape {_shape(array.shape)}",
            why=f"this kernel takes {argument.name} as {_shape(argument.logical)}",
            hint="build a kernel of your size, or pad or cut the array",
        )
    if array.dtype == wanted:
        return array, None
    if argument.dtype in ("bf16", "f32") and array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            converted = array.astype(np.float32).astype(wanted)
        return (
            converted,
            f"{argument.name}: {array.dtype} converted to {argument.dtype}, round to nearest even",
        )
    if argument.dtype in ("i8", "i16", "i32") and array.dtype.kind in "iu":
        info = np.iinfo(wanted)
        if array.size and (int(array.min()) < info.min or int(array.max()) > info.max):
            raise InputError(
                f"{argument.name} does not fit {argument.dtype}",
                why=f"its values span {int(array.min())}..{int(array.max())}, "
                f"{argument.dtype} holds {info.min}..{info.max}",
                hint="scale or clip it first",
            )
        return array.astype(
            wanted
        ), f"{argument.name}: {array.dtype} narrowed to {argument.dtype} without loss"
    raise InputError(
        f"{argument.name} has dtype {array.dtype}",
        why=f"this kernel takes {argument.dtype}",
        hint=f"convert it first, for example with array.astype({wanted.name!r})",
    )


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write ``array`` as .npy; the file appears whole or not at all."""
    write_together({path: array_writer(array)})


def array_writer(array: NDArray[Any]) -> Callable[[IO[bytes]], None]:
    """Return what writes ``array`` as .npy into a file."""

    def write(file: IO[bytes]) -> None:
        np.save(file, array, allow_pickle=False)

    return write


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape) or "a single number"
