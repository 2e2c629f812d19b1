"""What the documents say is so: exit codes, commands, links."""

from __future__ import annotations

import inspect
import re
import subprocess
from pathlib import Path

from npukbuild import errors
from npukbuild.cli import COMMANDS

ROOT = Path(__file__).parents[2]


def classes() -> list[type[errors.NpukbuildError]]:
    found = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.NpukbuildError)]
    return [c for c in found if c is not errors.NpukbuildError]


def test_every_kind_of_failure_has_its_own_exit_code() -> None:
    codes = [c.exit_code for c in classes()]
    assert len(set(codes)) == len(codes)
    assert not {0, 1, errors.EXIT_INTERNAL, errors.EXIT_INTERRUPTED} & set(codes)
    assert len({c.kind for c in classes()}) == len(codes)


def test_the_table_of_exit_codes_is_complete() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    for kind in classes():
        assert f"| {kind.exit_code} | {kind.kind} |" in text, kind


def test_commands_in_the_documents_exist() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(), re.DOTALL):
            for command in re.findall(r"^\s*npukbuild ([a-z]+)", block, re.MULTILINE):
                assert command in COMMANDS, f"{path.name}: npukbuild {command}"


def test_links_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_nothing_of_one_machine_is_in_the_tree() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        return
    pattern = re.compile(r"(?<![\w.$}])/(?:home|root|work|mnt|Users)/[a-z]")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if name.startswith("tests/"):
            continue  # tests quote other people's messages
        if path.suffix in (".py", ".md", ".toml", ".j2", ".hpp", ".h", ".cc", ".lock") and path.is_file():
            assert not pattern.search(path.read_text(errors="replace")), name
