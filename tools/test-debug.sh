#!/usr/bin/env bash
# Runs the tests on the sanitized build that is installed for a Python; a report of the sanitizers
# fails them, whichever process it came from. Usage: test-debug.sh PYTHON [pytest argument...]
set -euo pipefail
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT

# detect_leaks: CPython leaves much unfreed at exit; the extension counts what is its own.
# allocator_may_return_null: a failing malloc is what the MemoryError tests are about.
# handle_*: faulthandler would take these signals away from the sanitizer.
# log_path: pytest captures what is written to descriptor 2, and loses it when the process dies.
asan=detect_leaks=0:allocator_may_return_null=1:handle_segv=2:handle_sigbus=2:log_path=$reports/report
ubsan=halt_on_error=1:print_stacktrace=1:log_path=$reports/report

# The interpreter is not sanitized, so the runtime must be loaded before anything else. Without
# PYTHONMALLOC most objects would lie in arenas that the sanitizer takes for one block.
status=0
env LD_PRELOAD="$(gcc -print-file-name=libasan.so)" PYTHONMALLOC=malloc \
    ASAN_OPTIONS="$asan" UBSAN_OPTIONS="$ubsan" \
    "$(dirname "$0")/test-installed.sh" "$@" || status=$?
for report in "$reports"/*; do
    [[ -e $report ]] || continue
    cat "$report"
    status=1
done
exit "$status"
