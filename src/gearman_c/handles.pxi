# Job handles, kept small. A server names its jobs "H:host:1", "H:host:2" ...: a task keeps the
# number and which text stands before it, 9 bytes where libgearman has 64. Memory is what adding a
# task costs: 3.7 us of the kernel's time for each new page, 200 of 300 ns a task before, when a
# Task had 192 bytes. It has 128.

cdef enum:
    KNOWN_TEXTS = 16                # what stands before the number; a process knows few servers
    NO_HANDLE = 0
    OWN_TEXT = 255                  # any other handle: rec.handle is a char * that malloc() gave

cdef char[KNOWN_TEXTS][lib.GEARMAN_JOB_HANDLE_SIZE] known_texts
cdef int known_count = 0            # grows only, and only while known_lock is held
cdef pthread_mutex_t known_lock
pthread_mutex_init(&known_lock, NULL)

cdef extern from *:
    enum: ATOMIC_ACQUIRE "__ATOMIC_ACQUIRE", ATOMIC_RELEASE "__ATOMIC_RELEASE"
    int __atomic_load_n(int *, int) nogil
    void __atomic_store_n(int *, int, int) nogil


cdef size_t length_before_number(const char *handle, size_t length) noexcept nogil:
    """How much of a handle stands before its number, which is written as C would write it."""
    cdef size_t start = length
    while start > 0 and length - start < 19 and c"0" <= handle[start - 1] <= c"9":
        start -= 1
    while start + 1 < length and handle[start] == c"0":
        start += 1                  # "007" is the number 7 behind "00"
    return start


cdef uint8_t find_text(const char *text, size_t length) noexcept nogil:
    """One more than the index of a text in known_texts, or NO_HANDLE."""
    cdef int index
    for index in range(__atomic_load_n(&known_count, ATOMIC_ACQUIRE)):
        if memcmp(known_texts[index], text, length) == 0 and known_texts[index][length] == 0:
            return index + 1
    return NO_HANDLE


cdef uint8_t learn_text(const char *text, size_t length) noexcept nogil:
    cdef uint8_t found
    pthread_mutex_lock(&known_lock)
    found = find_text(text, length)
    if found == NO_HANDLE and known_count < KNOWN_TEXTS:
        memcpy(known_texts[known_count], text, length)
        found = known_count + 1
        __atomic_store_n(&known_count, found, ATOMIC_RELEASE)
    pthread_mutex_unlock(&known_lock)
    return found


cdef bint keep_handle(record *rec, const char *handle) noexcept nogil:
    """Give rec the handle of its job; False if memory is lacking."""
    cdef size_t length = min(strlen(handle), <size_t> lib.GEARMAN_JOB_HANDLE_SIZE - 1)
    cdef size_t before, place
    cdef char *copy
    forget_handle(rec)
    before = length_before_number(handle, length)
    if before < length:
        rec.handle_text = find_text(handle, before) or learn_text(handle, before)
        # strtoull() reads a locale first: 164 of a task's 6,300 instructions.
        rec.handle = 0
        for place in range(before, length):
            rec.handle = 10 * rec.handle + <uint64_t> (handle[place] - c"0")
    if rec.handle_text == NO_HANDLE:
        copy = <char *> malloc(length + 1)
        if copy == NULL:
            return False
        memcpy(copy, handle, length)
        copy[length] = 0
        rec.handle_text = OWN_TEXT
        rec.handle = <uintptr_t> copy
    return True


cdef void forget_handle(record *rec) noexcept nogil:
    if rec.handle_text == OWN_TEXT:
        free(<char *> <uintptr_t> rec.handle)
    rec.handle_text = NO_HANDLE


cdef bytes read_handle(const record *rec):
    """The handle of the job; empty if rec has none."""
    if rec.handle_text == NO_HANDLE:
        return b""
    if rec.handle_text == OWN_TEXT:
        return <char *> <uintptr_t> rec.handle
    return b"%s%d" % (<bytes> known_texts[rec.handle_text - 1], rec.handle)
