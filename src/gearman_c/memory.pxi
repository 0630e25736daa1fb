# Memory for large payloads. The kernel hands out fresh memory a page at a time, at the first touch,
# and takes it back at each free() of a large block: at 3.3 us a page three copies of 20 MB were a
# third of the time of a do(). In pages of 2 MB they are a sixth of that.

cdef extern from *:
    """
    #include <sys/mman.h>
    #ifndef MADV_HUGEPAGE                       /* Linux only */
    #define MADV_HUGEPAGE -1
    #endif
    """
    enum: MADV_HUGEPAGE

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void *, size_t, int)

cdef size_t LARGE = 4 << 20         # bytes; there is a whole page of 2 MB in it, wherever it lies
cdef size_t SMALL_PAGE = 4096


cdef void prefer_huge_pages(void *data, size_t size) noexcept nogil:
    """Tell the kernel that a fresh block is going to be filled. It may not listen."""
    cdef uintptr_t start = (<uintptr_t> data + SMALL_PAGE - 1) & ~(SMALL_PAGE - 1)
    cdef uintptr_t end = (<uintptr_t> data + size) & ~(SMALL_PAGE - 1)
    if size >= LARGE:
        madvise(<void *> start, end - start, MADV_HUGEPAGE)


cdef void *payload_malloc(size_t size, void *context) noexcept nogil:
    """malloc() for the payloads that libgearman holds; it frees them with free()."""
    cdef void *data = malloc(size)
    if data != NULL:
        prefer_huge_pages(data, size)
    return data


cdef bytes copy_payload(const void *data, size_t size):
    """Return a payload of libgearman's as bytes."""
    cdef bytes copy
    if size < LARGE:
        return (<const char *> data)[:size] if size else b""
    copy = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> size)
    prefer_huge_pages(PyBytes_AS_STRING(copy), size)
    memcpy(PyBytes_AS_STRING(copy), data, size)
    return copy
