"""Builds the one extension, gearman_c._gearman. Everything else stands in pyproject.toml."""

import os
import shlex
import subprocess
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("GEARMAN_C_DEBUG", "0")  # "thread": with the thread sanitizer
# Apart: none may reuse the other's objects.
BUILD = {"": "build", "0": "build", "thread": "build/race"}.get(DEBUG, "build/debug")

WARNINGS = ["-Wall", "-Wextra"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
if DEBUG == "thread":
    SANITIZERS = ["-fsanitize=thread"]

NO_LIBGEARMAN = """
gearman_c needs libgearman {minimum} or newer with its headers, and pkg-config to find it.
Install them:

  Debian, Ubuntu   apt-get install libgearman-dev pkg-config gcc python3-dev
  Fedora, RHEL     dnf install libgearman-devel pkgconf-pkg-config gcc python3-devel
  Arch             pacman -S gearmand pkgconf gcc
  Alpine           apk add gearman-dev pkgconf gcc musl-dev python3-dev
  macOS            brew install gearman pkgconf

(pkg-config said: {reason})"""


def libgearman(option, minimum="1.1.18"):
    """Ask pkg-config for the flags of libgearman; its module bears the server's name."""
    command = [os.environ.get("PKG_CONFIG", "pkg-config"), option, f"gearmand >= {minimum}"]
    try:
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        sys.exit(NO_LIBGEARMAN.format(minimum=minimum, reason=reason.strip()))
    return shlex.split(answer.stdout)


class BuildExtension(build_ext):
    """Looks for libgearman only when compiling: an sdist is made without it."""

    def build_extensions(self):
        """Complete the extension with what the machine has, and compile it."""
        (extension,) = self.extensions
        extension.extra_compile_args += libgearman("--cflags") + WARNINGS
        extension.extra_link_args += libgearman("--libs")
        if BUILD != "build":
            extension.extra_compile_args += ["-O0", "-g", "-fno-omit-frame-pointer", *SANITIZERS]
            extension.extra_link_args += SANITIZERS
            extension.define_macros += [("GEARMAN_C_DEBUG", "1")]
            extension.undef_macros += ["NDEBUG"]
        # Only the sources are taken over: setuptools keeps notes of its own on the object it has.
        extension.sources = cythonize(
            [extension],
            include_path=["src"],
            build_dir=f"{BUILD}/cython",
            emit_linenums=BUILD != "build",
        )[0].sources
        super().build_extensions()


setup(
    ext_modules=[
        Extension(
            "gearman_c._gearman",
            ["src/gearman_c/_gearman.pyx"],
            include_dirs=["src/gearman_c"],
            depends=["setup.py", "src/gearman_c/imports.h"],
        )
    ],
    cmdclass={"build_ext": BuildExtension},
    options={"build": {"build_base": BUILD}},
)
