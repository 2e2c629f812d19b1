"""Stand-ins for aiecc in its three generations: flags, outputs, exit codes and failures as documented.

Behaviour that a test asks for comes from ``standin.json`` beside ``bin/``, since the environment is clean:

    hang, crash, noise (megabytes), stderr (text), exit (code), half-xclbin, stale, bad-insts,
    core-text, core-data, data-at (bytes), machine (number), keep-no-elf, insts (path),
    partition-of (a design's text: the package is made for its device)
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.standins.aie_elf import Function, build_core

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
VERSIONS = {
    "python": "aiecc.py dde51cb0\n",
    "cpp": "LLVM (http://llvm.org/):\n  LLVM version 23.0.0git\n  Optimized build.\n"
    "aiecc (C++ version) 1e400306\n",
    "declarative": "aiecc (mlir-aie declarative driver) 7e00b57\n",
}
SWITCHES = (
    "aie-generate-xclbin",
    "aie-generate-npu-insts",
    "no-compile-host",
    "no-xchesscc",
    "no-xbridge",
    "dynamic-objFifos",
    "version",
    "n",
)
VALUES = (
    "xclbin-name",
    "npu-insts-name",
    "peano",
    "tmpdir",
    "alloc-scheme",
    "device-name",
    "sequence-name",
    "j",
)
XCLBIN_DEFAULT = {"python": "main.xclbin", "cpp": "main.xclbin", "declarative": "aie.xclbin"}
INSTS_DEFAULT = {"python": "main_sequence.bin", "cpp": "main_sequence.bin", "declarative": "insts_main.bin"}


def _parse(arguments: list[str], generation: str) -> dict[str, Any]:
    """Parse as each generation does: A refuses with code 2, B swallows the unknown, C refuses with code 1."""
    if generation == "python":
        parser = argparse.ArgumentParser(prog="aiecc.py")
        for name in SWITCHES:
            parser.add_argument(f"-{'' if len(name) == 1 else '-'}{name}", action="store_true")
        for name in VALUES:
            parser.add_argument(f"-{'' if len(name) == 1 else '-'}{name}")
        parser.add_argument("-v", action="store_true")
        parser.add_argument("input", nargs="?")
        return {key.replace("_", "-"): value for key, value in vars(parser.parse_args(arguments)).items()}
    options: dict[str, Any] = {}
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            break
        if not argument.startswith("-"):
            options["input"] = argument
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        if name in SWITCHES or name == "v":
            options[name] = True
        elif name in VALUES:
            options[name] = value if equals else next(rest)
        elif generation == "declarative":
            sys.stderr.write(
                f"aiecc: Unknown command line argument '{argument}'.  Try: '{sys.argv[0]} --help'\n"
                "aiecc: Did you mean '--verbose'?\n"
            )
            sys.exit(1)
    return options


def main(arguments: list[str], generation: str, root: Path) -> int:
    """Behave as ``generation``'s aiecc does for these arguments."""
    options = _parse(arguments, generation)
    if options.get("version"):
        sys.stdout.write(VERSIONS[generation])
        return 0
    behaviour = json.loads((root / "standin.json").read_text()) if (root / "standin.json").is_file() else {}
    for problem in (_chess(options), _peano(options, generation)):
        if problem:
            sys.stderr.write(problem)
            return 1
    if not options.get("input") or not Path(options["input"]).is_file():
        sys.stderr.write(f"aiecc: error: could not open input file '{options.get('input')}'\n")
        return 1
    _misbehave(behaviour)
    design = Path(options["input"]).read_text()
    failure = _refuse(design, generation)
    if failure:
        sys.stderr.write(failure)
        return 1
    scratch = Path(options.get("tmpdir") or f"{options['input']}.prj")
    if generation == "cpp":
        if not scratch.is_dir():
            scratch.mkdir()  # not recursive, as in that driver
    else:
        scratch.mkdir(parents=True, exist_ok=True)
    if not behaviour.get("keep-no-elf"):
        _link_cores(design, scratch, generation, behaviour)
    return _package(options, generation, behaviour, design)


def _chess(options: dict[str, Any]) -> str | None:
    if not options.get("no-xchesscc"):
        return (
            "FileNotFoundError: [Errno 2] No such file or directory: "
            "'<aietools not found>/tps/lnx64/target_aie_ml/bin/LNa64bin/chess-llvm-link'\n"
        )
    if not options.get("no-xbridge"):
        return "xchesscc_wrapper: line 53: xchesscc: command not found\ndirname: missing operand\n"
    return None


def _peano(options: dict[str, Any], generation: str) -> str | None:
    """A wrong ``--peano`` is not refused: the next place is tried, at last the system's llc."""
    for place in (options.get("peano"), os.environ.get("PEANO_INSTALL_DIR")):
        if place and Path(place, "bin", "llc").exists():
            return None
    if generation == "python":
        return "Invalid Peano install directory: peano_not_found\n"
    return "llc: error: unrecognized architecture 'aie2p' provided.\n"


def _misbehave(behaviour: dict[str, Any]) -> None:
    for _ in range(behaviour.get("noise", 0)):
        sys.stderr.write(("remark: stand-in noise " * 45 + "\n") * 1000)
    if "stderr" in behaviour:
        sys.stderr.write(behaviour["stderr"])
    if behaviour.get("hang"):
        # A grandchild that ignores SIGTERM, as a compiler started by a driver may.
        child = subprocess.Popen(
            [sys.executable, "-c", "import signal,time;signal.signal(15,signal.SIG_IGN);time.sleep(600)"]
        )
        Path("grandchild.pid").write_text(str(child.pid))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if "exit" in behaviour:
        sys.stderr.flush()
        os._exit(behaviour["exit"])


def _refuse(design: str, generation: str) -> str | None:
    """What the real driver says about a design or its objects."""
    if "aie.device(npu1_4col)" in design:
        return "error: \"-\":2:14: custom op 'aie.device' expected string or keyword\n"
    on_function = re.search(r"func\.func private @\w+[^\n]*link_with", design)
    on_core = re.search(r"\}\s*\{[^}]*link_with = \"([^\"]+)\"", design)
    linked = re.findall(r'link_with = "([^"]+)"', design)
    for name in linked:
        if not Path(name).is_file():
            return f"error: could not copy {name}: No such file or directory\n"
    called = sorted(set(re.findall(r"func\.call @(\w+)", design)))
    if generation == "python" and on_function and not on_core and called:
        return "".join(f"ld.lld: error: undefined symbol: {name}\n" for name in called)
    known = b"".join(Path(name).read_bytes() for name in linked)
    missing = [name for name in called if name.encode() + b"\0" not in known]
    return "".join(f"ld.lld: error: undefined symbol: {name}\n" for name in missing) or None


def _link_cores(design: str, scratch: Path, generation: str, behaviour: dict[str, Any]) -> None:
    tiles = {m[1]: (m[2], m[3]) for m in re.finditer(r"%(\w+) = aie\.tile\((\d+), (\d+)\)", design)}
    for core in re.findall(r"aie\.core\(%(\w+)\)", design):
        column, row = tiles[core]
        name = {
            "python": f"main_core_{column}_{row}.elf",
            "cpp": f"main_core_{column}_{row}.elf",
            "declarative": f"elfs_main_core_{column}_{row}.elf",
        }[generation]
        function = Function("main", size=behaviour.get("core-text", 2048))
        content = build_core(
            [function],
            data=behaviour.get("core-data", 64),
            machine=behaviour.get("machine", 264),
            data_at=behaviour.get("data-at", 0x7C000),
        )
        (scratch / name).write_bytes(content)


def _stream(design: str) -> bytes:
    """The design's instruction stream: a golden file's for its design, else by this project's encoder."""

    def told(text: str) -> list[str]:
        return re.findall(r"aie\.device\(\w+\)|dma_memcpy_nd.*|dma_wait.*", text)

    golden = GOLDEN / "G1_matmul_64x64x512_bf16"
    if told(design) == told(golden.with_suffix(".mlir").read_text()):
        return golden.with_suffix(".insts.bin").read_bytes()
    from npukbuild.ir import load_design
    from npukbuild.xclbin.insts import encode

    return encode(load_design(design.replace("aiex.runtime_sequence", "aie.runtime_sequence")))


def _write_partition(design: str) -> None:
    """The part of aie_partition.json that depends on the device: width and where it may start."""
    found = re.search(r"aie\.device\(npu([12])(?:_(\d)col)?\)", design)
    whole = {"1": 4, "2": 8}[found[1]] if found else 4
    width = int(found[2]) if found and found[2] else whole
    starts = [0] if width == whole else list(range(1, 6 - width))
    partition = {"column_width": width, "start_columns": starts}
    Path("aie_partition.json").write_text(json.dumps({"aie_partition": {"partition": partition}}))


def _package(options: dict[str, Any], generation: str, behaviour: dict[str, Any], design: str) -> int:
    insts = Path(options.get("npu-insts-name") or INSTS_DEFAULT[generation])
    if options.get("aie-generate-npu-insts"):
        content = Path(behaviour["insts"]).read_bytes() if "insts" in behaviour else _stream(design)
        insts.write_bytes(content[:-4] if behaviour.get("bad-insts") else content)
    if not options.get("aie-generate-xclbin"):
        return 0
    xclbin = Path(options.get("xclbin-name") or XCLBIN_DEFAULT[generation])
    tool = shutil.which("xclbinutil")
    if tool is None:
        return _no_xclbinutil(options, generation)
    _write_partition(behaviour.get("partition-of", design))
    command = [tool, "--add-replace-section", "AIE_PARTITION:JSON:aie_partition.json", "--force", "--quiet"]
    ended = subprocess.run([*command, "--output", str(xclbin)], check=False)
    if behaviour.get("half-xclbin"):
        xclbin.write_bytes(xclbin.read_bytes()[:4000])
    if behaviour.get("crash"):
        xclbin.write_bytes(xclbin.read_bytes()[:4000])
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour.get("stale"):
        os.utime(xclbin, (1_000_000_000, 1_000_000_000))
    if generation == "cpp":
        sys.stdout.write("Compilation completed successfully\n")
        return 0
    return ended.returncode


def _no_xclbinutil(options: dict[str, Any], generation: str) -> int:
    if generation == "python":
        sys.stderr.write(
            'Traceback (most recent call last):\n  File "aiecc.py", line 8, in <module>\n'
            "FileNotFoundError: [Errno 2] No such file or directory: 'xclbinutil'\n"
        )
        return 1
    if generation == "cpp":
        if options.get("v"):
            sys.stderr.write("Warning: xclbinutil not found in PATH, skipping xclbin generation\n")
        return 0
    sys.stderr.write("aiecc: ShellCommand: tool 'xclbinutil' not found in search paths or PATH\n")
    return 1
