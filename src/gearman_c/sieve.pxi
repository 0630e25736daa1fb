# What comes from the network, looked at before libgearman reads it.
#
# libgearman (1.1.20 and 2.0.0, packet.cc) writes through a NULL pointer when it meets a line of
# text, takes a command number of 32 bits for the index of a table, and of a packet that is too
# short for its arguments it asks for 2^64 bytes of memory, or takes them from the packets behind
# it. For the handle of a packet that has no arguments it takes what the last packet has left there.
# It lets nobody look first, and to look before each call is not enough: within one call it sends a
# question and reads the answer. So its recv() is replaced by ours, which counts along, and ends the
# connection where a packet is none, or none for us. That costs 70 of some 6,100 instructions a
# background task. TLS is not looked into.
#
# Its send() is replaced, too: a worker's "done" and its next question go out as one segment, we are
# told when the socket has not taken all, and after a question nobody tries to read before poll()
# says that there is something. Of a C worker's rate 20,000 trivial jobs get 0.87 without all that.

cdef extern from "imports.h":
    bint replace_import "gearman_c_replace_import"(const void *, const char *, void *)

cdef extern from *:
    """
    #ifndef MSG_MORE
    #define MSG_MORE 0
    #endif
    static __thread uint64_t gearman_c_expected, gearman_c_awaited;
    static __thread int gearman_c_more_follows, gearman_c_no_room;
    static __thread int gearman_c_is_patient, gearman_c_has_asked;

    static ssize_t gearman_c_nothing_yet(void)
    {
        errno = EAGAIN;
        return -1;
    }
    """
    # The packets that a server may send, a bit for each command: over the sockets that this thread
    # makes, and moreover, in the blocking call that this thread is in.
    uint64_t expected "gearman_c_expected"
    uint64_t awaited "gearman_c_awaited"
    # What this thread sends now is followed by more at once: one segment takes both.
    bint more_follows "gearman_c_more_follows"
    # The socket did not take all that this thread has sent since this was reset.
    bint no_room "gearman_c_no_room"
    # Whoever has sent something waits before it reads, though libgearman tries at once; and it has.
    bint is_patient "gearman_c_is_patient"
    bint has_asked "gearman_c_has_asked"
    ssize_t nothing_yet "gearman_c_nothing_yet" () nogil

cdef extern from "<sys/socket.h>" nogil:
    int socket(int, int, int)
    int shutdown(int, int)
    ssize_t send_bytes "send" (int, const void *, size_t, int)
    enum:
        SHUT_RDWR, MSG_MORE, MSG_NOSIGNAL

cdef enum:
    SIEVES = 65536                  # descriptors from here on are not looked at
    HEADER_SIZE = 12
    LAST_COMMAND = 42

# JOB_CREATED, WORK_STATUS, WORK_COMPLETE, WORK_FAIL, ERROR, STATUS_RES, WORK_EXCEPTION, OPTION_RES,
# WORK_DATA, WORK_WARNING, STATUS_RES_UNIQUE
cdef uint64_t FOR_CLIENTS = 1 << 8 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 19 | 1 << 20 | 1 << 25 | \
    1 << 27 | 1 << 28 | 1 << 29 | <uint64_t> 1 << 42
# NOOP, NO_JOB, JOB_ASSIGN, ERROR, OPTION_RES, JOB_ASSIGN_UNIQ
cdef uint64_t FOR_WORKERS = 1 << 6 | 1 << 10 | 1 << 11 | 1 << 19 | 1 << 27 | <uint64_t> 1 << 31
cdef uint64_t ECHO_RES = 1 << 17

cdef const char *BEGINNING = b"\0RES\0\0\0"

# How many NUL bytes a packet must have: each argument of it ends with one, but for the last one
# where no payload follows.
cdef uint8_t[LAST_COMMAND + 1] nul_bytes

cdef sieve[SIEVES] sieves


cdef void fill_nul_bytes() noexcept:
    for command, count in {
        11: 2, 12: 2, 13: 1, 19: 1, 20: 4, 25: 1, 28: 1, 29: 1, 31: 3, 42: 5,
    }.items():
        nul_bytes[command] = count


cdef int make_socket(int domain, int kind, int protocol) noexcept nogil:
    """socket(2) for libgearman."""
    cdef int descriptor = socket(domain, kind, protocol)
    if 0 <= descriptor < SIEVES:
        memset(&sieves[descriptor], 0, sizeof(sieve))
        sieves[descriptor].expected = expected
    return descriptor


cdef ssize_t receive(int descriptor, void *data, size_t size, int flags) noexcept nogil:
    """recv(2) for libgearman: the connection ends before what no Gearman server sends."""
    global has_asked
    cdef ssize_t count
    if has_asked:
        has_asked = False
        return nothing_yet()
    if not 0 <= descriptor < SIEVES or not sieves[descriptor].expected:
        return recv(descriptor, data, size, flags)
    if sieves[descriptor].has_refused:
        return 0
    count = recv(descriptor, data, size, flags)
    if count > 0:
        count = <ssize_t> sift(&sieves[descriptor], <uint8_t *> data, <size_t> count)
        if sieves[descriptor].has_refused:
            shutdown(descriptor, SHUT_RDWR)     # whoever waits for more is woken
    return count


cdef ssize_t transmit(int descriptor, const void *data, size_t size, int flags) noexcept nogil:
    """send(2) for libgearman, which does not know what comes next, nor tells what it waits for."""
    global no_room, has_asked
    cdef ssize_t sent
    if more_follows:
        flags |= MSG_MORE
    sent = send_bytes(descriptor, data, size, flags)
    if sent < <ssize_t> size:
        no_room = True
    has_asked = is_patient
    return sent


cdef lib.gearman_return_t verdict(const plug *p, lib.gearman_return_t rc) noexcept nogil:
    """Return why a call failed: to libgearman what ``receive()`` refuses is a lost connection."""
    if rc != lib.GEARMAN_SUCCESS and 0 <= p.descriptor < SIEVES and \
            sieves[p.descriptor].has_refused:
        return lib.GEARMAN_INVALID_MAGIC
    return rc


cdef size_t sift(sieve *s, const uint8_t *data, size_t count) noexcept nogil:
    """Return how many of these bytes may be read: all, or those before a packet that is none."""
    cdef size_t place = 0, good = 0, end
    cdef const uint8_t *nul
    while place < count:
        if s.header == 0 and count - place >= HEADER_SIZE:
            if not fits_whole(s, data + place):     # 65 instructions, not 265
                s.has_refused = True
                return good
            place += HEADER_SIZE
        elif s.header < HEADER_SIZE:
            if not fits(s, data[place]):
                s.has_refused = True
                return good
            s.header += 1
            place += 1
        else:
            end = place + min(<size_t> s.left, count - place)
            s.left -= <uint32_t> (end - place)
            while s.nul_bytes and place < end:
                nul = <const uint8_t *> memchr(data + place, 0, end - place)
                if nul == NULL:
                    break
                s.nul_bytes -= 1
                place = <size_t> (nul - data) + 1
            place = end
        if s.header == HEADER_SIZE and s.left == 0:
            if s.nul_bytes:
                s.has_refused = True
                return good
            s.header = 0
            good = place
    return count


cdef bint fits_whole(sieve *s, const uint8_t *header) noexcept nogil:
    """Take a whole header; False if it is none."""
    if memcmp(header, BEGINNING, 7) or not may_come(s, header[7]):
        return False
    s.header = HEADER_SIZE
    s.nul_bytes = nul_bytes[header[7]]
    s.left = <uint32_t> header[8] << 24 | <uint32_t> header[9] << 16 | \
        <uint32_t> header[10] << 8 | header[11]
    return True


cdef bint fits(sieve *s, uint8_t byte) noexcept nogil:
    """Whether a byte can be the next one of a header."""
    if s.header < 7:
        return byte == <uint8_t> BEGINNING[s.header]
    if s.header == 7:
        if not may_come(s, byte):
            return False
        s.nul_bytes = nul_bytes[byte]
    s.left = s.left << 8 | byte
    return True


cdef bint may_come(const sieve *s, uint8_t command) noexcept nogil:
    return command <= LAST_COMMAND and (s.expected | awaited) >> command & 1


fill_nul_bytes()
# Either both or none: a descriptor whose beginning was not seen cannot be followed.
_guarded = replace_import(<void *> lib.gearman_version, b"socket", <void *> make_socket) and \
    replace_import(<void *> lib.gearman_version, b"recv", <void *> receive)
replace_import(<void *> lib.gearman_version, b"send", <void *> transmit)
