# A station's connection: made, lost, and made again after a pause.
#
# Where a server is known to be away, asking again costs nothing, and it may be back at any time.
# Where nothing answers, or the name does not resolve, somebody has to be asked each time, and will
# not know soon: so these pauses grow.

cdef double FIRST_PAUSE = 0.1
cdef double SHORT_PAUSE = 1.5       # the longest after a refusal or a broken connection
cdef double LONG_PAUSE = 30         # the longest after silence
cdef double STABLE_SECONDS = 2      # a connection that held so long was a good one

logger = logging.getLogger("gearman_c.worker")


@cython.auto_pickle(False)
@cython.final
cdef class _LookUp:
    """Looks for the addresses of a server in a thread of its own: a name server may take long."""

    def run(self):
        try:
            self.found = look_up(self.server)
        except BaseException as error:
            self.found = error


@cython.auto_pickle(False)
@cython.final
@cython.no_gc_clear                 # what the connection borrows goes after it
cdef class _Station:
    """See ``_gearman.pxd``."""

    def __cinit__(self):
        self.generation = generation
        self.s.socket.descriptor = -1

    def __dealloc__(self):
        if self.generation == generation:
            close_station(&self.s)
        else:
            abandon_station(&self.s)


cdef bint is_numeric(str host):
    return ":" in host or host.replace(".", "").isdigit()


cdef int find_addresses(_Station station) except -1:
    """Look for the addresses, without waiting long.

    Returns:
        Whether the search is over: there are addresses, or the station has to pause.
    """
    cdef _LookUp search = station.look_up
    if search is None:
        search = station.look_up = _LookUp.__new__(_LookUp)
        search.server = station.server
        if is_numeric(station.server[0]):
            search.run()
        else:
            thread = threading.Thread(target=search.run, name="gearman_c", daemon=True)
            thread.start()
            thread.join(0.05)       # the usual name is known at once
    if search.found is None:
        return False
    station.look_up = None
    if isinstance(search.found, list):
        station.addresses = list(search.found)
    elif isinstance(search.found, errors.GearmanError):
        pause(station, str(search.found), LONG_PAUSE)
    else:
        raise search.found
    return True


cdef int connect_station(_Station station, Worker worker) except -1:
    """Begin to connect to the next address."""
    cdef post *s = &station.s
    cdef uint16_t port = station.server[1]
    cdef const char *host
    cdef bytes name
    cdef lib.gearman_return_t rc
    host_text, address = station.addresses.pop(0)
    host = host_text
    memset(&s.socket.peer, 0, sizeof(s.socket.peer))
    memcpy(&s.socket.peer, PyBytes_AS_STRING(address), PyBytes_GET_SIZE(address))
    station.settings = worker._settings
    s.settings = &station.settings.c
    station.opened_at = now()
    while not claim(s):
        sleep_briefly()
    try:
        rc = make_worker(s, host, port)
        if s.worker == NULL and lowest_free() < 0:
            pause(station, "this process has no file descriptors left", SHORT_PAUSE)
            return 0                # libgearman has no memory, it says
        station.renewal = renewal_of(worker)
        s.renewal = text_or_null(station.renewal)
        s.renewal_size = 0 if station.renewal is None else PyBytes_GET_SIZE(station.renewal)
        for name, (_, timeout) in worker._functions.items():
            if rc == lib.GEARMAN_SUCCESS:
                rc = lib.gearman_worker_register(s.worker, name, timeout)
        if rc != lib.GEARMAN_SUCCESS:
            error = explain(lib.gearman_worker_error(s.worker) if s.worker != NULL else NULL, rc,
                            "connect")
            close_station(s)
            raise error
        with nogil:
            open_station(s, now())
    finally:
        disclaim(s)
    return 0


cdef bytes request(int command, bytes body):
    """Return a packet of the Gearman protocol."""
    return struct.pack(">4sII", b"\0REQ", command, len(body)) + body


cdef bytes renewal_of(Worker worker):
    """Return what renew() sends, or None if no function has a time limit."""
    cdef bytes prefix = worker._settings.name_space or b""
    if not any([timeout for _, timeout in worker._functions.values()]):
        return None
    packets = [request(3, b""), request(4, b"")]    # RESET_ABILITIES, PRE_SLEEP
    for name, (_, timeout) in worker._functions.items():
        if timeout:
            packets.append(request(23, b"%b\0%d" % (prefix + name, timeout)))   # CAN_DO_TIMEOUT
        else:
            packets.append(request(1, prefix + name))   # CAN_DO
    return b"".join(packets)


cdef int drop_station(_Station station) except -1:
    """Close a connection. Its jobs go back into the queue of the server, which may hand them out
    again; what is sent for them from now on raises ConnectionFailedError."""
    cdef post *s = &station.s
    if station.generation != generation:
        abandon_station(s)
        return 0
    while not claim(s):
        sleep_briefly()
    with nogil:
        close_station(s)
    disclaim(s)
    station.jobs = 0
    return 0


cdef int lose_station(_Station station) except -1:
    """Close a connection that broke, or was not made, and say so, once."""
    cdef post *s = &station.s
    while not claim(s):
        sleep_briefly()
    try:
        lose_claimed(station)
    finally:
        disclaim(s)
    return 0


cdef int lose_claimed(_Station station) except -1:
    cdef post *s = &station.s
    cdef bint was_silent = s.rc == lib.GEARMAN_TIMEOUT and not s.proven
    cdef bint was_proven = s.proven
    cdef str reason
    error = explain(lib.gearman_worker_error(s.worker), s.rc, "work")
    if s.rc == lib.GEARMAN_TIMEOUT:
        reason = "no answer in time"
    elif was_proven and s.rc == lib.GEARMAN_UNEXPECTED_PACKET:
        reason = "it sent an error, as it does when the result of a job comes too late"
    elif was_proven:
        reason = f"the connection broke ({error})"
    elif s.socket.tuned or isinstance(error, errors.ProtocolError):
        reason = f"no Gearman server answers there ({error})"
    else:
        reason = "nothing listens there, or it is not reachable"
    with nogil:
        close_station(s)
    station.jobs = 0
    if isinstance(error, MemoryError):
        raise error
    if was_proven and now() - station.opened_at >= STABLE_SECONDS:
        station.failures = 0
    if not was_proven and station.addresses:
        station.due = 0             # the next address at once
        return 0
    station.addresses = None
    pause(station, reason, LONG_PAUSE if was_silent else SHORT_PAUSE)
    return 0


cdef int pause(_Station station, str reason, double longest) except -1:
    cdef double seconds = min(FIRST_PAUSE * 2.0 ** min(station.failures, 20), longest)
    station.failures += 1
    station.due = now() + seconds * (0.5 + random.random() / 2)
    if station.away_since == 0:
        station.away_since = now()
        logger.warning("%s is away: %s; trying again until it is back",
                       show_server(station.server), reason)
    return 0


cdef int welcome(_Station station) except -1:
    """A server has answered: its outage, if there was one, is over."""
    if station.away_since:
        logger.info("%s is back after %.1f s", show_server(station.server),
                    now() - station.away_since)
        station.away_since = 0
    if now() - station.opened_at >= STABLE_SECONDS:
        station.failures = 0
    return 0


cdef void sleep_briefly() noexcept:
    """A millisecond for who has claimed a station."""
    with nogil:
        poll(NULL, 0, 1)
