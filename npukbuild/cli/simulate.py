"""``npukbuild simulate``: any design on the embedded simulator."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from npukbuild.cli.report import Progress, explain_crashes, print_json
from npukbuild.errors import FolderError, InputError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from npukbuild.errors import NpukbuildError
    from npukbuild.ir.design import Array, Design
    from npukbuild.simulator import RunResult

_PATH = click.Path(path_type=Path)
_DTYPES = {"f32": "float32", "f16": "float16", "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64",
           "ui8": "uint8", "ui16": "uint16", "ui32": "uint32"}  # fmt: skip


@click.command()
@click.argument("design", type=_PATH, metavar="DESIGN.mlir")
@click.option("--kernels", multiple=True, type=_PATH, metavar="FILE.cc", help="C++ source of core functions.")
@click.option(
    "--in", "inputs", multiple=True, metavar="ARG=FILE.npy", help="What a host argument holds before."
)
@click.option("--out", "outputs", multiple=True, metavar="ARG=FILE.npy", help="Where to write it afterwards.")
@click.option("--trace", type=_PATH, metavar="FILE.json", help="Write a Chrome trace (opens in Perfetto).")
@click.option(
    "--timeline", type=_PATH, metavar="FILE.html", help="Write a page with the array and the timeline."
)
@click.option(
    "--clock", type=click.FloatRange(min=0.01), metavar="GHZ", help="AIE clock [default: the target's]."
)
@click.option("--budget", type=click.FloatRange(min=0.001), default=10e6, metavar="US",
              help="Most simulated microseconds before giving up [default: 10 s].")  # fmt: skip
@click.option("--max-seconds", type=click.FloatRange(min=0.01), default=900.0, metavar="S",
              help="Most real seconds before giving up [default: 900].")  # fmt: skip
@click.option("--max-idle", type=click.FloatRange(min=0.01), default=20.0, metavar="S",
              help="Most real seconds in which nothing gets on [default: 20].")  # fmt: skip
@click.option("--sequence", metavar="NAME", help="The runtime sequence, where the design has several.")
@click.option("--device", metavar="NAME", help="The device, where the file has several.")
@click.option("--alloc-scheme", type=click.Choice(["auto", "bank-aware", "basic-sequential"]), default="auto",
              help="How buffers without an address are placed, as aiecc's [default: auto].")  # fmt: skip
@click.option("--functional", is_flag=True, help="Numbers and faults only: no times, and faster.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def simulate(
    design: Path,
    kernels: tuple[Path, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    trace: Path | None,
    timeline: Path | None,
    clock: float | None,
    budget: float,
    max_seconds: float,
    max_idle: float,
    sequence: str | None,
    device: str | None,
    alloc_scheme: str,
    functional: bool,
    as_json: bool,
) -> None:
    """Execute any NPU design on the embedded simulator.

    ARG is the name of a host argument in the runtime sequence (or its number, from 0). Each argument needs
    --in, --out or both; one with --out alone starts as zeros.
    """
    if functional and (trace or timeline):
        raise RequestError("--functional has no times to show", hint="drop it, or --trace and --timeline")
    from npukbuild.simulator import Simulator

    with Progress(quiet=as_json) as progress, tempfile.TemporaryDirectory(prefix="npukbuild-") as folder:
        explain_crashes(as_json=as_json, before=lambda: shutil.rmtree(folder, ignore_errors=True))
        progress(f"reading {design}")
        loaded = _load(design, device, alloc_scheme, inputs)
        chosen = _sequence(loaded, sequence)
        arrays, targets = _arguments(chosen, inputs, outputs, kernels, [trace, timeline])
        if kernels:
            progress("compiling the core functions for the host")
        library = _compile(kernels, loaded, Path(folder)) if kernels else None
        progress("simulating")
        simulator = Simulator(
            loaded,
            library,
            timed=not functional,
            clock_ghz=clock,
            trace=bool(trace or timeline),
            sequence=sequence,
            max_us=budget,
            max_seconds=max_seconds,
            max_idle_seconds=max_idle,
        )
        result = simulator.run(list(arrays.values()))
    pictures = _pictures(loaded, result, design, trace, timeline)
    written = _write_results(arrays, targets, pictures)
    if as_json:
        print_json({"design": str(design), "device": loaded.device, **result.as_dict(), "written": written})
    else:
        _show(loaded, result, written)


def _load(path: Path, device: str | None, allocation: str, inputs: Sequence[str]) -> Design:
    from npukbuild.ir import load_design, take_account

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text", why=str(error)) from error
    design = load_design(text, file=str(path), device=device, allocation=allocation, sizes=_sizes(inputs))
    for configuration in design.configurations:
        take_account(configuration).check()
    return design


def _sizes(inputs: Sequence[str]) -> dict[str, int]:
    """Return how many elements the host's buffers have, as far as that can be read now."""
    import numpy as np

    found = {}
    for text in inputs:
        key, _, file = text.partition("=")
        with suppress(OSError, ValueError):  # what is wrong is told with the arguments
            found[key.removeprefix("%")] = int(np.load(file, mmap_mode="r", allow_pickle=False).size)
    return found


def _sequence(design: Design, name: str | None) -> Any:
    names = ", ".join(design.sequences) or "none"
    if name is not None and name not in design.sequences:
        raise RequestError(f"the design has no runtime sequence {name}", why=f"it has {names}")
    if name is None and len(design.sequences) != 1:
        raise RequestError(
            f"the design has {len(design.sequences)} runtime sequences",
            why=names,
            hint="choose one with --sequence NAME"
            if design.sequences
            else "without one the host has nothing to run",
        )
    return design.sequences[name] if name is not None else design.sequence


def _arguments(
    sequence: Any,
    inputs: Sequence[str],
    outputs: Sequence[str],
    kernels: Sequence[Path],
    pictures: Sequence[Path | None],
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return the host arguments' arrays and where outputs go, before anything costly begins.

    Raises:
        NpukbuildError: Of the first mistake's kind; it has all mistakes.
    """
    mistakes: list[NpukbuildError] = []
    sources = _pairs(inputs, sequence, "--in", mistakes)
    targets = _pairs(outputs, sequence, "--out", mistakes)
    if not mistakes:
        _check_given(sequence, sources, targets, mistakes)
    mistakes += [
        InputError(f"{path} does not exist", why="it was given with --kernels")
        for path in kernels
        if not path.is_file()
    ]
    arrays = _arrays(sequence, sources, mistakes)
    _check_places([*targets.values(), *[path for path in pictures if path is not None]], mistakes)
    if len(mistakes) == 1:
        raise mistakes[0]
    if mistakes:
        lines = [error.what + (f": {error.why}" if error.why else "") for error in mistakes]
        hint = next((error.hint for error in mistakes if error.hint), None)
        raise type(mistakes[0])(f"{len(lines)} of the arguments are wrong", details=lines, hint=hint)
    return arrays, targets


def _pairs(
    given: Sequence[str], sequence: Any, option: str, mistakes: list[NpukbuildError]
) -> dict[str, Path]:
    """Read ``ARG=FILE`` options."""
    names = [name for name, _ in sequence.arguments]
    known = "the design's arguments are " + ", ".join(f"{name}: {kind}" for name, kind in sequence.arguments)
    found: dict[str, Path] = {}
    for text in given:
        key, equals, file = text.partition("=")
        key = names[int(key)] if key.isdecimal() and int(key) < len(names) else key.removeprefix("%")
        if not equals or not file:
            mistakes.append(RequestError(f"{option} {text}: write ARG=FILE.npy", why=known))
        elif key not in names:
            mistakes.append(RequestError(f"{option} {text}: there is no argument {key}", why=known))
        elif key in found:
            mistakes.append(RequestError(f"{option} {text}: {key} is given twice"))
        else:
            found[key] = Path(file)
    return found


def _check_given(
    sequence: Any,
    inputs: Mapping[str, Path],
    outputs: Mapping[str, Path],
    mistakes: list[NpukbuildError],
) -> None:
    missing = [name for name, _ in sequence.arguments if name not in inputs and name not in outputs]
    if missing:
        several = len(missing) > 1
        mistakes.append(
            RequestError(
                f"host argument{'s' * several} {', '.join(missing)} {'have' if several else 'has'} neither "
                "--in nor --out",
                why="the design takes " + ", ".join(f"{name}: {kind}" for name, kind in sequence.arguments),
                hint=" ".join(f"--in {name}=FILE.npy" for name in missing),
            )
        )


def _check_places(places: Sequence[Path], mistakes: list[NpukbuildError]) -> None:
    """Find out before the work whether its results can be written, each to a place of its own."""
    seen: set[Path] = set()
    for path in places:
        if path.resolve() in seen:
            mistakes.append(RequestError(f"two results would be written to {path}"))
        seen.add(path.resolve())
        try:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            descriptor, name = tempfile.mkstemp(prefix=".probe-", dir=path.parent)
            os.close(descriptor)
            Path(name).unlink()
        except OSError as error:
            mistakes.append(FolderError(f"cannot write {path}", why=error.strerror))


def _arrays(sequence: Any, inputs: Mapping[str, Path], mistakes: list[NpukbuildError]) -> dict[str, Any]:
    import numpy as np

    arrays = {}
    for name, kind in sequence.arguments:
        try:
            if name not in inputs:
                arrays[name] = np.zeros(kind.shape, dtype_of(kind.element))
                continue
            arrays[name] = _input(name, kind, inputs[name], sized=name in sequence.sized)
        except InputError as error:
            mistakes.append(error)
        except (MemoryError, ValueError):  # ValueError: more bytes than an address can count
            size = f"it would take {kind.bytes / 2**30:,.0f} GiB ({kind})"
            mistakes.append(InputError(f"argument {name} does not fit into this machine's memory", why=size))
    return arrays


def _input(name: str, kind: Array, path: Path, *, sized: bool) -> Any:
    import numpy as np

    from npukbuild.smoke.arrays import load_array

    array = load_array(path)
    wanted = dtype_of(kind.element)
    if sized and array.size < kind.elements:
        raise InputError(
            f"{path} has {array.size} elements", why=f"the transfers of {name} reach {kind.elements}"
        )
    if not sized and array.shape != kind.shape:
        raise InputError(
            f"{path} has shape {_shape(array.shape)}",
            why=f"argument {name} is {_shape(kind.shape)} of {kind.element}",
        )
    if array.dtype.newbyteorder("=") != wanted and not (
        array.dtype.kind == "f" and kind.element in ("bf16", "f16", "f32")
    ):
        raise InputError(
            f"{path} holds {array.dtype}",
            why=f"argument {name} is {kind.element}",
            hint=f"convert it first: array.astype({wanted.name!r})",
        )
    return np.array(array, dtype=wanted, order="C", copy=True)


def dtype_of(element: str) -> Any:
    """Return numpy's type of a design's element type."""
    import numpy as np

    if element == "bf16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(_DTYPES[element])


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _compile(sources: Sequence[Path], design: Design, folder: Path) -> Any:
    from npukbuild.simulator.hostcc import compile_kernels
    from npukbuild.simulator.kernel_library import KernelLibrary
    from npukbuild.targets import load_target

    arch = load_target(design.device).arch
    output = folder / "kernels.so"
    return KernelLibrary(
        compile_kernels(list(sources), arch=arch, output=output, defines=("NPUK_CHECK_ALIGNMENT",))
    )


def _write_results(
    arrays: Mapping[str, Any], outputs: Mapping[str, Path], pictures: Mapping[Path, str]
) -> list[str]:
    """Write all outputs and pictures, or none of them."""
    from npukbuild.smoke.arrays import array_writer
    from npukbuild.smoke.whole_files import write_together

    files = {path: array_writer(arrays[name]) for name, path in outputs.items()}
    files |= {path: _text_writer(text) for path, text in pictures.items()}
    write_together(files)
    return [str(path) for path in files]


def _text_writer(text: str) -> Callable[[IO[bytes]], None]:
    def write(file: IO[bytes]) -> None:
        file.write(text.encode())

    return write


def _pictures(
    design: Design, result: RunResult, path: Path, trace: Path | None, timeline: Path | None
) -> dict[Path, str]:
    """Return the text of the trace and the timeline that were asked for."""
    found = {}
    if trace is not None:
        from npukbuild.simulator.trace import trace_json

        found[trace] = trace_json(result)
    if timeline is not None:
        from npukbuild.simulator.timeline.page import timeline_html

        found[timeline] = timeline_html(design, result, title=path.stem)
    return found


def _show(design: Design, result: RunResult, written: Sequence[str]) -> None:
    for warning in result.warnings:
        click.echo(f"warning: {warning}", err=True)
    if result.timed:
        click.echo(
            f"{result.microseconds:,.1f} us per call simulated on {design.device} at {result.clock_ghz:g} GHz"
        )
        click.echo(
            f"  array     {result.array_us:,.1f} us ({result.cycles:,.0f} cycles), launch "
            f"{result.launch_us:g} us"
        )
        if result.first_output_us is not None:
            click.echo(f"  first output after {result.first_output_us:,.1f} us")
        busiest = max(result.cores.items(), key=lambda item: item[1], default=("", 0.0))
        click.echo(f"  busy      {busiest[0]} {busiest[1]:.0%}, DDR {result.ddr:.0%}")
        click.echo(f"  limit     {result.bottleneck}")
    else:
        click.echo(f"ran on the simulated {design.device}, {result.counts['handovers']:,} hand-overs")
    for path in written:
        click.echo(f"wrote {path}", err=True)
