/*
 * The worker of the benchmark: gives each workload back. Prints "ready" when the server knows it,
 * and works until it is killed or the server is gone.
 *
 *     worker KIND HOST PORT FUNCTION SIZE
 *
 * tuned    on libgearman; its buffers grow and its memory is kept, see tune_libgearman
 * untuned  on libgearman as it comes: 2 MB/s when payloads are large
 * raw      a socket without libgearman, for payloads of SIZE bytes at most
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include <libgearman/gearman.h>

#include "common.h"
#include "raw.h"

enum { REGISTER_MILLISECONDS = 100, LONG_MILLISECONDS = 600000 };

static void say_ready(void)
{
  puts("ready");
  fflush(stdout);
}

/* libgearman ------------------------------------------------------------------------------- */

static gearman_return_t give_back(gearman_job_st *job, void *context)
{
  (void)context;
  return gearman_job_send_complete(job, gearman_job_workload(job), gearman_job_workload_size(job));
}

static void work_libgearman(const char *host, in_port_t port, const char *function, bool tuned)
{
  gearman_worker_st *worker = gearman_worker_create(NULL);
  if (worker == NULL) {
    fail("gearman_worker_create", "out of memory");
  }
  if (gearman_failed(gearman_worker_add_server(worker, host, port))
      || gearman_failed(gearman_worker_define_function(worker, function, strlen(function),
                                                       gearman_function_create(give_back), 0,
                                                       NULL))) {
    fail("gearman_worker_define_function", gearman_worker_error(worker));
  }
  gearman_worker_set_timeout(worker, REGISTER_MILLISECONDS);
  gearman_return_t rc = gearman_worker_work(worker);   /* connects, registers, finds no job */
  if (rc != GEARMAN_TIMEOUT) {
    fail("the first gearman_worker_work", gearman_worker_error(worker));
  }
  if (tuned) {
    tune_libgearman(port);
  }
  gearman_worker_set_timeout(worker, LONG_MILLISECONDS);
  say_ready();
  while (gearman_success(rc = gearman_worker_work(worker))) {
  }
  fail("gearman_worker_work", gearman_worker_error(worker));
}

/* raw -------------------------------------------------------------------------------------- */

static void send_packet(struct raw *raw, enum kind kind, const char *head, size_t head_size,
                        const char *payload, size_t payload_size)
{
  append_packet(raw, kind, head, head_size, payload, payload_size);
  while (!flush_raw(raw)) {
    wait_raw(raw, true, LONG_MILLISECONDS);
  }
}

static struct packet receive_packet(struct raw *raw)
{
  struct packet packet;
  while (!next_packet(raw, &packet)) {
    if (wait_raw(raw, false, LONG_MILLISECONDS) == 0) {
      fail("poll", "nothing to do");
    }
    receive_raw(raw);
  }
  return packet;
}

static void complete(struct raw *raw, struct packet job)
{
  const char *function = memchr(job.body, '\0', job.size);
  if (function++ == NULL) {
    fail("JOB_ASSIGN", "without a handle");
  }
  const char *payload = memchr(function, '\0', job.size - (size_t)(function - job.body));
  if (payload++ == NULL) {
    fail("JOB_ASSIGN", "without a function");
  }
  send_packet(raw, WORK_COMPLETE, job.body, (size_t)(function - job.body), payload,
              job.size - (size_t)(payload - job.body));
}

static void work_raw(const char *host, in_port_t port, const char *function, size_t size)
{
  bool ready = false;
  struct raw *raw = open_raw(host, port, size);
  send_packet(raw, CAN_DO, function, strlen(function), "", 0);
  for (;;) {
    send_packet(raw, GRAB_JOB, "", 0, "", 0);
    struct packet packet;
    do {
      packet = receive_packet(raw);
    } while (packet.kind == NOOP);   /* one that crossed with our last question */
    if (packet.kind == JOB_ASSIGN) {
      complete(raw, packet);
      continue;
    }
    if (packet.kind != NO_JOB) {
      fail("GRAB_JOB", "neither a job nor none");
    }
    send_packet(raw, PRE_SLEEP, "", 0, "", 0);
    if (!ready) {
      ready = true;
      say_ready();
    }
    if (receive_packet(raw).kind != NOOP) {
      fail("PRE_SLEEP", "not a NOOP");
    }
  }
}

int main(int argc, char **argv)
{
  if (argc != 6) {
    fprintf(stderr, "usage: %s tuned|untuned|raw HOST PORT FUNCTION SIZE\n", argv[0]);
    return 2;
  }
  in_port_t port = (in_port_t)strtoul(argv[3], NULL, 10);
  prctl(PR_SET_PDEATHSIG, SIGKILL);   /* whatever ends the benchmark ends its worker */
  if (strcmp(argv[1], "raw") == 0) {
    work_raw(argv[2], port, argv[4], strtoull(argv[5], NULL, 10));
  } else if (strcmp(argv[1], "tuned") == 0 || strcmp(argv[1], "untuned") == 0) {
    work_libgearman(argv[2], port, argv[4], strcmp(argv[1], "tuned") == 0);
  } else {
    fail(argv[1], "no such kind");
  }
}
