"""Results of foreground tasks: one, some, and a stream. Usage: results.py [HOST:PORT].

It needs a worker, for instance Debian's ``gearman -w -f reverse rev`` (gearman-tools).
"""

import sys

import gearman_c

with gearman_c.Client(*sys.argv[1:2], timeout=10) as client:  # default: localhost:4730
    try:
        print("one:", client.do("reverse", "drawer").decode())

        tasks = [client.add_task("reverse", word) for word in ("stressed", "live", "pots")]
        client.run_tasks()
        print("some:", *(task.result().decode() for task in tasks))

        words = (f"word {number}" for number in range(1000))
        stream = client.submit("reverse", words, background=False)
        failed = [task.workload for task in stream if task.error is not None]
        print("a thousand as a stream:", len(failed), "failed")
    except gearman_c.GearmanError as error:
        sys.exit(f"{type(error).__name__}: {error}")
