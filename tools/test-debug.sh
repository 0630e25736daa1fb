#!/usr/bin/env bash
# Runs the tests on the sanitized build that is installed for a Python; a report of the sanitizers
# fails them, whichever process it came from. Usage: test-debug.sh PYTHON [pytest argument...]
set -euo pipefail
reports=$(mktemp -d)
programs=$(mktemp -d)
trap 'rm -rf "$reports" "$programs"' EXIT

# The server is not ours to sanitize: 1.1.20 frees a job twice when it stops with jobs running.
gearmand=$(PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v gearmand)
printf '#!/bin/sh\nunset LD_PRELOAD\nexec %s "$@"\n' "$gearmand" >"$programs/gearmand"
chmod +x "$programs/gearmand"

# detect_leaks: CPython leaves much unfreed at exit; the extension counts what is its own.
# allocator_may_return_null: a failing malloc is what the MemoryError tests are about.
# handle_*: faulthandler would take these signals away from the sanitizer.
# log_path: pytest captures what is written to descriptor 2, and loses it when the process dies.
asan=detect_leaks=0:allocator_may_return_null=1:handle_segv=2:handle_sigbus=2:log_path=$reports/report
ubsan=halt_on_error=1:print_stacktrace=1:log_path=$reports/report

# The interpreter is not sanitized, so the runtime must be loaded before anything else. Without
# PYTHONMALLOC most objects would lie in arenas that the sanitizer takes for one block.
status=0
env PATH="$programs:$PATH" LD_PRELOAD="$(gcc -print-file-name=libasan.so)" PYTHONMALLOC=malloc \
    ASAN_OPTIONS="$asan" UBSAN_OPTIONS="$ubsan" \
    "$(dirname "$0")/test-installed.sh" "$@" || status=$?
for report in "$reports"/*; do
    [[ -e $report ]] || continue
    # A packet can make libgearman ask for more memory than there is, which is no error of ours.
    grep -qv 'WARNING: AddressSanitizer failed to allocate' "$report" || continue
    cat "$report"
    status=1
done
exit "$status"
