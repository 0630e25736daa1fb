# Opening and closing the C client of a channel: one libgearman client, one server, one address.

cdef extern from *:
    """
    #include <time.h>
    #ifndef CLOCK_MONOTONIC_COARSE              /* Linux only */
    #define CLOCK_MONOTONIC_COARSE CLOCK_MONOTONIC
    #endif
    """

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec *)
    enum: CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE

cdef extern from "<stdlib.h>" nogil:
    char *getenv(const char *)
    int setenv(const char *, const char *, int)
    int unsetenv(const char *)

cdef extern from *:
    enum: ATOMIC_RELAXED "__ATOMIC_RELAXED"
    long __atomic_fetch_add(long *, long, int) nogil
    long __atomic_fetch_sub(long *, long, int) nogil

# C clients made and not yet freed; the tests look at it.
cdef long open_channels = 0

# What every C client is cloned from: non-blocking, frees finished tasks, knows our callbacks.
cdef lib.gearman_client_st *template = NULL

cdef inline double now() noexcept nogil:
    cdef timespec moment
    clock_gettime(CLOCK_MONOTONIC, &moment)
    return moment.tv_sec + moment.tv_nsec * 1e-9


cdef inline double roughly_now() noexcept nogil:
    """Seconds on a clock that moves every few milliseconds and costs a fifth of the other one."""
    cdef timespec moment
    clock_gettime(CLOCK_MONOTONIC_COARSE, &moment)
    return moment.tv_sec + moment.tv_nsec * 1e-9


cdef inline channel *marked_channel(void *context) noexcept nogil:
    """The channel whose marker has this context; NULL if it is a record's."""
    if <uintptr_t> context & 1:
        return <channel *> (<uintptr_t> context - 1)
    return NULL


cdef lib.gearman_return_t created(lib.gearman_task_st *task) noexcept nogil:
    """The server acknowledged a task. Runs inside libgearman: touches only record and channel."""
    cdef void *context = lib.gearman_task_context(task)
    cdef record *rec = <record *> context
    cdef const char *handle = lib.gearman_task_job_handle(task)
    if marked_channel(context) != NULL or is_question(rec) or rec.state >= RUNNING or \
            handle[0] == 0:
        return lib.GEARMAN_UNEXPECTED_PACKET    # nobody asked for a job, or it is none
    if not keep_handle(rec, handle):
        return lib.GEARMAN_MEMORY_ALLOCATION_FAILURE
    rec.queued.acknowledged += 1
    if rec.kind == FOREGROUND:
        if has_given_key(rec) and append_event(rec.queued, rec, STARTED) == NULL:
            return lib.GEARMAN_MEMORY_ALLOCATION_FAILURE
        rec.state = RUNNING         # libgearman keeps it until the job has ended
        return lib.GEARMAN_SUCCESS
    rec.state = CREATED
    rec.task = NULL
    rec.queued.in_flight -= 1
    rec.queued.bytes_in_flight -= rec.size
    leave_batch(rec.queued)
    return lib.GEARMAN_SUCCESS


cdef void freed(lib.gearman_task_st *task, void *context) noexcept nogil:
    """libgearman lets go of a task: a marker is answered, or created() or note() saw it end.

    A server that sends the end of a job without a handle makes it let go of any other.
    """
    cdef channel *c = marked_channel(context)
    cdef record *rec = <record *> context
    if c != NULL:
        c.markers -= 1
    elif rec != NULL and rec.task != NULL:
        rec.task = NULL
        rec.queued.violated = True
        straighten(rec.queued)      # it may have been the end of a batch
        rec.queued.batch_count = 0


cdef lib.gearman_return_t add_marker(channel *c) noexcept nogil:
    """Ask for the status of a job that does not exist.

    The answer comes behind all others, so it tells that they have been read. Before any payload
    is handed over it proves that a Gearman server is there: what fails until then was never sent.
    After an ERROR reply it makes libgearman read on: it would wait for more bytes from the socket
    while the other replies are in its buffer (1.1.20: gearman_wait() says NO_ACTIVE_FDS).
    """
    cdef lib.gearman_return_t rc
    cdef lib.gearman_task_st *task
    task = lib.gearman_client_add_task_status(
        c.client, NULL, <void *> (<uintptr_t> c + 1), "H:gearman_c:0", &rc)
    if task == NULL:
        return lib.GEARMAN_MEMORY_ALLOCATION_FAILURE
    c.markers += 1
    return rc


cdef lib.gearman_return_t open_channel(channel *c, const char *host, uint16_t port) noexcept nogil:
    """Start to connect to a numeric address, and find the socket that libgearman makes for it.

    The lock makes sure that of all our clients only one has a new, unmarked socket at a time.
    Nothing here waits: the address is numeric, the socket does not block.
    """
    global expected
    cdef lib.gearman_return_t rc
    cdef int guess
    c.client = lib.gearman_client_clone(NULL, template)
    if c.client == NULL:
        return lib.GEARMAN_MEMORY_ALLOCATION_FAILURE
    c.generation = generation
    __atomic_fetch_add(&open_channels, 1, ATOMIC_RELAXED)
    lib.gearman_client_set_task_context_free_fn(c.client, freed)    # clones do not inherit these
    lib.gearman_client_set_workload_malloc_fn(c.client, payload_malloc, NULL)
    rc = configure(c)
    if rc == lib.GEARMAN_SUCCESS:
        rc = lib.gearman_client_add_server(c.client, host, port)
    if rc == lib.GEARMAN_SUCCESS:
        rc = add_marker(c)
    if rc != lib.GEARMAN_SUCCESS:
        return rc
    pthread_mutex_lock(&connecting)
    guess = lowest_free()
    expected = FOR_CLIENTS
    rc = lib.gearman_client_run_tasks(c.client)
    if rc == lib.GEARMAN_SUCCESS or rc == lib.GEARMAN_IO_WAIT:
        find_socket(&c.socket, guess)
        c.socket.searches = 10
    pthread_mutex_unlock(&connecting)
    start_log(c, rc)
    recognise(&c.socket)
    return rc


cdef void close_channel(channel *c) noexcept nogil:
    """Free the C client and all its tasks; the records must not point to them any more.

    In a forked child the C client is forgotten: freeing it would shut down the parent's socket.
    """
    if c.client != NULL and c.generation != generation:
        if still_ours(&c.socket):
            close(c.socket.descriptor)
    elif c.client != NULL:
        lib.gearman_client_set_task_context_free_fn(c.client, NULL)
        lib.gearman_client_free(c.client)
        __atomic_fetch_sub(&open_channels, 1, ATOMIC_RELAXED)
    forget_channel(c)


cdef void forget_channel(channel *c) noexcept nogil:
    c.client = NULL
    c.socket.descriptor = -1
    c.socket.tuned = False
    c.in_flight = 0
    c.bytes_in_flight = 0
    c.markers = 0
    c.batch_count = 0
    c.tells_exceptions = False
    c.violated = False


cdef int make_template() except -1:
    """Make the template, and find out the order of libgearman's list."""
    global template
    cdef bytes servers = None
    # gearman_client_create() adds, and looks up, the servers of this variable; the binding does
    # that itself. Only here, at import, as os.environ would do it.
    if getenv("GEARMAN_SERVERS") != NULL:
        servers = getenv("GEARMAN_SERVERS")
        unsetenv("GEARMAN_SERVERS")
    template = lib.gearman_client_create(NULL)
    if servers is not None:
        setenv("GEARMAN_SERVERS", servers, 1)
    if template == NULL:
        raise MemoryError()
    lib.gearman_client_add_options(template, lib.GEARMAN_CLIENT_NON_BLOCKING)
    lib.gearman_client_add_options(template, lib.GEARMAN_CLIENT_FREE_TASKS)
    if not learn_order(template):
        raise MemoryError()
    lib.gearman_client_set_created_fn(template, created)
    lib.gearman_client_set_data_fn(template, note_data)
    lib.gearman_client_set_warning_fn(template, note_warning)
    lib.gearman_client_set_status_fn(template, note_status)
    lib.gearman_client_set_complete_fn(template, note_complete)
    lib.gearman_client_set_exception_fn(template, note_exception)
    lib.gearman_client_set_fail_fn(template, note_fail)
    return 0


make_template()


# Every turn of the window frees its oldest tasks, 2.9 KB each, which lie at the top of the heap:
# glibc gave that memory back and fetched it again each time, 0.1 to 0.2 page faults and up to a
# microsecond of kernel time a task. Freeing a block of this size once raises its limit for keeping
# memory to twice the size (mallopt(3), "dynamic mmap threshold"). Not malloc(): gcc drops the pair.
PyMem_RawFree(PyMem_RawMalloc(8 << 20))
