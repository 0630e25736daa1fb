"""docs/c-functions.md against the libgearman that is loaded, and against the package."""

from __future__ import annotations

import re
import subprocess
from functools import reduce
from pathlib import Path

import pytest

import gearman_c

DOCUMENT = Path(__file__).parent.parent / "docs" / "c-functions.md"
ROW = re.compile(r"\| `(gearman_\w+)` \| (?:`([\w.]+)`|-) \| (?:(.+) )?\|")

# Debian calls it 1.1.20+ds.
IS_THE_VERSION = re.split(r"[^\d.]", gearman_c.libgearman_version())[0] == "1.1.20"


def section(title: str) -> str:
    """Return what stands below a heading of the second level."""
    _, *parts = re.split(r"^## ", DOCUMENT.read_text("utf-8"), flags=re.MULTILINE)
    [text] = [part for part in parts if part.startswith(f"{title}\n")]
    return text


def read_rows() -> list[tuple[str, str | None, str | None]]:
    lines = [line for line in section("The table").splitlines() if line.startswith("| `")]
    matches = [(line, ROW.fullmatch(line)) for line in lines]
    assert [line for line, match in matches if match is None] == []
    return [match.groups() for _, match in matches if match is not None]


def exported() -> set[str]:
    """Return the functions of the library that the extension has loaded."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    files = {line.split(maxsplit=5)[-1] for line in maps}
    [library] = [file for file in files if re.match(r"libgearman\.so", Path(file).name)]
    command = ["nm", "-D", "--defined-only", library]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(re.findall(r" T (gearman_\w+)", answer.stdout))


def resolve(name: str) -> object:
    """Return what a dotted name means in the package, or None."""
    return reduce(lambda owner, part: getattr(owner, part, None), name.split("."), gearman_c)


def test_each_function_has_one_row() -> None:
    names = [name for name, _, _ in read_rows()]
    assert sorted(set(names)) == sorted(names)


def test_the_table_is_complete() -> None:
    rows = {name for name, _, _ in read_rows()}
    newer = set(re.findall(r"`(gearman_\w+)", section("Newer")))
    library = exported()
    assert library - rows - newer == set()
    if IS_THE_VERSION:
        assert rows - library == set()
        assert len(rows) == 171


def test_what_is_said_to_be_missing_is_missing() -> None:
    missing = set(re.findall(r"`(gearman_\w+)", section("Declared and not there")))
    assert missing
    if IS_THE_VERSION:
        assert missing & exported() == set()


def test_each_python_name_is_there() -> None:
    names = {name for _, name, _ in read_rows() if name is not None}
    assert [name for name in sorted(names) if resolve(name) is None] == []


def test_no_python_name_has_a_reason() -> None:
    assert [c for c, name, note in read_rows() if name is None and note is None] == []


@pytest.mark.parametrize(
    "kind", [gearman_c.Client, gearman_c.Job, gearman_c.Task, gearman_c.Worker]
)
def test_what_a_docstring_wraps_is_in_the_table(kind: type) -> None:
    rows = {c: name for c, name, _ in read_rows()}
    texts = [kind.__doc__, *(getattr(kind, name).__doc__ for name in dir(kind) if name[0] != "_")]
    wrapped = re.findall(r"``(gearman_\w+)\(\)``", "".join(filter(None, texts)))
    assert wrapped
    assert [c for c in wrapped if rows.get(c) is None] == []
