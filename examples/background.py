"""Queue three background tasks and send them. Usage: background.py [HOST:PORT]."""

import sys

import gearman_c

with gearman_c.Client(*sys.argv[1:2], timeout=10) as client:  # default: localhost:4730
    client.add_task_high_background("resize", b"first.png")
    client.add_task_background("resize", b"second.png", unique="second")
    client.add_task_low_background("resize", b"third.png", context={"tries": 1})
    client.on_created = lambda task: print(task.workload.decode(), "is job", task.job_handle)
    try:
        client.run_tasks()  # nothing was sent before
    except gearman_c.GearmanError as error:
        # run_tasks() may be called again: what was not acknowledged is still in the queue.
        sys.exit(f"{client.pending} of 3 tasks are not acknowledged: {error}")
