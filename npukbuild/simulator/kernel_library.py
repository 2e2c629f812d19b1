"""Call compiled kernels as the cores of an array would: each core with its own control registers."""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from npukbuild.errors import SimulationFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ArgumentType = Literal["ptr", "int", "float"]
"""How an argument travels: an address, an integer (bfloat16 scalars as their 16 bits), a float."""

_FEW = 6
_MOST_INTEGERS = 16
_MOST_FLOATS = 8
_PUT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)

FAULT_MISALIGNED = 1
"""A vector access was not aligned (only with ``NPUK_CHECK_ALIGNMENT`` defined while compiling)."""
FAULT_NO_CASCADE = 2
"""A cascade instruction ran on a core that has no cascade."""


class _Registers(ctypes.Structure):
    """``npuk::control_state`` of ``include/aie_api/host/control.hpp``."""

    _fields_ = [
        ("rounding", ctypes.c_uint32),
        ("saturation", ctypes.c_uint32),
        ("faults", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("fault_address", ctypes.c_uint64),
        ("cascade_put", _PUT),
        ("cascade_get", _PUT),
        ("cascade_context", ctypes.c_void_p),
    ]


class CoreState:
    """The control registers of one core. They keep their values from call to call, as on hardware.

    Attributes:
        registers: The structure itself; ``rounding`` 0 is floor and ``saturation`` 0 is wrap, the values
            after reset.
        address: Where it lies, for the fast callables.
    """

    __slots__ = ("_cascade", "address", "registers")

    def __init__(self) -> None:
        self.registers = _Registers()
        self.address = ctypes.addressof(self.registers)
        self._cascade: tuple[Any, Any] | None = None

    @property
    def rounding(self) -> int:
        """The rounding register crRnd, as ``aie::rounding_mode`` encodes it."""
        return int(self.registers.rounding)

    @rounding.setter
    def rounding(self, mode: int) -> None:
        self.registers.rounding = mode

    @property
    def saturation(self) -> int:
        """The saturation register crSat, as ``aie::saturation_mode`` encodes it."""
        return int(self.registers.saturation)

    @saturation.setter
    def saturation(self, mode: int) -> None:
        self.registers.saturation = mode

    @property
    def faults(self) -> int:
        """Bits ``FAULT_*`` set by calls since the last :meth:`clear_faults`."""
        return int(self.registers.faults)

    @property
    def fault_address(self) -> int:
        """The address that the last fault was about."""
        return int(self.registers.fault_address)

    def clear_faults(self) -> None:
        """Forget all faults."""
        self.registers.faults = 0
        self.registers.fault_address = 0

    def connect_cascade(self, put: Callable[[bytes], None] | None, get: Callable[[], bytes] | None) -> None:
        """Give the core its ends of cascade streams.

        Args:
            put: Takes the 64 bytes that the core sends.
            get: Returns the next 64 bytes that the core receives; it may wait, the kernel waits with it.
        """

        def on_put(_context: int, data: int) -> None:
            if put is not None:
                put(ctypes.string_at(data, 64))

        def on_get(_context: int, data: int) -> None:
            if get is not None:
                ctypes.memmove(data, get(), 64)

        self._cascade = (_PUT(on_put), _PUT(on_get))
        if put is not None:
            self.registers.cascade_put = self._cascade[0]
        if get is not None:
            self.registers.cascade_get = self._cascade[1]


class KernelLibrary:
    """The functions of one library made by :func:`npukbuild.simulator.hostcc.compile_kernels`.

    Each instance has static data of its own, so that two simulations do not see each other's. Calls release
    the GIL. Calls on behalf of different cores may run in different threads at once if each has its own
    :class:`CoreState`; static variables of a kernel are then shared by the cores, which on hardware each
    have a copy: use one instance per core for kernels that have any.

    Args:
        path: The shared library.

    Raises:
        SimulationFault: It is no such library or cannot be loaded.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.symbols: tuple[str, ...] = _exported(self.path)
        self._library = _load_copy(self.path)
        self._narrow = self._library["npuk_call"]
        self._address: dict[str, int] = {}
        self._state = CoreState()

    @property
    def code(self) -> ctypes.CDLL:
        """The loaded library."""
        return self._library

    @property
    def handle(self) -> int:
        """What the system's loader calls it."""
        return self._library._handle  # noqa: SLF001  (ctypes has no public name for it)

    @property
    def entry(self) -> int:
        """The address of ``npuk_call``, through which functions are called with a core's registers."""
        return cast("int", ctypes.cast(self._narrow, ctypes.c_void_p).value)

    @property
    def arch(self) -> Literal["aie2", "aie2p"]:
        """The architecture it was compiled for."""
        return "aie2" if self._library.npuk_arch() == 20 else "aie2p"

    def new_core_state(self) -> CoreState:
        """Return control registers as after reset: rounding floor, no saturation."""
        return CoreState()

    def select_core(self, state: CoreState) -> None:
        """Make later calls without an explicit state use these registers."""
        self._state = state

    def address(self, name: str) -> int:
        """Return the address of a function.

        Raises:
            SimulationFault: The library has no such function.
        """
        if name not in self._address:
            if name not in self.symbols:
                raise SimulationFault(
                    f"the kernels define no function {name}",
                    where=str(self.path),
                    why=f"they define {', '.join(self.symbols) or 'none'}",
                    hint='the design calls C functions: declare it extern "C"',
                )
            self._address[name] = cast("int", ctypes.cast(self._library[name], ctypes.c_void_p).value)
        return self._address[name]

    def bind(
        self,
        name: str,
        argtypes: Sequence[ArgumentType],
        *,
        state: CoreState | None = None,
        returns: ArgumentType | None = None,
    ) -> Callable[..., Any]:
        """Return a fast callable of a function.

        Args:
            name: The function.
            argtypes: One entry per argument; at most 16 pointers and integers and 8 floats.
            state: The core it runs on; otherwise the one selected when called.
            returns: What it returns, if anything.
        """
        function = self.address(name)
        if "float" in argtypes or returns == "float" or len(argtypes) > _FEW:
            return self._bind_wide(function, argtypes, state, returns)
        call = self._library["npuk_call"]  # an object of its own: argtypes belong to it
        call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_ulonglong] * len(argtypes)]
        call.restype = ctypes.c_int32 if returns == "int" else ctypes.c_uint64 if returns == "ptr" else None
        if state is not None:

            def run(*args: Any, _keep: CoreState = state, _address: int = state.address) -> Any:
                return call(function, _address, *args)

            return run
        return lambda *args: call(function, self._state.address, *args)

    def _bind_wide(
        self,
        function: int,
        argtypes: Sequence[ArgumentType],
        state: CoreState | None,
        returns: ArgumentType | None,
    ) -> Callable[..., Any]:
        integers = [i for i, kind in enumerate(argtypes) if kind != "float"]
        floats = [i for i, kind in enumerate(argtypes) if kind == "float"]
        if len(integers) > _MOST_INTEGERS or len(floats) > _MOST_FLOATS:
            raise SimulationFault(
                "a core function takes too many arguments for the simulator",
                why=f"{len(integers)} pointers and integers and {len(floats)} floats; "
                f"at most {_MOST_INTEGERS} and {_MOST_FLOATS}",
                hint="pass some of them in a buffer",
            )
        call = self._library["npuk_call_wide"]
        call.argtypes = [ctypes.c_void_p] * 5
        call.restype = ctypes.c_int32 if returns == "int" else ctypes.c_uint64

        def run(*args: Any) -> Any:
            words = (ctypes.c_uint64 * _MOST_INTEGERS)(
                *[int(args[i]) & 0xFFFF_FFFF_FFFF_FFFF for i in integers]
            )
            reals = (ctypes.c_float * _MOST_FLOATS)(*[args[i] for i in floats])
            result = ctypes.c_float()
            target = ctypes.addressof(result) if returns == "float" else None
            core = state or self._state
            value = call(function, core.address, ctypes.addressof(words), ctypes.addressof(reals), target)
            return result.value if returns == "float" else value if returns else None

        return run

    def call(self, name: str, *args: Any) -> None:
        """Call a function on the selected core.

        Args:
            name: The function.
            *args: Integers and addresses as int, floats as float, arrays for their data's address.
        """
        kinds: list[ArgumentType] = ["float" if isinstance(arg, float) else "int" for arg in args]
        plain = [arg if isinstance(arg, (int, float)) else _address_of(arg) for arg in args]
        self.bind(name, kinds)(*plain)


def _address_of(value: Any) -> int:
    if hasattr(value, "ctypes"):
        return cast("int", value.ctypes.data)
    return int(value)


def _exported(path: Path) -> tuple[str, ...]:
    """Names of the functions a kernel library defines, without the simulator's own entry points."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    try:
        with path.open("rb") as stream:
            section = ELFFile(stream).get_section_by_name(".dynsym")
            symbols = section.iter_symbols() if isinstance(section, SymbolTableSection) else ()
            names = [
                symbol.name
                for symbol in symbols
                if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF"
            ]
    except (OSError, ELFError) as error:
        raise SimulationFault(f"cannot read the kernel library {path}", why=str(error)) from error
    # Of C++ names those of plain functions: a core function that lacks its extern "C".
    plain = re.compile(r"_Z\d|(?!_|npuk_)")
    return tuple(sorted(name for name in names if plain.match(name)))


def _load_copy(path: Path) -> ctypes.CDLL:
    """Load a private copy: the loader gives two opens of one file, or of one name, the same static data."""
    content = path.read_bytes()
    refusals = []
    for folder in (None, path.parent):  # the first may be mounted noexec, the second read-only
        try:
            with tempfile.NamedTemporaryFile(prefix="npukbuild-", suffix=".so", dir=folder) as copy:
                copy.write(content)
                copy.flush()
                return ctypes.CDLL(copy.name, mode=os.RTLD_LOCAL | os.RTLD_NOW)
        except OSError as error:
            refusals.append(str(error))
    raise SimulationFault(f"cannot load the kernel library {path}", why=refusals[0], details=refusals[1:])
