# The part of a worker without Python: one C worker, one server, one address.
#
# gearman_worker_grab_job() cannot be called twice on a non-blocking worker: after "no job" it goes
# on at the connection behind the last one, and dies (1.1.20, 2.0.0: worker.cc). Inside
# gearman_worker_work() the same function does not end there but sends PRE_SLEEP and starts afresh,
# which is what we want, but there it hands the job to a callback and frees it. So each C worker is
# made to stay inside: work() is left by the log function, which it calls because there is nothing
# registered yet, before it can note that grab_job() is over.
#
# What a job sends waits inside libgearman, for ever if need be, but for the pipe that
# gearman_kill() writes to. One byte stands in that pipe from the beginning; libgearman puts back
# what it reads. So it never waits, says SHUTDOWN_GRACEFUL where it would have, and goes on where it
# stopped when it is called again. All waiting is ours.

cdef extern from *:
    """
    #include <dlfcn.h>
    #include <setjmp.h>

    typedef void (*set_ssl_function)(gearman_worker_st *, bool, const char *, const char *,
                                     const char *);

    /* 1.1.20 declares it and does not have it. */
    static set_ssl_function find_set_ssl(void)
    {
        return (set_ssl_function)dlsym(RTLD_DEFAULT, "gearman_worker_set_ssl");
    }

    static void leave_work(const char *line, gearman_verbose_t verbose, void *context)
    {
        (void)line;
        (void)verbose;
        longjmp(*(jmp_buf *)context, 1);
    }

    /* Its own function: what is kept in registers across setjmp() is lost. libgearman's frames in
       between hold nothing that would have to be destroyed. */
    static void stay_in_work(gearman_worker_st *worker)
    {
        jmp_buf out;
        gearman_worker_set_log_fn(worker, leave_work, &out, GEARMAN_VERBOSE_ERROR);
        if (setjmp(out) == 0)
            (void)gearman_worker_work(worker);
        gearman_worker_set_log_fn(worker, NULL, NULL, GEARMAN_VERBOSE_NEVER);
    }
    """
    ctypedef void (*set_ssl_function)(
        lib.gearman_worker_st *, bint, const char *, const char *, const char *) noexcept nogil
    set_ssl_function find_set_ssl() nogil
    void stay_in_work(lib.gearman_worker_st *worker) nogil
    bint __atomic_test_and_set(void *, int) nogil
    void __atomic_clear(void *, int) nogil

cdef enum post_state:
    AWAY                            # not connected; Python tries again when it is due
    CONNECTING
    IDLE                            # connected, and to ask for a job as soon as may be
    ASKING                          # has asked; the answer is to come
    ASLEEP                          # there was none: the server wakes us
    BROKEN                          # to be closed; rc says why

cdef double ANSWER_SECONDS = 15     # a server that is silent for so long is taken for dead
cdef double ASK_SECONDS = 1         # gearmand 1.1.20 wakes nobody when the time of a job has come

# What every C worker is cloned from, so that none reads $GEARMAN_SERVERS.
cdef lib.gearman_worker_st *worker_template = NULL


cdef inline bint claim(post *s) noexcept nogil:
    """Become the only one who calls libgearman for a station; False if somebody else is."""
    return not __atomic_test_and_set(&s.busy, ATOMIC_ACQUIRE)


cdef inline void disclaim(post *s) noexcept nogil:
    __atomic_clear(&s.busy, ATOMIC_RELEASE)


cdef lib.gearman_return_t make_worker(post *s, const char *host, uint16_t port) noexcept nogil:
    """Make a C worker that has a server, and no connection and no functions yet."""
    cdef lib.gearman_return_t rc
    cdef const settings *known = s.settings
    s.worker = lib.gearman_worker_clone(NULL, worker_template)
    if s.worker == NULL:
        return lib.GEARMAN_MEMORY_ALLOCATION_FAILURE
    __atomic_fetch_add(&open_channels, 1, ATOMIC_RELAXED)
    lib.gearman_worker_set_workload_malloc_fn(s.worker, payload_malloc, NULL)
    lib.gearman_worker_add_options(s.worker, lib.GEARMAN_WORKER_GRAB_UNIQ)
    if known.name_space != NULL:
        lib.gearman_worker_set_namespace(s.worker, known.name_space, strlen(known.name_space))
    if known.certificate != NULL:
        find_set_ssl()(s.worker, True, known.authority, known.certificate, known.key)
    rc = lib.gearman_worker_add_server(s.worker, host, port)
    if rc == lib.GEARMAN_SUCCESS:
        stay_in_work(s.worker)
        rc = lib.gearman_kill(lib.gearman_worker_id(s.worker), lib.GEARMAN_INTERRUPT)
    return rc


cdef void open_station(post *s, double moment) noexcept nogil:
    """Start to connect, and find the socket: as open_channel() does. Nothing here waits."""
    global expected
    cdef int guess
    cdef const settings *known = s.settings
    s.state = CONNECTING
    s.since = moment
    s.socket.descriptor = -1
    s.socket.searches = 0           # proceed() may not look for it: that takes the lock
    pthread_mutex_lock(&connecting)
    guess = lowest_free()
    expected = FOR_WORKERS
    proceed(s)
    if s.state != BROKEN:
        find_socket(&s.socket, guess)
        s.socket.searches = 10
    pthread_mutex_unlock(&connecting)
    if known.log_owner != NULL:
        lib.gearman_worker_set_log_fn(s.worker, log_line, known.log_owner, known.verbosity)


cdef void close_station(post *s) noexcept nogil:
    """Free the C worker with all its jobs, which go back into the server's queue."""
    if s.worker != NULL:
        # The connection first: libgearman would free the job that an answer is read into before the
        # connection, which frees that packet, too (1.1.20).
        lib.gearman_worker_remove_servers(s.worker)
        lib.gearman_worker_free(s.worker)
        __atomic_fetch_sub(&open_channels, 1, ATOMIC_RELAXED)
    forget_station(s)


cdef void forget_station(post *s) noexcept nogil:
    s.worker = NULL
    s.job = NULL
    s.state = AWAY
    s.ready = False
    s.proven = False
    s.crowded = False
    s.connection += 1
    s.socket.descriptor = -1
    s.socket.tuned = False


cdef void abandon_station(post *s) noexcept nogil:
    """In a forked child: close what it has of the parent's connection, without shutting it down."""
    cdef lib.gearman_id_t ends
    if s.worker != NULL:
        ends = lib.gearman_worker_id(s.worker)
        close(ends.read_fd)
        close(ends.write_fd)
        __atomic_fetch_sub(&open_channels, 1, ATOMIC_RELAXED)
        if still_ours(&s.socket):
            close(s.socket.descriptor)
    forget_station(s)
    disclaim(s)


cdef void proceed(post *s) noexcept nogil:
    """Let libgearman connect, register, ask and read, as far as it comes without waiting."""
    cdef lib.gearman_return_t rc = lib.GEARMAN_SUCCESS
    cdef bint was_ready = s.ready
    global no_room, is_patient, has_asked
    s.ready = False
    if s.state == CONNECTING or not s.socket.tuned:
        lib.gearman_worker_wait(s.worker)       # tells it what the socket is ready for
    elif s.state == IDLE and s.renewal != NULL and not renew(s):
        s.rc = lib.GEARMAN_LOST_CONNECTION
        s.state = BROKEN
        return
    no_room = False
    is_patient = s.socket.tuned     # the answer takes longer than a vain recv()
    s.job = lib.gearman_worker_grab_job(s.worker, NULL, &rc)
    is_patient = has_asked = False
    if no_room:
        s.crowded = True            # of the question, too, some may have to be sent yet
    if s.job != NULL:
        prove(s)
        s.state = IDLE
    elif rc == lib.GEARMAN_IO_WAIT:
        if s.state == CONNECTING:
            # Connected it is when libgearman was told so, not when the kernel knows.
            if not was_ready:
                return
            recognise(&s.socket)
            if s.socket.descriptor >= 0 and not s.socket.tuned:
                return
        if s.state != ASKING or s.socket.tuned:     # it has asked, or some of the answer is here
            s.since = now()
        s.state = ASKING
    elif rc == lib.GEARMAN_NO_JOBS and is_connected(s):
        prove(s)
        s.state = ASLEEP
        s.since = now()
    else:
        # A connection that it could not make, or that it lost, it calls "no jobs", too.
        if rc == lib.GEARMAN_NO_JOBS:
            rc = lib.GEARMAN_LOST_CONNECTION if s.socket.tuned else lib.GEARMAN_COULD_NOT_CONNECT
        s.rc = verdict(&s.socket, rc)
        s.state = BROKEN


cdef bint renew(post *s) noexcept nogil:
    """Have the server stop the clock of a job that is done.

    gearmand 1.1.20 does that only for a worker that goes to sleep and for which there is no job.
    Else, when the next job comes, the clock goes on for the last one, which it has freed. So we let
    go of all functions, sleep, and take them again, in one piece, which libgearman cannot send.
    """
    return s.socket.tuned and s.settings.certificate == NULL and <size_t> send_bytes(
        s.socket.descriptor, s.renewal, s.renewal_size, MSG_DONTWAIT | MSG_NOSIGNAL
    ) == s.renewal_size


cdef bint is_connected(post *s) noexcept nogil:
    recognise(&s.socket)
    if s.socket.tuned:
        return still_ours(&s.socket)
    return lib.gearman_worker_wait(s.worker) != lib.GEARMAN_NO_ACTIVE_FDS


cdef void prove(post *s) noexcept nogil:
    """A Gearman server has answered. Nothing is half sent now, so this is when to say our name."""
    recognise(&s.socket)
    if not s.proven:
        s.proven = True
        if s.settings.identifier != NULL:
            lib.gearman_worker_set_identifier(
                s.worker, s.settings.identifier, strlen(s.settings.identifier))


cdef int make_worker_template() except -1:
    """Make the template, and see whether a C worker can be made to stay in work()."""
    global worker_template
    cdef bytes servers = None, error
    cdef lib.gearman_return_t rc
    cdef lib.gearman_worker_st *probe
    cdef bint stays
    if getenv("GEARMAN_SERVERS") != NULL:
        servers = getenv("GEARMAN_SERVERS")
        unsetenv("GEARMAN_SERVERS")
    worker_template = lib.gearman_worker_create(NULL)
    if servers is not None:
        setenv("GEARMAN_SERVERS", servers, 1)
    if worker_template == NULL:
        raise MemoryError()
    lib.gearman_worker_add_options(worker_template, lib.GEARMAN_WORKER_NON_BLOCKING)
    probe = lib.gearman_worker_clone(NULL, worker_template)
    if probe == NULL:
        raise MemoryError()
    lib.gearman_worker_add_server(probe, "127.0.0.1", 1)
    stay_in_work(probe)
    error = lib.gearman_worker_error(probe)
    lib.gearman_worker_remove_servers(probe)
    # grab_job() begins with forgetting the last error, but not inside work().
    lib.gearman_worker_grab_job(probe, NULL, &rc)
    stays = error == lib.gearman_worker_error(probe)
    lib.gearman_worker_free(probe)
    if not stays:
        lib.gearman_worker_free(worker_template)
        worker_template = NULL
    return 0


make_worker_template()
