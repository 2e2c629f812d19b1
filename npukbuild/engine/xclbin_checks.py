"""What aiecc made, held against the design: a package or a stream of another build is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npukbuild.errors import ContainerError

if TYPE_CHECKING:
    from npukbuild.xclbin import Container

KERNEL_NAME = "MLIR_AIE"
"""aiecc's default kernel name; the host opens the kernel by it."""
_SHOWN = 8


class OutputChecks:
    """Checks of one design's package and instruction stream.

    ``package`` and ``stream`` raise :class:`~npukbuild.errors.ContainerError`; what is odd and still the
    design's stands in ``notes`` afterwards.

    Args:
        text: The design's text.
        file: Its name in messages.
    """

    def __init__(self, text: str, file: str) -> None:
        from npukbuild.ir import load_design

        self.design = load_design(text, file=file)
        self.notes: list[str] = []

    def package(self, data: bytes) -> None:
        """Check that an XCLBIN is whole, and wide enough and with arguments enough for the design.

        Raises:
            ContainerError: It is not; everything that is wrong stands in ``details``.
        """
        from npukbuild.xclbin import read, verify

        container = read(data)
        faults = verify(container)
        wrong = [str(fault) for fault in faults if fault.severity == "error"]
        wrong += self._misfits(container) if not wrong else []
        if wrong:
            raise ContainerError(
                "the XCLBIN cannot be loaded or is not this design's",
                why=wrong[0],
                details=wrong[1:_SHOWN],
                hint="npukbuild xclbin verify shows all that is wrong with it",
            )
        self._note(str(fault) for fault in faults if fault.severity == "warning")

    def stream(self, data: bytes) -> None:
        """Check that an instruction stream starts the design's transfers and waits for them.

        Anything else in it (a register that the design does not name) is a note: releases of the compiler
        differ in it, and it is not a sign of another design's stream. So is an operation that is not known
        here, which a newer compiler may write: the stream is then not compared, and the note says so.

        Raises:
            ContainerError: It is another design's stream; the first differences stand in ``details``.
        """
        from npukbuild.xclbin.insts import UnknownOperationError, check_against_design, decode
        from npukbuild.xclbin.insts_check import compare_transfers

        try:
            stream = decode(data)
        except UnknownOperationError as error:
            self._note([f"insts.bin was not held against the design: {error.why} at {error.where}"])
            return
        wrong = [str(mismatch) for mismatch in compare_transfers(stream, self.design)]
        if wrong:
            more = len(wrong) - _SHOWN
            raise ContainerError(
                "the instruction stream is not this design's",
                why=wrong[0],
                details=[*wrong[1:_SHOWN], *([f"and {more} more differences"] if more > 0 else [])],
                hint="npukbuild insts inspect insts.bin --design design.mlir shows all of it",
            )
        self._note(f"insts.bin: {mismatch}" for mismatch in check_against_design(stream, self.design))

    def _note(self, notes: Any) -> None:
        self.notes = list(dict.fromkeys([*self.notes, *notes]))

    def _misfits(self, container: Container) -> list[str]:
        """Return in what a sound package does not fit the design."""
        from npukbuild.xclbin import inspect
        from npukbuild.xclbin.registers import registers

        report = inspect(container)
        _, columns = registers().device(self.design.device)
        wrong = []
        width = max((partition["columns"] for partition in report["partitions"]), default=0)
        if width < columns:
            wrong.append(f"its partition is {width} columns wide, {self.design.device} has {columns}")
        kernels = {kernel["name"]: kernel for kernel in report["kernels"]}
        if KERNEL_NAME not in kernels:
            wrong.append(f"it has no kernel {KERNEL_NAME}, only {', '.join(sorted(kernels)) or 'none'}")
            return wrong
        # The first three are opcode, stream and its length.
        buffers = len(kernels[KERNEL_NAME]["arguments"]) - 3
        needed = len(self.design.sequence.arguments)
        if buffers < needed:
            wrong.append(f"its kernel takes {buffers} data buffers, the design has {needed}")
        return wrong
