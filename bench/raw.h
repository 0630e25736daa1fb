/* A pipelined socket that speaks packets, without libgearman. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common.h"

enum kind {
  CAN_DO = 1,
  PRE_SLEEP = 4,
  NOOP = 6,
  SUBMIT_JOB = 7,
  JOB_CREATED = 8,
  GRAB_JOB = 9,
  NO_JOB = 10,
  JOB_ASSIGN = 11,
  WORK_COMPLETE = 13,
  SUBMIT_JOB_BG = 18,
};

struct raw {
  int descriptor;
  char *out;               /* whole small packets, or everything of a large one but its payload */
  size_t out_start;
  size_t out_end;
  const char *tail;        /* borrowed: the rest of a large payload, sent after out */
  size_t tail_size;
  char *in;                /* unread packets; an incomplete one stays */
  size_t in_start;
  size_t in_end;
  size_t in_capacity;
};

struct packet {
  uint32_t kind;
  const char *body;        /* borrowed until receive_raw */
  size_t size;
};

/* A new socket to the server, which can receive packets with a payload of `largest` bytes. */
struct raw *open_raw(const char *host, in_port_t port, size_t largest);
void close_raw(struct raw *raw);

/* Whether a packet may be appended: small ones while there is space, none behind a large one. */
bool has_space(const struct raw *raw);

/* A large payload is not copied: it must stay until it is sent. */
void append_packet(struct raw *raw, enum kind kind, const char *head, size_t head_size,
                   const char *payload, size_t payload_size);

/* One of the two SUBMIT_JOB: function, unique key and payload of a task. */
void append_task(struct raw *raw, enum kind kind, const struct workload *work, size_t number);

/* Sends what the socket takes. True when nothing is left to be sent. */
bool flush_raw(struct raw *raw);

/* Waits until something came, or may be sent if `sending`. Returns poll's events, 0: timeout. */
int wait_raw(const struct raw *raw, bool sending, int milliseconds);

/* Takes what the socket has, perhaps nothing. */
void receive_raw(struct raw *raw);

/* Takes the next packet out; false if none is whole. */
bool next_packet(struct raw *raw, struct packet *packet);
