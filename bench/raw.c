/* A pipelined socket that speaks packets, without libgearman; see raw.h. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "raw.h"

enum {
  HEADER_SIZE = 12,
  HEAD_SIZE = 1 << 10,         /* names, keys and handles at the front of a packet */
  INLINE_SIZE = 16 << 10,      /* payloads up to this size are copied into one buffer */
  OUT_CAPACITY = 1 << 20,
  READ_SIZE = 256 << 10,
};

static void *allocate(size_t size)
{
  void *memory = calloc(1, size);
  if (memory == NULL) {
    fail("calloc", "out of memory");
  }
  return memory;
}

struct raw *open_raw(const char *host, in_port_t port, size_t largest)
{
  char service[8];
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  struct addrinfo *address;
  struct raw *raw = allocate(sizeof *raw);
  raw->out = allocate(OUT_CAPACITY);
  raw->in_capacity = HEADER_SIZE + HEAD_SIZE + largest + READ_SIZE;
  raw->in = allocate(raw->in_capacity);
  snprintf(service, sizeof service, "%u", (unsigned)port);
  if (getaddrinfo(host, service, &hints, &address) != 0) {
    fail(host, "does not resolve");
  }
  raw->descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (raw->descriptor < 0 || connect(raw->descriptor, address->ai_addr, address->ai_addrlen)) {
    fail("connect", strerror(errno));
  }
  freeaddrinfo(address);
  int one = 1;
  setsockopt(raw->descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return raw;
}

void close_raw(struct raw *raw)
{
  close(raw->descriptor);
  free(raw->out);
  free(raw->in);
  free(raw);
}

bool has_space(const struct raw *raw)
{
  return raw->tail_size == 0
      && OUT_CAPACITY - raw->out_end >= HEADER_SIZE + HEAD_SIZE + INLINE_SIZE;
}

void append_packet(struct raw *raw, enum kind kind, const char *head, size_t head_size,
                   const char *payload, size_t payload_size)
{
  char *packet = raw->out + raw->out_end;
  char *end = packet + HEADER_SIZE;
  uint32_t code = htonl((uint32_t)kind);
  uint32_t size = htonl((uint32_t)(head_size + payload_size));
  if (head_size > HEAD_SIZE || !has_space(raw)) {
    fail("append_packet", "no space");
  }
  memcpy(packet, "\0REQ", 4);
  memcpy(packet + 4, &code, 4);
  memcpy(packet + 8, &size, 4);
  memcpy(end, head, head_size);
  end += head_size;
  if (payload_size <= INLINE_SIZE) {
    memcpy(end, payload, payload_size);
    end += payload_size;
  } else {
    raw->tail = payload;
    raw->tail_size = payload_size;
  }
  raw->out_end = (size_t)(end - raw->out);
}

void append_task(struct raw *raw, enum kind kind, const struct workload *work, size_t number)
{
  char head[HEAD_SIZE];
  size_t function_size = strlen(work->function) + 1;
  if (function_size + KEY_SIZE > HEAD_SIZE) {
    fail("append_task", "the name of the function is too long");
  }
  memcpy(head, work->function, function_size);
  size_t head_size = function_size + make_key(head + function_size, number) + 1;
  append_packet(raw, kind, head, head_size, work->payload, work->size);
}

bool flush_raw(struct raw *raw)
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

int wait_raw(const struct raw *raw, bool sending, int milliseconds)
{
  struct pollfd wait = {.fd = raw->descriptor, .events = POLLIN | (sending ? POLLOUT : 0)};
  return poll(&wait, 1, milliseconds) > 0 ? wait.revents : 0;
}

void receive_raw(struct raw *raw)
{
  if (raw->in_start > 0) {     /* not for every piece of a large packet */
    raw->in_end -= raw->in_start;
    memmove(raw->in, raw->in + raw->in_start, raw->in_end);
    raw->in_start = 0;
  }
  ssize_t got = recv(raw->descriptor, raw->in + raw->in_end, raw->in_capacity - raw->in_end,
                     MSG_DONTWAIT);
  if (got == 0) {
    fail("recv", "the server closed the connection");
  }
  if (got > 0) {
    raw->in_end += (size_t)got;
  } else if (errno != EAGAIN && errno != EINTR) {
    fail("recv", strerror(errno));
  }
}

bool next_packet(struct raw *raw, struct packet *packet)
{
  uint32_t kind, size;
  const char *start = raw->in + raw->in_start;
  size_t unread = raw->in_end - raw->in_start;
  if (unread < HEADER_SIZE) {
    return false;
  }
  if (memcmp(start, "\0RES", 4) != 0) {
    fail("next_packet", "not a packet");
  }
  memcpy(&kind, start + 4, 4);
  memcpy(&size, start + 8, 4);
  *packet = (struct packet){ntohl(kind), start + HEADER_SIZE, ntohl(size)};
  if (HEADER_SIZE + packet->size > raw->in_capacity) {
    fail("next_packet", "larger than anything asked for");
  }
  if (unread - HEADER_SIZE < packet->size) {
    return false;
  }
  raw->in_start += HEADER_SIZE + packet->size;
  return true;
}
