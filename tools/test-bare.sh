#!/usr/bin/env bash
# Tests a wheel on a machine that has neither libgearman nor a compiler: a minimal Debian in a folder,
# made with debootstrap in build/bare and kept. Needs root or sudo. Usage: test-bare.sh WHEEL
set -euo pipefail
wheel=$(realpath "$1")
cd "$(dirname "$0")/.."
case $wheel in
    *-cp311-*) suite=bookworm ;;
    *-cp313-*) suite=trixie ;;
    *) echo "No Debian has the Python of $wheel." >&2; exit 1 ;;
esac
root=$PWD/build/bare/$suite
as_root=()
if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
PATH=$PATH:/usr/sbin:/sbin

if [[ ! -e $root/.made ]]; then
    "${as_root[@]}" rm -rf "$root"
    mkdir -p build/bare
    # gearmand has libgearman's code in itself, and so brings no library that a wheel could find.
    "${as_root[@]}" debootstrap --variant=minbase --include=python3-venv,gearman-job-server \
        "$suite" "$root" >build/debootstrap.log || { tail build/debootstrap.log; exit 1; }
    "${as_root[@]}" touch "$root/.made"
fi
if "${as_root[@]}" find "$root/usr/lib" "$root/lib" -name 'libgearman.so*' | grep .; then
    echo 'That machine has a libgearman of its own, so it proves nothing.' >&2
    exit 1
fi

# What the tests need is downloaded here: the bare machine has no network but the loopback.
house=build/bare-wheels
rm -rf "$house"
mkdir -p "$house"
cp "$wheel" "$house"
.venv/bin/python -m pip --disable-pip-version-check wheel -q --wheel-dir "$house" "${wheel}[cli,test]"
"${as_root[@]}" rm -rf "$root/test"
"${as_root[@]}" mkdir "$root/test"
"${as_root[@]}" cp -r "$house" "$root/test/wheels"
"${as_root[@]}" cp -r README.md pyproject.toml tests examples docs tools "$root/test"

# shellcheck disable=SC2016  # $0 is for the inner shell
"${as_root[@]}" unshare --mount --pid --fork bash -euc '
    mount --bind /dev "$0/dev"
    mount -t proc proc "$0/proc"
    exec chroot "$0" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 bash -euc "
        cd /test
        python3 -m venv venv
        venv/bin/pip install -q --no-index --find-links wheels \"gearman_c[cli,test]\"
        venv/bin/python -m pytest -m smoke
    "' "$root"
