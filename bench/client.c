/*
 * The C participants of the benchmark: submits COUNT background tasks of SIZE bytes to a gearmand
 * and prints one line of JSON. Exits 1, with a line on stderr, unless the server acknowledged all.
 *
 *     client PARTICIPANT HOST PORT FUNCTION COUNT SIZE
 *
 * c-manual   as the manual page suggests: add all, one gearman_client_run_tasks, free
 * c-chunks   1,000 tasks for each gearman_client_run_tasks, own unique keys
 * c-window   a sliding window on a non-blocking client, own unique keys: the best C program
 * raw        a pipelined socket without libgearman: the limit of what the server takes
 *
 * The measured time runs from before the first add (so connecting counts) to the last
 * acknowledgement; the processor time is that of the whole process over the same stretch.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>

#include <libgearman/gearman.h>

#include "common.h"
#include "raw.h"

enum {
  WINDOW = 1000,               /* tasks in flight at most, and tasks in a chunk */
  REFILL_AT = 100,             /* c-window adds new tasks when so few are left */
  RAW_REFILL_AT = 500,         /* libgearman sends for itself while we add; here nothing does */
};

/* libgearman ------------------------------------------------------------------------------- */

static gearman_return_t on_created(gearman_task_st *task)
{
  (void)task;
  acknowledged++;
  return GEARMAN_SUCCESS;
}

static gearman_client_st *make_client(const struct workload *work)
{
  gearman_client_st *client = gearman_client_create(NULL);
  if (client == NULL) {
    fail("gearman_client_create", "out of memory");
  }
  if (gearman_failed(gearman_client_add_server(client, work->host, work->port))) {
    fail("gearman_client_add_server", gearman_client_error(client));
  }
  gearman_client_set_timeout(client, WAIT_MILLISECONDS);
  gearman_client_set_created_fn(client, on_created);
  return client;
}

static gearman_task_st *add(gearman_client_st *client, const struct workload *work,
                            const char *unique)
{
  gearman_return_t rc;
  const char *payload = work->size == 0 ? NULL : work->payload;
  gearman_task_st *task = gearman_client_add_task_background(
      client, NULL, NULL, work->function, unique, payload, work->size, &rc);
  if (task == NULL || gearman_failed(rc)) {
    fail("gearman_client_add_task_background", gearman_client_error(client));
  }
  return task;
}

static void run_manual(const struct workload *work)
{
  gearman_task_st **tasks = calloc(work->count, sizeof *tasks);
  if (tasks == NULL) {
    fail("calloc", "out of memory");
  }
  gearman_client_st *client = make_client(work);
  for (size_t number = 0; number < work->count; number++) {
    tasks[number] = add(client, work, NULL);
  }
  if (gearman_failed(gearman_client_run_tasks(client))) {
    fail("gearman_client_run_tasks", gearman_client_error(client));
  }
  for (size_t number = 0; number < work->count; number++) {
    if (gearman_task_job_handle(tasks[number])[0] == '\0') {
      fail("gearman_task_job_handle", "a task has none");
    }
    gearman_task_free(tasks[number]);
  }
  gearman_client_free(client);
  free(tasks);
}

static void run_chunks(const struct workload *work)
{
  char key[KEY_SIZE];
  gearman_client_st *client = make_client(work);
  gearman_client_add_options(client, GEARMAN_CLIENT_FREE_TASKS);
  for (size_t added = 0; added < work->count;) {
    for (size_t left = room(work, 0, WINDOW); left > 0 && added < work->count; left--) {
      make_key(key, added++);
      add(client, work, key);
    }
    if (gearman_failed(gearman_client_run_tasks(client))) {
      fail("gearman_client_run_tasks", gearman_client_error(client));
    }
  }
  gearman_client_free(client);
}

/* First in, first out like gearman_c: newest first within a refill, because 1.1.x sends from the
   head of its list; and no refill while a task of the last one is not yet sent (NO_NEW). */
static size_t refill(gearman_client_st *client, const struct workload *work, size_t added)
{
  char key[KEY_SIZE];
  size_t batch = room(work, added - acknowledged, WINDOW);
  if (batch > work->count - added) {
    batch = work->count - added;
  }
  for (size_t number = added + batch; number > added; number--) {
    make_key(key, number - 1);
    add(client, work, key);
  }
  return added + batch;
}

static bool may_refill(gearman_client_st *client, const struct workload *work, size_t added)
{
  size_t low = room(work, 0, WINDOW) * REFILL_AT / WINDOW;
  return added < work->count && added - acknowledged <= low
      && !gearman_client_has_option(client, GEARMAN_CLIENT_NO_NEW);
}

static void run_window(const struct workload *work)
{
  size_t added = 0;
  gearman_client_st *client = make_client(work);
  gearman_client_add_options(client, GEARMAN_CLIENT_FREE_TASKS | GEARMAN_CLIENT_NON_BLOCKING);
  while (acknowledged < work->count) {
    if (may_refill(client, work, added)) {
      added = refill(client, work, added);
    }
    gearman_return_t rc = gearman_client_run_tasks(client);
    /* Not "until few are left": a half-sent task goes on only after a wait has seen POLLOUT. */
    if (rc == GEARMAN_IO_WAIT && !may_refill(client, work, added)) {
      rc = gearman_client_wait(client);
    }
    if (gearman_failed(rc) && rc != GEARMAN_IO_WAIT) {
      fail("c-window", gearman_client_error(client));
    }
  }
  gearman_client_free(client);
}

/* raw -------------------------------------------------------------------------------------- */

static void read_replies(struct raw *raw)
{
  struct packet packet;
  receive_raw(raw);
  while (next_packet(raw, &packet)) {
    if (packet.kind != JOB_CREATED) {
      fail("reply", "not a JOB_CREATED");
    }
    acknowledged++;
  }
}

static void run_raw(const struct workload *work)
{
  size_t added = 0;
  size_t low = room(work, 0, WINDOW) * RAW_REFILL_AT / WINDOW;
  struct raw *raw = open_raw(work->host, work->port, 0);
  while (acknowledged < work->count) {
    bool flushed = flush_raw(raw);
    if (flushed && added < work->count && added - acknowledged <= low) {
      size_t batch = room(work, added - acknowledged, WINDOW);
      while (batch-- > 0 && added < work->count && has_space(raw)) {
        append_task(raw, SUBMIT_JOB_BG, work, added++);
      }
      flushed = flush_raw(raw);
    }
    bool may_add = flushed && added < work->count && added - acknowledged <= low;
    int ready = wait_raw(raw, !flushed, may_add ? 0 : WAIT_MILLISECONDS);
    if (ready == 0 && !may_add) {
      fail("poll", "no answer from the server");
    }
    if (ready & ~POLLOUT) {
      read_replies(raw);
    }
  }
  close_raw(raw);
}

int main(int argc, char **argv)
{
  static const struct participant participants[] = {
    {"c-manual", run_manual},
    {"c-chunks", run_chunks},
    {"c-window", run_window},
    {"raw", run_raw},
  };
  return measure(argc, argv, participants, sizeof participants / sizeof *participants);
}
