/* Makes one allocation of libgearman, or of the extension, fail; LD_PRELOAD it (test_allocations.py). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static long countdown = -1;   /* allocations until the one that fails; -1: none does */

/* Fail allocation number `number` from now on; return how many were still to come. */
long fail_allocation(long number)
{
  long left = countdown;
  countdown = number;
  return left;
}

static int fails(const void *caller)
{
  Dl_info info;
  if (countdown < 0 || !dladdr(caller, &info) || info.dli_fname == NULL) {
    return 0;
  }
  /* operator new of libgearman's is in libstdc++. */
  if (strstr(info.dli_fname, "libgearman") == NULL && strstr(info.dli_fname, "_gearman.") == NULL
      && strstr(info.dli_fname, "libstdc++") == NULL) {
    return 0;
  }
  if (countdown-- > 0) {
    return 0;
  }
  errno = ENOMEM;
  return 1;
}

void *malloc(size_t size)
{
  return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
  return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
  return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}
