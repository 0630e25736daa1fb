#!/usr/bin/env bash
# Runs the tests against the gearman_c that is installed for a Python, away from the source tree,
# whose own gearman_c would be imported first. Usage: test-installed.sh PYTHON [pytest argument...]
set -euo pipefail
python=$(realpath --no-symlinks "$(command -v "$1")")
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$(dirname "$0")/.."
cp -r README.md pyproject.toml tests examples docs tools "$away"
cd "$away"
"$python" -c 'import gearman_c; print("testing", gearman_c.__file__)'
"$python" -m pytest "${@:2}"
