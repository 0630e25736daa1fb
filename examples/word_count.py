"""The most frequent words of all text files in a folder, counted by workers.

    python examples/word_count.py work [--processes 4] [--server host:port,...]
    python examples/word_count.py count FOLDER [--top 10] [--server host:port,...]

Each file is one job, and its contents travel with it: the workers may run on other machines. A
file that cannot be read or counted is told, and the others are counted all the same.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections import Counter
from pathlib import Path

from gearman_c import Client, GearmanError, Job, JobFailed, JobFailedError, Worker

FUNCTION = "word_count"


def count_words(job: Job) -> str:
    """Return how often each word is in the text, as JSON."""
    try:
        text = job.workload.decode()
    except UnicodeDecodeError as error:
        raise JobFailed(f"it is no UTF-8: {error}") from None
    return json.dumps(Counter(re.findall(r"\w+", text.lower())))


def work(servers: str | None, processes: int) -> None:
    logging.basicConfig(level=logging.INFO)  # outages are told here
    with Worker(servers, identifier=FUNCTION) as worker:
        worker.add_function(FUNCTION, count_words)
        print("ready", flush=True)
        worker.run(processes=processes, handle_signals=True)


def count(servers: str | None, folder: Path, top: int) -> bool:
    """Print the most frequent words; return whether all files were counted."""
    words: Counter[str] = Counter()
    failed = False
    with Client(servers) as client:
        tasks = []
        for path in sorted(folder.rglob("*.txt")):
            try:
                tasks.append(client.add_task(FUNCTION, path.read_bytes(), context=path))
            except OSError as error:
                failed = True
                print(f"{path}: {error.strerror}", file=sys.stderr)
        client.run_tasks()  # raises when the connection breaks
    for task in tasks:
        try:
            words.update(json.loads(task.result()))
        except JobFailedError as error:
            failed = True
            reasons = b" ".join(task.warnings).decode() or str(error)
            print(f"{task.context}: {reasons}", file=sys.stderr)
    for word, number in words.most_common(top):
        print(f"{number:8,} {word}")
    return not failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    working = commands.add_parser("work")
    working.add_argument("--processes", type=int, default=2)
    counting = commands.add_parser("count")
    counting.add_argument("folder", type=Path)
    counting.add_argument("--top", type=int, default=10)
    for command in (working, counting):
        command.add_argument("--server", help="default: $GEARMAN_SERVERS, or localhost:4730")
    options = parser.parse_args()
    try:
        if options.command == "work":
            work(options.server, options.processes)
            return 0
        return 0 if count(options.server, options.folder, options.top) else 1
    except GearmanError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
