#!/usr/bin/env bash
# Installs the system packages that build and tests need and that are missing; where there is no
# apt, names them and stops. Arguments: more commands to have, each from the package of its name, or PACKAGE:COMMAND.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin  # gearmand lives there, off an ordinary user's path
python=${PYTHON:-python3}

has_headers='import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")'

need() { # need PACKAGE COMMAND...: the package is missing when the command fails
    "${@:2}" >/dev/null 2>&1 || missing+=("$1")
}

look() {
    missing=()
    need gcc command -v gcc
    need libc6-dev gcc -E -include stdlib.h -x c /dev/null  # gcc only recommends it
    need pkg-config command -v pkg-config
    need libgearman-dev pkg-config --exists gearmand
    need gearman-job-server command -v gearmand
    need python3 command -v "$python"
    need python3-venv "$python" -c 'import ensurepip'  # Debian takes it out of python3
    need python3-dev "$python" -c "$has_headers"
    local name
    for name; do need "${name%:*}" command -v "${name#*:}"; done
}

look "$@"
if ((${#missing[@]})) && ! command -v apt-get >/dev/null; then
    cat >&2 <<END
gearman_c needs packages that are missing here (Debian's names: ${missing[*]}). Install them, then run make again:
  Fedora, RHEL   dnf install gcc libasan libubsan pkgconf-pkg-config libgearman-devel gearmand python3-devel
  Arch           pacman -S gcc pkgconf gearmand python
  Alpine         apk add gcc musl-dev pkgconf gearman-dev gearmand python3-dev
  macOS          brew install gearman pkgconf python
END
    exit 1
fi
if ((${#missing[@]})); then
    as_root=()
    if [[ $(id -u) != 0 ]]; then
        as_root=(sudo)
        if ! command -v sudo >/dev/null; then
            echo "As root, run: apt-get install ${missing[*]}" >&2
            exit 1
        fi
    fi
    echo "Installing Debian packages: ${missing[*]}"
    # Somebody's broken extra source is not our concern: what counts is whether the install works.
    "${as_root[@]}" apt-get update -qq </dev/null || echo "(apt-get update failed; going on)" >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null
    if [[ " ${missing[*]} " == *" gearman-job-server "* ]]; then
        # Debian starts each server it installs. Nobody asked for that one; the tests start their own.
        if [[ -d /run/systemd/system ]]; then
            "${as_root[@]}" systemctl disable --quiet --now gearman-job-server
        else
            "${as_root[@]}" service gearman-job-server stop >/dev/null
        fi
    fi
    look "$@"
    if ((${#missing[@]})); then
        echo "Still missing after the installation: ${missing[*]} (for $(command -v "$python"))" >&2
        exit 1
    fi
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "gearman_c needs Python 3.11 or newer and $python is older: make PYTHON=/path/to/python3" >&2
    exit 1
fi
