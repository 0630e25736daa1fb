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
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <libgearman/gearman.h>

enum {
  WINDOW = 1000,               /* tasks in flight at most, and tasks in a chunk */
  REFILL_AT = 100,             /* c-window adds new tasks when so few are left */
  RAW_REFILL_AT = 500,         /* libgearman sends for itself while we add; here nothing does */
  WINDOW_BYTES = 32 << 20,     /* payload in flight at most, but always one task */
  KEY_SIZE = 32,
  INLINE_SIZE = 16 << 10,      /* raw: payloads up to this size are copied into one buffer */
  WAIT_MILLISECONDS = 60000,   /* a server that says nothing for so long is broken */
};

struct workload {
  const char *host;
  in_port_t port;
  const char *function;
  size_t count;
  size_t size;
  char *payload;
};

struct measurement {
  double wall;
  double processor;
};

static size_t acknowledged;   /* by the server, in this process */
static char key_prefix[KEY_SIZE];
static size_t key_prefix_size;

static void fail(const char *what, const char *why)
{
  fprintf(stderr, "client: %s: %s\n", what, why);
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

/* A unique key made cheaply: snprintf for every task would show in the figures. */
static size_t make_key(char *key, size_t number)
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

/* How many tasks may be added to those in flight. */
static size_t room(const struct workload *work, size_t in_flight, size_t window)
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

enum { HEADER_SIZE = 12, SUBMIT_JOB_BG = 18, JOB_CREATED = 8, READ_SIZE = 256 << 10 };

struct raw {
  int descriptor;
  char *out;               /* whole small packets, or everything of a large one but its payload */
  size_t out_start;
  size_t out_end;
  size_t out_capacity;
  const char *tail;        /* the rest of a large payload, sent after out */
  size_t tail_size;
  char in[READ_SIZE];      /* unread replies; an incomplete one stays at the front */
  size_t in_size;
};

static void connect_raw(struct raw *raw, const struct workload *work)
{
  char port[8];
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  struct addrinfo *address;
  snprintf(port, sizeof port, "%u", (unsigned)work->port);
  if (getaddrinfo(work->host, port, &hints, &address) != 0) {
    fail(work->host, "does not resolve");
  }
  raw->descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (raw->descriptor < 0 || connect(raw->descriptor, address->ai_addr, address->ai_addrlen)) {
    fail("connect", strerror(errno));
  }
  freeaddrinfo(address);
  int one = 1;
  setsockopt(raw->descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void append_packet(struct raw *raw, const struct workload *work, size_t number)
{
  size_t function_size = strlen(work->function) + 1;
  char *packet = raw->out + raw->out_end;
  char *end = packet + HEADER_SIZE;
  memcpy(end, work->function, function_size);
  end += function_size;
  end += make_key(end, number) + 1;
  uint32_t size = htonl((uint32_t)((size_t)(end - packet) - HEADER_SIZE + work->size));
  uint32_t kind = htonl(SUBMIT_JOB_BG);
  memcpy(packet, "\0REQ", 4);
  memcpy(packet + 4, &kind, 4);
  memcpy(packet + 8, &size, 4);
  if (work->size <= INLINE_SIZE) {
    memcpy(end, work->payload, work->size);
    end += work->size;
  } else {
    raw->tail = work->payload;
    raw->tail_size = work->size;
  }
  raw->out_end = (size_t)(end - raw->out);
}

/* Sends what the socket takes. True when nothing is left to be sent. */
static bool flush_raw(struct raw *raw)
{
  while (raw->out_end - raw->out_start + raw->tail_size > 0) {
    struct iovec parts[2] = {
      {.iov_base = raw->out + raw->out_start, .iov_len = raw->out_end - raw->out_start},
      {.iov_base = (char *)(uintptr_t)raw->tail, .iov_len = raw->tail_size},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent = sendmsg(raw->descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) {
        return false;
      }
      fail("sendmsg", strerror(errno));
    }
    size_t head = (size_t)sent < parts[0].iov_len ? (size_t)sent : parts[0].iov_len;
    raw->out_start += head;
    raw->tail += (size_t)sent - head;
    raw->tail_size -= (size_t)sent - head;
  }
  raw->out_start = raw->out_end = 0;
  return true;
}

static void read_replies(struct raw *raw)
{
  ssize_t got = recv(raw->descriptor, raw->in + raw->in_size, READ_SIZE - raw->in_size,
                     MSG_DONTWAIT);
  if (got == 0) {
    fail("recv", "the server closed the connection");
  }
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) {
      return;
    }
    fail("recv", strerror(errno));
  }
  raw->in_size += (size_t)got;
  size_t start = 0;
  while (raw->in_size - start >= HEADER_SIZE) {
    uint32_t kind, size;
    memcpy(&kind, raw->in + start + 4, 4);
    memcpy(&size, raw->in + start + 8, 4);
    if (ntohl(kind) != JOB_CREATED || memcmp(raw->in + start, "\0RES", 4) != 0) {
      fail("reply", "not a JOB_CREATED");
    }
    size_t packet_size = HEADER_SIZE + ntohl(size);
    if (raw->in_size - start < packet_size) {
      break;
    }
    start += packet_size;
    acknowledged++;
  }
  raw->in_size -= start;
  memmove(raw->in, raw->in + start, raw->in_size);
}

static void run_raw(const struct workload *work)
{
  size_t added = 0;
  size_t low = room(work, 0, WINDOW) * RAW_REFILL_AT / WINDOW;
  size_t packet_limit = HEADER_SIZE + strlen(work->function) + 1 + KEY_SIZE + INLINE_SIZE;
  struct raw *raw = calloc(1, sizeof *raw);
  if (raw == NULL) {
    fail("calloc", "out of memory");
  }
  raw->out_capacity = 1 << 20;
  raw->out = malloc(raw->out_capacity);
  if (raw->out == NULL) {
    fail("malloc", "out of memory");
  }
  connect_raw(raw, work);
  while (acknowledged < work->count) {
    bool flushed = flush_raw(raw);
    if (flushed && added < work->count && added - acknowledged <= low) {
      size_t batch = room(work, added - acknowledged, WINDOW);
      while (batch-- > 0 && added < work->count && raw->tail_size == 0
             && raw->out_capacity - raw->out_end >= packet_limit) {
        append_packet(raw, work, added++);
      }
      flushed = flush_raw(raw);
    }
    bool may_add = flushed && added < work->count && added - acknowledged <= low;
    struct pollfd wait = {.fd = raw->descriptor, .events = POLLIN | (flushed ? 0 : POLLOUT)};
    int ready = poll(&wait, 1, may_add ? 0 : WAIT_MILLISECONDS);
    if (ready == 0 && !may_add) {
      fail("poll", "no answer from the server");
    }
    if (ready > 0 && wait.revents & (POLLIN | POLLHUP | POLLERR)) {
      read_replies(raw);
    }
  }
  close(raw->descriptor);
  free(raw->out);
  free(raw);
}

/* main ------------------------------------------------------------------------------------- */

static const struct {
  const char *name;
  void (*run)(const struct workload *);
} participants[] = {
  {"c-manual", run_manual},
  {"c-chunks", run_chunks},
  {"c-window", run_window},
  {"raw", run_raw},
};

int main(int argc, char **argv)
{
  if (argc != 7) {
    fprintf(stderr, "usage: %s c-manual|c-chunks|c-window|raw HOST PORT FUNCTION COUNT SIZE\n",
            argv[0]);
    return 2;
  }
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
  key_prefix_size = (size_t)snprintf(key_prefix, sizeof key_prefix, "%d-", (int)getpid());
  for (size_t index = 0; index < sizeof participants / sizeof *participants; index++) {
    if (strcmp(argv[1], participants[index].name) != 0) {
      continue;
    }
    struct measurement before = now();
    participants[index].run(&work);
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
  fprintf(stderr, "client: %s: no such participant\n", argv[1]);
  return 2;
}
