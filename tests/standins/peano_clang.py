"""Stand-in for Peano's clang++: reads a kernel's function names and writes an object of machine 264.

It takes the documented kernel flags and refuses others, writes the dependency file, and obeys lines in the
source that begin with ``// standin:``, to make it misbehave:

    size NAME BYTES      frame NAME BYTES      call NAME SYMBOL      data BYTES
    machine NUMBER       hang                  crash                 empty        old
    exit-zero-without-output                   noise MEGABYTES       no-frames
    error LINE WORDS...

``*`` is every function.
A file ``standin.orders`` in Peano's folder holds more of such lines, for kernels that a test does not write.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

from tests.standins.aie_elf import Function, build_object

BANNER = (
    "clang version 21.0.0 (https://github.com/Xilinx/llvm-aie {commit})\n"
    "Target: x86_64-unknown-linux-gnu\nThread model: posix\n"
)
KNOWN = re.compile(
    r"-O[0-3s]|-std=c\+\+20|-W[\w-]+|-D\w+(=.*)?|-I.*|-MD|-c|-fstack-size-section|-Wl,.*|-fuse-ld=.*|-nostdlib"
)


def _values(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    values: dict[str, str] = {}
    sources = []
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-o", "-MF"):
            values[argument] = next(rest)
        elif argument.startswith("--target="):
            values["target"] = argument.partition("=")[2]
        elif argument.startswith("-") and not KNOWN.fullmatch(argument):
            sys.exit(f"clang++: error: unknown argument: '{argument}'")
        elif not argument.startswith("-"):
            sources.append(argument)
        else:
            values[argument] = ""
    return values, sources


def _c_names(text: str) -> tuple[list[str], list[str]]:
    """Return function names with C linkage, and the others."""
    pattern = re.compile(r"^[ \t]*(extern \"C\" )?(?:inline )?void (\w+)\s*\([^;{]*\)\s*\{", re.MULTILINE)
    c_names: list[str] = []
    others: list[str] = []
    blocks = [(m.start(), _end(text, m.end() - 1)) for m in re.finditer(r'extern "C"\s*\{', text)]
    for match in pattern.finditer(text):
        inside = any(start < match.start() < end for start, end in blocks)
        (c_names if match[1] or inside else others).append(match[2])
    return c_names, others


def _end(text: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return len(text)


def main(arguments: list[str], commit: str) -> int:
    """Behave as clang++ does for these arguments."""
    if "--version" in arguments:
        sys.stdout.write(BANNER.format(commit=commit))
        return 0
    values, sources = _values(arguments)
    if not re.fullmatch(r"aie2p?-none-unknown-elf", values.get("target", "")):
        sys.stderr.write(f"error: unknown target triple '{values.get('target', 'x86_64')}'\n")
        return 1
    if "-c" not in values:
        return _link(values, sources)
    source = sources[0]
    text = Path(source).read_text()
    if "PEANO_INSTALL_DIR" not in os.environ or "PYTHONPATH" in os.environ:
        sys.stderr.write("stand-in: the environment is not clean\n")
        return 1
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#error"):
            sys.stderr.write(f"{source}:{number}:2: error: {line[7:]}\n{line}\n ^\n1 error generated.\n")
            return 1
        match = re.match(r"#include <(aie_api/.*)>", line)
        if match and not any(Path(a[2:], match[1]).is_file() for a in arguments if a.startswith("-I")):
            sys.stderr.write(f"{source}:{number}:10: fatal error: '{match[1]}' file not found\n")
            return 1
    return _write(text, source, values, arguments)


def _write(text: str, source: str, values: dict[str, str], arguments: list[str]) -> int:
    more = Path(sys.argv[0]).parents[1] / "standin.orders"
    lines = text.splitlines() + (more.read_text().splitlines() if more.is_file() else [])
    orders = [line.split()[2:] for line in lines if line.startswith("// standin:")]
    c_names, others = _c_names(text)
    functions = {name: Function(name) for name in c_names}
    functions.update({name: Function(f"_Z{len(name)}{name}PDv_") for name in others})
    settings = {"data": 0, "machine": 264}
    for word, *rest in orders:
        if word in ("size", "frame"):
            for name in functions if rest[0] == "*" else rest[:1]:
                setattr(functions[name], word, int(rest[1]))
        elif word == "call":
            callee = functions[rest[1]].name if rest[1] in functions else rest[1]
            for name in functions if rest[0] == "*" else rest[:1]:
                functions[name].calls.append(callee)
        elif word in settings:
            settings[word] = int(rest[0])
        elif word == "no-frames":
            for function in functions.values():
                function.frame = None
        elif word == "noise":
            for _ in range(int(rest[0])):
                sys.stderr.write(("warning: stand-in noise " * 44 + "\n") * 1000)
        elif word == "error":
            sys.stderr.write(f"{source}:{rest[0]}:3: error: {' '.join(rest[1:])}\n1 error generated.\n")
            return 1
        elif word == "hang":
            time.sleep(600)
        elif word == "exit-zero-without-output":
            return 0
    if "-fstack-size-section" not in arguments:
        for function in functions.values():
            function.frame = None
    output = Path(values["-o"])
    content = build_object(list(functions.values()), data=settings["data"], machine=settings["machine"])
    if ["crash"] in orders:
        output.write_bytes(content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGSEGV)
    if ["half"] in orders:
        content = content[: len(content) // 2]
    output.write_bytes(b"" if ["empty"] in orders else content)
    if ["old"] in orders:
        os.utime(output, (1, 1))
    headers = [Path(a[2:], "aie_api/aie.hpp") for a in arguments if a.startswith("-I")]
    found = [str(header).replace(" ", "\\ ") for header in headers if header.is_file()]
    if "-MF" in values:
        Path(values["-MF"]).write_text(f"{output.name}: {source} \\\n  " + " \\\n  ".join(found) + "\n")
    return 0


def _link(values: dict[str, str], sources: list[str]) -> int:
    """Link a core from objects, as the driver does with ``-Wl,-T``: the result is a core ELF."""
    from tests.standins.aie_elf import build_core

    for source in sources:
        if not Path(source).is_file():
            sys.stderr.write(f"clang++: error: no such file or directory: '{source}'\n")
            return 1
    Path(values["-o"]).write_bytes(build_core([Function("_main", size=256)], data=64))
    return 0
