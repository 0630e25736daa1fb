/*
 * The C participant that is a worker: does COUNT jobs that lie in the queue already, and prints one
 * line of JSON.
 *
 *     drain PARTICIPANT HOST PORT FUNCTION COUNT SIZE
 *
 * c-worker  gearman_worker_define_function and one gearman_worker_work after the other
 */
#include <string.h>

#include <libgearman/gearman.h>

#include "common.h"

static gearman_return_t take(gearman_job_st *job, void *context)
{
  const struct workload *work = context;
  if (gearman_job_workload_size(job) == work->size) {
    acknowledged++;
  }
  return GEARMAN_SUCCESS;
}

static void drain(const struct workload *work)
{
  gearman_worker_st *worker = gearman_worker_create(NULL);
  if (worker == NULL) {
    fail("gearman_worker_create", "out of memory");
  }
  if (gearman_failed(gearman_worker_add_server(worker, work->host, work->port))
      || gearman_failed(gearman_worker_define_function(worker, work->function,
                                                       strlen(work->function),
                                                       gearman_function_create(take), 0,
                                                       (void *)work))) {
    fail("gearman_worker_define_function", gearman_worker_error(worker));
  }
  gearman_worker_set_timeout(worker, WAIT_MILLISECONDS);
  while (acknowledged < work->count) {
    if (gearman_failed(gearman_worker_work(worker))) {
      fail("gearman_worker_work", gearman_worker_error(worker));
    }
  }
  gearman_worker_free(worker);
}

int main(int argc, char **argv)
{
  static const struct participant participants[] = {{"c-worker", drain}};
  return measure(argc, argv, participants, sizeof participants / sizeof *participants);
}
