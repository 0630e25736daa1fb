/* What the C programs of the benchmark share: the workload, the clock, the line of JSON. */
#pragma once

#include <netinet/in.h>
#include <stddef.h>

enum {
  KEY_SIZE = 32,
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

struct participant {
  const char *name;
  void (*run)(const struct workload *);
};

/* Tasks acknowledged by the server, or results that came back and are right. */
extern size_t acknowledged;

void fail(const char *what, const char *why) __attribute__((noreturn));

/* Writes a unique key of at most KEY_SIZE bytes with its NUL, and returns its length. */
size_t make_key(char *key, size_t number);

/* How many tasks may be added to those in flight: `window` at most, and 32 MB, but one always. */
size_t room(const struct workload *work, size_t in_flight, size_t window);

/* The whole of main(): runs the participant of the command line and prints what it took. */
int measure(int argc, char **argv, const struct participant *participants, size_t number);

/* Undoes the 32 KB buffers libgearman gives its connected sockets to the server at this port, and
 * keeps the memory that libgearman frees: else malloc() asks the kernel for fresh pages for each
 * large payload, which takes as long as all the rest. */
void tune_libgearman(in_port_t port);
