/*
 * The C participants with foreground tasks: sends COUNT tasks of SIZE bytes to a worker that gives
 * each back (worker.c), and prints one line of JSON. Exits 1, with a line on stderr, unless every
 * result is the payload.
 *
 *     foreground PARTICIPANT HOST PORT FUNCTION COUNT SIZE
 *
 * c-foreground    a sliding window on a non-blocking client, own unique keys, sockets tuned
 * c-do            one gearman_client_do after the other, own unique keys, sockets tuned
 * c-do-untuned    the same on libgearman's socket as it comes
 * raw-foreground  a pipelined socket without libgearman, four tasks in flight
 * raw-do          the same, one task at a time
 *
 * The measured time runs from before connecting to the last result.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libgearman/gearman.h>

#include "common.h"
#include "raw.h"

enum {
  WINDOW = 700,                /* tasks in flight at most, as gearman_c */
  REFILL_AT = WINDOW - WINDOW / 8,   /* c-foreground adds when so few are left: no worker waits */
  RAW_WINDOW = 4,              /* best for large ones; more only lie about in the server's memory */
};

static const struct workload *expected;    /* what c-foreground's callbacks compare with */

static void check_result(const struct workload *work, const void *result, size_t size)
{
  if (size != work->size || memcmp(result, work->payload, size) != 0) {
    fail("result", "not the payload");
  }
  acknowledged++;
}

/* libgearman ------------------------------------------------------------------------------- */

static gearman_client_st *make_client(const struct workload *work, bool tuned)
{
  gearman_client_st *client = gearman_client_create(NULL);
  if (client == NULL) {
    fail("gearman_client_create", "out of memory");
  }
  if (gearman_failed(gearman_client_add_server(client, work->host, work->port))) {
    fail("gearman_client_add_server", gearman_client_error(client));
  }
  gearman_client_set_timeout(client, WAIT_MILLISECONDS);
  if (tuned) {
    if (gearman_failed(gearman_client_echo(client, "x", 1))) {   /* connects */
      fail("gearman_client_echo", gearman_client_error(client));
    }
    tune_libgearman(work->port);
  }
  return client;
}

static gearman_return_t on_complete(gearman_task_st *task)
{
  check_result(expected, gearman_task_data(task), gearman_task_data_size(task));
  return GEARMAN_SUCCESS;
}

static gearman_return_t on_fail(gearman_task_st *task)
{
  fail(gearman_task_job_handle(task), "the worker could not do it");
}

/* Newest first within a refill: 1.1.x sends from the head of its list. */
static size_t refill(gearman_client_st *client, const struct workload *work, size_t added)
{
  char key[KEY_SIZE];
  gearman_return_t rc;
  size_t batch = room(work, added - acknowledged, WINDOW);
  if (batch > work->count - added) {
    batch = work->count - added;
  }
  for (size_t number = added + batch; number > added; number--) {
    make_key(key, number - 1);
    if (gearman_client_add_task(client, NULL, NULL, work->function, key, work->payload,
                                work->size, &rc) == NULL || gearman_failed(rc)) {
      fail("gearman_client_add_task", gearman_client_error(client));
    }
  }
  return added + batch;
}

static bool may_refill(gearman_client_st *client, const struct workload *work, size_t added)
{
  size_t low = room(work, 0, WINDOW) * REFILL_AT / WINDOW;
  return added < work->count && added - acknowledged <= low
      && !gearman_client_has_option(client, GEARMAN_CLIENT_NO_NEW);
}

static void run_foreground(const struct workload *work)
{
  size_t added = 0;
  gearman_client_st *client = make_client(work, true);
  expected = work;
  gearman_client_set_complete_fn(client, on_complete);
  gearman_client_set_fail_fn(client, on_fail);
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
      fail("c-foreground", gearman_client_error(client));
    }
  }
  gearman_client_free(client);
}

static void do_all(const struct workload *work, bool tuned)
{
  char key[KEY_SIZE];
  gearman_client_st *client = make_client(work, tuned);
  for (size_t number = 0; number < work->count; number++) {
    size_t size;
    gearman_return_t rc;
    make_key(key, number);
    void *result = gearman_client_do(client, work->function, key, work->payload, work->size, &size,
                                     &rc);
    if (gearman_failed(rc)) {
      fail("gearman_client_do", gearman_client_error(client));
    }
    check_result(work, result, size);
    free(result);
  }
  gearman_client_free(client);
}

static void run_do(const struct workload *work)
{
  do_all(work, true);
}

static void run_do_untuned(const struct workload *work)
{
  do_all(work, false);
}

/* raw -------------------------------------------------------------------------------------- */

static void read_results(struct raw *raw, const struct workload *work)
{
  struct packet packet;
  receive_raw(raw);
  while (next_packet(raw, &packet)) {
    if (packet.kind == JOB_CREATED) {
      continue;
    }
    const char *end = memchr(packet.body, '\0', packet.size);   /* of the handle */
    if (packet.kind != WORK_COMPLETE || end == NULL) {
      fail("result", "not a WORK_COMPLETE");
    }
    check_result(work, end + 1, packet.size - (size_t)(end + 1 - packet.body));
  }
}

static void exchange(const struct workload *work, size_t window)
{
  size_t added = 0;
  struct raw *raw = open_raw(work->host, work->port, work->size);
  while (acknowledged < work->count) {
    bool flushed = flush_raw(raw);
    while (flushed && added < work->count && room(work, added - acknowledged, window) > 0) {
      append_task(raw, SUBMIT_JOB, work, added++);
      if (!has_space(raw)) {
        flushed = flush_raw(raw);
      }
    }
    flushed = flush_raw(raw);
    int ready = wait_raw(raw, !flushed, WAIT_MILLISECONDS);
    if (ready == 0) {
      fail("poll", "no answer from the server");
    }
    if (ready & ~POLLOUT) {
      read_results(raw, work);
    }
  }
  close_raw(raw);
}

static void run_raw(const struct workload *work)
{
  exchange(work, RAW_WINDOW);
}

static void run_raw_do(const struct workload *work)
{
  exchange(work, 1);
}

int main(int argc, char **argv)
{
  static const struct participant participants[] = {
    {"c-foreground", run_foreground},
    {"c-do", run_do},
    {"c-do-untuned", run_do_untuned},
    {"raw-foreground", run_raw},
    {"raw-do", run_raw_do},
  };
  return measure(argc, argv, participants, sizeof participants / sizeof *participants);
}
