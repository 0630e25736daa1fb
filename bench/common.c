/* What the C programs of the benchmark share; see common.h. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72         /* Linux 5.14; absent from older headers */
#endif

enum {
  WINDOW_BYTES = 32 << 20,     /* payload in flight at most, but always one task */
  BUFFER_BYTES = 212992,       /* where the kernel cannot tune: Linux's own limit */
  KEPT_BYTES = 256 << 20,      /* freed memory at the top of the heap */
};

struct measurement {
  double wall;
  double processor;
};

size_t acknowledged;

static char key_prefix[KEY_SIZE];
static size_t key_prefix_size;

void fail(const char *what, const char *why)
{
  fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
  exit(1);
}

static double seconds_of(struct timeval value)
{
  return (double)value.tv_sec + (double)value.tv_usec / 1e6;
}

static struct measurement now(void)
{
  struct timespec wall;
  struct rusage usage;
  clock_gettime(CLOCK_MONOTONIC, &wall);
  getrusage(RUSAGE_SELF, &usage);
  return (struct measurement){
    .wall = (double)wall.tv_sec + (double)wall.tv_nsec / 1e9,
    .processor = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime),
  };
}

/* Made cheaply: snprintf for every task would show in the figures. */
size_t make_key(char *key, size_t number)
{
  static const char digits[] = "0123456789abcdef";
  memcpy(key, key_prefix, key_prefix_size);
  size_t end = key_prefix_size;
  do {
    key[end++] = digits[number & 15];
    number >>= 4;
  } while (number != 0);
  key[end] = '\0';
  return end;
}

size_t room(const struct workload *work, size_t in_flight, size_t window)
{
  size_t limit = work->size == 0 ? window : WINDOW_BYTES / work->size;
  if (limit > window) {
    limit = window;
  }
  if (limit == 0) {
    limit = 1;
  }
  return in_flight >= limit ? 0 : limit - in_flight;
}

static void tune(int descriptor)
{
  int unlocked = 0, size = BUFFER_BYTES;
  if (setsockopt(descriptor, SOL_SOCKET, SO_BUF_LOCK, &unlocked, sizeof unlocked) != 0) {
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  }
}

static in_port_t peer_port(int descriptor)
{
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } peer;
  socklen_t size = sizeof peer;
  if (getpeername(descriptor, &peer.any, &size) != 0) {
    return 0;
  }
  return peer.any.sa_family == AF_INET ? ntohs(peer.v4.sin_port)
       : peer.any.sa_family == AF_INET6 ? ntohs(peer.v6.sin6_port) : 0;
}

/* libgearman has no call that tells its descriptors; a look through all of ours finds them. */
void tune_libgearman(in_port_t port)
{
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
  size_t found = 0;
  DIR *directory = opendir("/proc/self/fd");
  if (directory == NULL) {
    fail("/proc/self/fd", "cannot be read");
  }
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    int descriptor = entry->d_name[0] == '.' ? -1 : atoi(entry->d_name);
    if (descriptor >= 0 && peer_port(descriptor) == port) {
      tune(descriptor);
      found++;
    }
  }
  closedir(directory);
  if (found == 0) {
    fail("tune_libgearman", "libgearman is not connected");
  }
}

static struct workload read_workload(char **argv)
{
  struct workload work = {
    .host = argv[2],
    .port = (in_port_t)strtoul(argv[3], NULL, 10),
    .function = argv[4],
    .count = strtoull(argv[5], NULL, 10),
    .size = strtoull(argv[6], NULL, 10),
  };
  work.payload = malloc(work.size + 1);
  if (work.payload == NULL) {
    fail("malloc", "out of memory");
  }
  memset(work.payload, 'x', work.size);
  return work;
}

int measure(int argc, char **argv, const struct participant *participants, size_t number)
{
  if (argc != 7) {
    fprintf(stderr, "usage: %s PARTICIPANT HOST PORT FUNCTION COUNT SIZE\n", argv[0]);
    return 2;
  }
  const struct participant *chosen = participants;
  const struct participant *end = participants + number;
  while (chosen < end && strcmp(argv[1], chosen->name) != 0) {
    chosen++;
  }
  if (chosen == end) {
    fail(argv[1], "no such participant");
  }
  struct workload work = read_workload(argv);
  key_prefix_size = (size_t)snprintf(key_prefix, sizeof key_prefix, "%d-", (int)getpid());
  struct measurement before = now();
  chosen->run(&work);
  struct measurement after = now();
  if (acknowledged != work.count) {
    fail(argv[1], "not every task was acknowledged");
  }
  printf("{\"participant\": \"%s\", \"count\": %zu, \"size\": %zu, \"seconds\": %.6f, "
         "\"cpu_seconds\": %.6f, \"acknowledged\": %zu}\n",
         argv[1], work.count, work.size, after.wall - before.wall,
         after.processor - before.processor, acknowledged);
  free(work.payload);
  return 0;
}
