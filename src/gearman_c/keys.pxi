# Unique keys where the user gives none. libgearman asks libuuid, which costs 9 microseconds a
# task, more than all the rest together. Ours are a random prefix for each process and a number:
# 80 random bits make two processes with the same prefix a matter of 10^12 processes.

cdef list key_prefixes = []         # one for each generation of this process's ancestry; bytes
cdef uint32_t key_generation = 0    # the fork generation that the last prefix belongs to
cdef uint64_t task_count = 0

cdef int new_prefix() except -1:
    global key_generation
    import base64
    key_prefixes.append(base64.b32encode(os.urandom(10)).lower())
    key_generation = generation
    return 0


cdef inline int assign_key(record *rec) except -1:
    """Give rec the next key of this process; rec.number is set. Costs 4 bytes a task."""
    if key_generation != generation:
        new_prefix()
    rec.key = <uint32_t> PyList_GET_SIZE(key_prefixes)
    return 0


cdef inline bint has_given_key(const record *rec) noexcept nogil:
    """Whether the user gave the key, which other tasks may have too."""
    return rec.key == 0 or rec.is_hashed


cdef int write_key(const record *rec, char *key) noexcept:
    """Write the assigned key of rec, "prefix-number", into key[40]; return its length."""
    cdef char digits[16]
    cdef int count = 0, length = 17
    cdef uint64_t number = rec.number
    if rec.key == 0:               # a Task that no client made
        key[0] = 0
        return 0
    memcpy(key, PyBytes_AS_STRING(<bytes> key_prefixes[rec.key - 1]), 16)
    key[16] = c"-"
    while True:
        digits[count] = b"0123456789abcdef"[number & 15]
        number >>= 4
        count += 1
        if number == 0:
            break
    while count > 0:
        count -= 1
        key[length] = digits[count]
        length += 1
    key[length] = 0
    return length


new_prefix()
