# libgearman's socket, found and set up from outside.
#
# libgearman sets SO_SNDBUF and SO_RCVBUF to 32 KB, which costs a factor of a thousand on large
# payloads (2 MB/s on loopback; docs/semantics.md has the figures), and a linger of 10 s, for which
# close() blocks on a stuck connection. It has no call that tells the descriptor. But a new socket
# gets the lowest free number, and it can be proven: a stream socket whose linger is libgearman's
# own {1, 10} and whose peer is the address we connect to. Where nothing of this works, everything
# runs at libgearman's own speed.

cdef extern from *:
    """
    #include <dirent.h>
    #include <fcntl.h>
    #include <netdb.h>
    #include <netinet/in.h>
    #include <netinet/tcp.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <unistd.h>

    #if defined(__linux__) && !defined(SO_BUF_LOCK) && !defined(__sparc__) && !defined(__hppa__)
    #define SO_BUF_LOCK 72              /* Linux 5.14; absent from older headers */
    #endif
    #ifndef SO_BUF_LOCK
    #define SO_BUF_LOCK -1              /* setsockopt() fails, and the next way is tried */
    #endif
    #ifndef TCP_USER_TIMEOUT
    #define TCP_USER_TIMEOUT -1
    #endif
    #ifndef TCP_KEEPIDLE
    #define TCP_KEEPIDLE -1
    #define TCP_KEEPINTVL -1
    #endif
    #ifndef O_CLOEXEC
    #define O_CLOEXEC 0
    #endif

    /* Whether two addresses are the same host and port. */
    static int gearman_c_same_address(const struct sockaddr_storage *left,
                                      const struct sockaddr_storage *right)
    {
        if (left->ss_family != right->ss_family)
            return 0;
        if (left->ss_family == AF_INET) {
            const struct sockaddr_in *a = (const void *)left, *b = (const void *)right;
            return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
        }
        if (left->ss_family == AF_INET6) {
            const struct sockaddr_in6 *a = (const void *)left, *b = (const void *)right;
            return a->sin6_port == b->sin6_port
                && memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0;
        }
        return 0;
    }

    /* Whether a socket without a peer is on its way to one. */
    static int gearman_c_is_connecting(int descriptor)
    {
    #ifdef __linux__
        unsigned char state = 0;            /* the first byte of struct tcp_info */
        socklen_t size = sizeof state;
        return getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &state, &size) == 0
            && state == TCP_SYN_SENT;
    #else
        (void)descriptor;
        return 1;
    #endif
    }

    /* Bytes the peer has acknowledged and bytes received, which is progress even while one large
       payload is under way; 0 where the system does not tell. The layout is Linux's ABI; the C
       library's header lacks the fields. */
    static unsigned long long gearman_c_bytes_moved(int descriptor)
    {
    #ifdef __linux__
        unsigned long long words[17] = {0};
        socklen_t size = sizeof words;
        if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, words, &size) == 0)
            return words[15] + words[16];
    #endif
        (void)descriptor;
        return 0;
    }
    """
    ctypedef unsigned int socklen_t
    struct sockaddr:
        pass
    struct linger:
        int l_onoff
        int l_linger
    enum:
        TCP_NODELAY, SO_KEEPALIVE
        SOL_SOCKET, SOCK_STREAM, SO_TYPE, SO_LINGER, SO_SNDBUF, SO_RCVBUF, SO_BUF_LOCK
        IPPROTO_TCP, TCP_USER_TIMEOUT, TCP_KEEPIDLE, TCP_KEEPINTVL, MSG_PEEK, MSG_DONTWAIT
        O_RDONLY, O_CLOEXEC
    int getsockopt(int, int, int, void *, socklen_t *) nogil
    int setsockopt(int, int, int, const void *, socklen_t) nogil
    int getpeername(int, sockaddr *, socklen_t *) nogil
    int getsockname(int, sockaddr *, socklen_t *) nogil
    ssize_t recv(int, void *, size_t, int) nogil
    int open(const char *, int) nogil
    int close(int) nogil
    ctypedef struct DIR:
        pass
    struct dirent:
        char *d_name
    DIR *opendir(const char *) nogil
    dirent *readdir(DIR *) nogil
    int closedir(DIR *) nogil
    int atoi(const char *) nogil
    bint same_address "gearman_c_same_address" (
        const sockaddr_storage *, const sockaddr_storage *) nogil
    bint is_connecting "gearman_c_is_connecting" (int) nogil
    unsigned long long bytes_moved "gearman_c_bytes_moved" (int) nogil

cdef enum:
    BUFFER_BYTES = 212992           # where the kernel cannot tune: 208 KB, Linux's own limit
    USER_TIMEOUT = 60000            # milliseconds a sent byte may stay unacknowledged
    KEEPALIVE_IDLE = 20             # seconds of silence until the peer is asked
    KEEPALIVE_INTERVAL = 5


cdef inline void set_number(int descriptor, int level, int option, int value) noexcept nogil:
    setsockopt(descriptor, level, option, &value, sizeof(value))


cdef inline int get_number(int descriptor, int level, int option) noexcept nogil:
    cdef int value = 0
    cdef socklen_t size = sizeof(value)
    return -1 if getsockopt(descriptor, level, option, &value, &size) else value


cdef bint bears_mark(int descriptor, const sockaddr_storage *peer) noexcept nogil:
    """Whether descriptor is a socket that libgearman made, not yet set up, to or towards peer."""
    cdef linger mark
    cdef sockaddr_storage address
    cdef socklen_t size = sizeof(mark)
    if getsockopt(descriptor, SOL_SOCKET, SO_LINGER, &mark, &size) or mark.l_onoff == 0 or \
            mark.l_linger != lib.GEARMAN_DEFAULT_SOCKET_TIMEOUT:
        return False
    # Linux doubles what is asked for.
    if get_number(descriptor, SOL_SOCKET, SO_SNDBUF) % lib.GEARMAN_DEFAULT_SOCKET_SEND_SIZE or \
            get_number(descriptor, SOL_SOCKET, SO_TYPE) != SOCK_STREAM or \
            get_number(descriptor, SOL_SOCKET, SO_KEEPALIVE) <= 0 or \
            get_number(descriptor, IPPROTO_TCP, TCP_NODELAY) <= 0:
        return False
    size = sizeof(address)
    if getpeername(descriptor, <sockaddr *> &address, &size):
        return errno == ENOTCONN and is_connecting(descriptor)  # proven when it is done
    return same_address(&address, peer)


cdef int lowest_free() noexcept nogil:
    """The number that the next descriptor of this process gets; -1 if it cannot be told."""
    cdef int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
    if descriptor >= 0:
        close(descriptor)
    return descriptor


cdef int find_descriptor(int guess, const sockaddr_storage *peer) noexcept nogil:
    """The one descriptor that bears the mark: the guess, else searched; -1 if none or several."""
    cdef DIR *folder
    cdef dirent *entry
    cdef int descriptor, found = -1
    if guess >= 0 and bears_mark(guess, peer):
        return guess
    folder = opendir("/proc/self/fd")
    if folder == NULL:
        folder = opendir("/dev/fd")
    if folder == NULL:
        return -1
    while True:
        entry = readdir(folder)
        if entry == NULL:
            break
        if entry.d_name[0] == c".":
            continue
        descriptor = atoi(entry.d_name)
        if bears_mark(descriptor, peer):
            if found >= 0:
                found = -1
                break
            found = descriptor
    closedir(folder)
    return found


cdef void find_socket(plug *p, int guess) noexcept nogil:
    """Look for a new socket, and take the mark off it, so that no other client of this
    process can mistake it for its own. Called with the lock ``connecting`` held."""
    cdef linger none
    p.descriptor = find_descriptor(guess, &p.peer)
    if p.descriptor >= 0:
        # Without linger the kernel goes on sending after close(), which returns at once.
        memset(&none, 0, sizeof(none))
        setsockopt(p.descriptor, SOL_SOCKET, SO_LINGER, &none, sizeof(none))


cdef void set_up(int descriptor) noexcept nogil:
    """Let the kernel size the buffers, and let a dead peer be noticed."""
    cdef int unlocked = 0
    if setsockopt(descriptor, SOL_SOCKET, SO_BUF_LOCK, &unlocked, sizeof(unlocked)):
        set_number(descriptor, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES)
        set_number(descriptor, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES)
    set_number(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT)
    set_number(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE)
    set_number(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL)


cdef void recognise(plug *p) noexcept nogil:
    """Once connected: prove that the descriptor is ours, remember its own end, and set it up."""
    cdef sockaddr_storage address
    cdef socklen_t size = sizeof(address)
    if p.tuned:
        return
    if p.descriptor < 0:
        if p.searches > 0:          # missed when it was new, for instance for being one of two
            p.searches -= 1
            pthread_mutex_lock(&connecting)
            find_socket(p, -1)
            pthread_mutex_unlock(&connecting)
        if p.descriptor < 0:
            return
    if getpeername(p.descriptor, <sockaddr *> &address, &size):
        return
    size = sizeof(p.local)
    if not same_address(&address, &p.peer) or \
            getsockname(p.descriptor, <sockaddr *> &p.local, &size):
        p.descriptor = -1
        return
    set_up(p.descriptor)
    p.tuned = True


cdef int is_header(const plug *p) noexcept nogil:
    """Whether a packet of a Gearman server comes: 0 if it does not, -1 if that is still open.

    libgearman writes through a NULL pointer when it meets a line of text (1.1.20 and 2.0.0,
    packet.cc, gearman_packet_unpack()), so it must not read what a web server answers; and it takes
    a command of 31 bits and more for the index of a table.
    """
    cdef char head[8]
    cdef ssize_t count = recv(p.descriptor, head, 8, MSG_PEEK | MSG_DONTWAIT)
    if count <= 0:
        return 1                    # libgearman is to see that
    if head[0] != 0:
        return 0
    return -1 if count < 8 else memcmp(head, b"\0RES\0\0\0", 7) == 0


cdef bint still_ours(const plug *p) noexcept nogil:
    """Whether the descriptor still is the socket that was set up: libgearman may have closed it."""
    cdef sockaddr_storage address
    cdef socklen_t size = sizeof(address)
    memset(&address, 0, sizeof(address))
    return p.tuned and getsockname(p.descriptor, <sockaddr *> &address, &size) == 0 \
        and same_address(&address, &p.local)


cdef bint is_broken(const plug *p) noexcept nogil:
    """Whether an idle connection is known to be dead. False also means that nothing is known."""
    cdef char byte
    cdef ssize_t count
    if not still_ours(p):
        return p.tuned
    count = recv(p.descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
    return count == 0 or (count < 0 and errno != EAGAIN)
