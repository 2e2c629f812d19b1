"""How results and failures reach the screen: data on stdout, words on stderr, one JSON object on request."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, Self

import click

from npukbuild.errors import EXIT_INTERNAL, EXIT_INTERRUPTED, DiskFullError, NpukbuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


CHECK = "npukbuild.smoke.kernel_check:check_on_simulator"
"""The numeric check of freshly built kernels, by name, since a worker process calls it."""


def json_text(value: Any) -> str:
    """Return ``value`` as one indented JSON object."""
    return json.dumps(value, indent=2, default=str)


def print_json(value: Any) -> None:
    """Write ``value`` to stdout as one indented JSON object."""
    click.echo(json_text(value))


def use_colour(stream: Any) -> bool:
    """Say whether ``stream`` may carry colour: a terminal, and ``NO_COLOR`` unset or empty."""
    return not os.environ.get("NO_COLOR") and bool(getattr(stream, "isatty", lambda: False)())


class Progress:
    """Says on stderr what is going on: one changing line on a terminal, plain lines elsewhere.

    Use as a context manager; the changing line is gone afterwards.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._quiet = quiet

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and not self._quiet:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, text: str) -> None:
        """Show ``text`` as what is being done now."""
        if self._quiet:
            return
        if self._live:
            width = max(20, shutil.get_terminal_size().columns - 1)
            sys.stderr.write(f"\r\x1b[K{text[:width]}")
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def error_lines(error: NpukbuildError) -> list[str]:
    """Lay out an error: what, where, why, details, then the hint after a blank line."""
    lines = [f"error: {error.what}"]
    if error.where:
        lines.append(f"  at {error.where}")
    if error.why:
        lines.append(f"  {error.why}")
    lines.extend(f"  {detail}" for detail in error.details)
    if error.hint:
        lines.extend(["", f"hint: {error.hint}"])
    return lines


def show_error(error: NpukbuildError, *, as_json: bool) -> None:
    """Print ``error``: words on stderr, and with ``--json`` the same as an object on stdout."""
    if as_json:
        print_json(error.as_dict())
    lines = error_lines(error)
    if use_colour(sys.stderr):
        lines[0] = click.style("error:", fg="red", bold=True) + lines[0][len("error:") :]
    click.echo("\n".join(lines), err=True, color=use_colour(sys.stderr) or None)


def explain_crashes(*, as_json: bool, before: Callable[[], None] = lambda: None) -> None:
    """Let a crash inside a core function end this command with an error that names the function.

    Args:
        as_json: Whether ``--json`` was given.
        before: Removes what would be left behind; called before the error is shown.
    """
    from npukbuild.simulator.crash import report_crashes

    def crashed(found: NpukbuildError) -> None:
        before()
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            sys.stderr.write("\r\x1b[K")
        show_error(found, as_json=as_json)

    report_crashes(crashed)


def run_guarded(command: click.Command, argv: Sequence[str] | None) -> int:
    """Run ``command`` and return its exit code; nothing but a defect of ours leaves a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments
    try:
        result = command.main(arguments, standalone_mode=False)
    except NpukbuildError as error:
        show_error(error, as_json=as_json)
        return error.exit_code
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show()
        if as_json:
            print_json({"error": "usage", "exit_code": 2, "what": error.format_message()})
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our stdout has gone (`| head`); point it elsewhere so that the exit stays silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        full = DiskFullError(
            "no space left on the device",
            where=str(error.filename) if error.filename else None,
            hint="free some space, or choose another folder with --build-dir",
        )
        show_error(full, as_json=as_json)
        return full.exit_code
    except Exception:
        import traceback

        traceback.print_exc()
        click.echo(
            "error: this is a defect in npukbuild, not in your input\n\n"
            "hint: please report it with the lines above and the command you typed",
            err=True,
        )
        return EXIT_INTERNAL
    return result if isinstance(result, int) else 0
