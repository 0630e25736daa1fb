# The ownership map: every C field and attribute of the extension, who owns it and until when.
#
# Two threads may meet here: the one that runs a client (it holds the client's lock, and drops the
# GIL inside pump.pxi and channel.pxi) and any other one (it holds the GIL). So:
#   G  is touched only by who holds the GIL
#   R  is touched only by the thread that runs the client, with or without the GIL

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from gearman_c cimport libgearman as lib

cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr_storage:
        pass


# The socket that libgearman has made for a connection, as far as it is known (socket.pxi).
cdef struct plug:
    sockaddr_storage peer           # R the address that libgearman connects to
    int descriptor                  # R borrowed from libgearman; -1 while not known
    int searches                    # R how often it may still be looked for
    bint tuned                      # R descriptor is proven to be ours, and set up
    sockaddr_storage local          # R its own end: tells later that the number is still ours


# How far a connection's packets have been read, by descriptor (sieve.pxi). Whoever runs the
# connection reads it; a new socket of libgearman's begins anew.
cdef struct sieve:
    uint64_t expected               # the packets that may come, a bit for each; 0: not libgearman's
    uint32_t left                   # bytes of the packet that are to come
    uint8_t header                  # bytes of its header that have come
    uint8_t nul_bytes               # NUL bytes that must come before its end
    bint has_refused                # what came was no packet


# A packet about a job that runs, or the answer about a status, on its way to Python (events.pxi).
cdef struct event:
    event *next                     # owned: the one that came after it
    record *rec                     # borrowed from a Task in Client._running
    uint8_t kind                    # an event_kind
    bint is_known                   # STATUS only, and only if it is an answer
    bint is_running
    uint32_t numerator              # STATUS only
    uint32_t denominator
    uint32_t client_count
    void *data                      # owned: taken from libgearman, or NULL
    size_t size                     # of data


# What each C client is told before it connects (settings.pxi), embedded in a _Settings. All of it
# is borrowed from that _Settings; NULL where nothing was set.
cdef struct settings:
    const char *name_space
    const char *identifier
    const char *authority
    const char *certificate
    const char *key
    void *log_owner                 # the _Settings itself
    lib.gearman_verbose_t verbosity


cdef enum:
    BATCHES = 16                    # that may be in flight and are told apart


# Tasks that libgearman was given at a time (shortcut.pxi).
cdef struct batch:
    lib.gearman_task_st *last       # R borrowed from libgearman: the one that is sent last
    size_t left                     # R how many are not answered; never 0


# The C half of a Client, embedded in it: one server connection and what is on it.
cdef struct channel:
    lib.gearman_client_st *client   # R owned: exactly one server; NULL while not connected
    uint32_t generation             # R the process that made it (fork.pxi); another one forgets it
    size_t in_flight                # R tasks in libgearman that are not done
    size_t bytes_in_flight          # R their payload, which libgearman holds a copy of
    bint is_narrow                  # R a server nearby is sent background tasks
    size_t markers                  # R status requests of our own whose answer is to come
    bint wants_exceptions           # G whether the server is to be asked to tell exceptions,
    bint tells_exceptions           # R   and whether it was; see needs_exceptions() in run.pxi
    bint violated                   # R libgearman ended a task that it had no reason to end
    uint64_t acknowledged           # R packets since the client was made; tells progress
    batch[BATCHES] batches          # R a ring; see shortcut.pxi
    size_t oldest                   # R the place in it of the batch that was given first
    size_t batch_count              # R how many are in it; with less than two there is no short way
    bint is_mixed                   # R libgearman's list may hold other tasks than theirs
    lib.gearman_task_st *newest     # R borrowed, as the next: valid while there are two batches
    lib.gearman_task_st *last_given     # R the task of the newest batch that is sent last
    bint is_sent                    # R that one is sent whole, and so all
    void *true_newest               # R what the newest shows when the list is not shortened, as it
    #   is now; NULL: it is not
    event *first_event              # R owned: what came and Python has not seen, oldest first
    event *last_event               # R borrowed: the end of that list
    size_t pending                  # G tasks added and not done
    plug socket                     # R embedded
    const settings *settings        # G borrowed from a _Settings, which whoever owns the channel
    #   holds until it is closed; changes only while there is no connection


# The C half of a Task, embedded in it. libgearman carries its address as the task's context; a
# marker carries that of its channel, plus one.
cdef struct record:
    channel *queued                 # G borrowed: embedded in the Client; NULL once out of its queue
    lib.gearman_task_st *task       # R borrowed from libgearman; NULL when libgearman has it not:
    # a task that is RUNNING without it has ended, and an event says how
    uint64_t number                 # G counts the tasks of this process: their order
    uint64_t handle                 # R owned if it is a pointer: see handles.pxi, and
    uint8_t handle_text             # R   NO_HANDLE until the job is created
    uint8_t is_hashed               # R libgearman has made the key, for "#"
    uint8_t state                   # G to IN_FLIGHT, R from there: a TaskState; read by all
    uint8_t priority                # G constant: a Priority
    uint8_t handed                  # R a connection broke after it took this task
    uint8_t kind                    # G constant: a task_kind
    uint8_t is_late                 # G constant: on_workload gives its payload
    uint32_t key                    # R libgearman's, if it is hashed; else G: see keys.pxi
    uint32_t size                   # R of the payload, for bytes_in_flight


# The C half of a worker's connection to one server, embedded in a _Station. Who calls libgearman
# for it has claimed it (station.pxi), with or without the GIL:
#   C  is touched only by who has claimed the station
cdef struct post:
    lib.gearman_worker_st *worker   # C owned: exactly one server; NULL while not connected
    lib.gearman_job_st *job         # C borrowed from worker: assigned, and not yet a Job
    plug socket                     # C embedded
    const settings *settings        # G borrowed from _Station.settings
    lib.gearman_return_t rc         # C why it is BROKEN
    uint8_t state                   # C a post_state
    bint ready                      # C the socket is, since libgearman last looked
    bint proven                     # C the server has answered as a Gearman server does
    const char *renewal             # G borrowed from _Station.renewal; NULL if no function has a
    #   time limit: see renew()
    size_t renewal_size             # G
    bint crowded                    # C the socket would not take all of what was sent last
    double since                    # C monotonic seconds: the begin of this state, or the last
    #   piece of an answer
    unsigned long connection        # C how many there have been: a job belongs to one
    char busy                       # atomic: claimed


# One row of a batch on its way from the queue to libgearman; the Tasks stay in Client._queue.
cdef struct staged:
    record *rec                     # borrowed from the Task
    const char *function            # borrowed from Task._function
    const char *unique              # borrowed from Task._unique, or key below
    const char *workload            # borrowed from Task._workload; NULL when size is 0
    char key[40]                    # an assigned key, written out


# Held by the thread that runs a client, or works with a crew (lock.pxi).
cdef class _Lock:
    cdef void *lock                 # owned: a PyThread_type_lock
    cdef bint is_held               # G


cdef class Task:
    cdef record rec
    cdef bytes _function            # owned
    cdef bytes _workload            # owned: the caller's own bytes object, or a copy of the buffer
    cdef bytes _unique              # owned; None where the binding assigned the key
    cdef readonly object context    # owned
    cdef object _error              # owned; why state is FAILED, if it is not an UnconfirmedError
    cdef _Outcome _outcome           # owned; None until the job, or the server, has told something


# What came back for a Task: from its worker, or about its status. Only Python touches it.
cdef class _Outcome:
    cdef list chunks                # owned: of WORK_DATA, bytes
    cdef list warnings              # owned: of WORK_WARNING, bytes
    cdef bytes result               # owned: of WORK_COMPLETE; None until then
    cdef bint is_known              # the answer about a status
    cdef bint is_running
    cdef uint32_t numerator
    cdef uint32_t denominator
    cdef uint32_t client_count
    cdef list finished              # borrowed from a Submission: where the task goes when done


# What holds for all connections of a client. It never changes: a change makes another one. So
# whoever has a connection keeps the bytes that C was given alive by one reference.
cdef class _Settings:
    cdef settings c                 # embedded: points into what follows
    cdef bytes name_space           # each owned; None where not set
    cdef bytes identifier
    cdef list tls                   # three paths, bytes
    cdef object log                 # called with a level and a line
    cdef int verbosity
    cdef object log_error           # the first thing it raised that nobody was told: this changes
    cdef _Settings altered(self, str name, object value)


# What has servers and settings. Its methods are overridden by who has connections.
cdef class _Connector:
    cdef _Settings _settings        # owned; replaced as a whole
    cdef object _timeout            # None or float, seconds
    cdef tuple _servers             # of (host, port)
    cdef uint32_t _generation       # the process that the connections belong to (fork.pxi)
    cdef bint _closed
    cdef int enter(self) except -1
    cdef int change(self, str name, object value) except -1


cdef class _Callbacks(_Connector):
    cdef object _on_created         # each owned: a callable or None
    cdef object _on_data
    cdef object _on_warning
    cdef object _on_status
    cdef object _on_complete
    cdef object _on_exception
    cdef object _on_fail
    cdef object _on_workload


cdef class Client(_Callbacks):
    cdef channel _channel           # embedded
    cdef staged *_staged            # owned: room for max_in_flight rows
    cdef readonly Py_ssize_t max_in_flight
    cdef Py_ssize_t _window         # how many of them are used; see widen() in run.pxi
    cdef bint _is_distant           # answers have taken long: more in flight helps
    cdef readonly bint resend
    cdef object _server             # the (host, port) that the channel is connected to
    cdef unsigned long _connections     # how many the channel has had
    cdef Py_ssize_t _preferred      # index of the server that is tried first
    # The queue: [.. _head) is done, [_head .. _next) is in libgearman, [_next ..) waits. The list
    # owns the Tasks, and the cycle collector sees them.
    cdef list _queue
    cdef Py_ssize_t _head
    cdef Py_ssize_t _next
    cdef list _refused              # tasks that a full queue refused in this run, oldest first
    cdef list _held                 # tasks of these functions that were not tried, oldest first
    cdef bint _disordered           # a connection gave tasks back since the queue was in order
    cdef set _full                  # the names of these functions; None when there are none
    cdef object _refusal            # the first error of this run that did not stop it
    cdef dict _running              # its keys: tasks out of the queue that events may be about
    cdef dict _sharing              # handle of a job under a given key: list of the tasks it does,
    # None for one that was withdrawn, in the order in which the next packets are for them
    cdef list _questions            # status tasks that were not asked yet
    cdef list _untold               # acknowledged tasks on_created was not called with yet
    cdef object _last_function      # the name as last given, and
    cdef bytes _last_encoded        # as bytes: most tasks repeat it
    cdef _Lock _lock                # owned: held by the thread that runs the client
    cdef unsigned long _runner      # that thread; 0 when nobody runs
    cdef bint _closing              # another thread waits in close()
    cdef double _progress_at        # monotonic seconds of the last progress
    cdef uint64_t _progress_mark
    cdef object __weakref__


# A worker's place at one server.
cdef class _Station:
    cdef post s                     # embedded
    cdef _Settings settings         # owned: what s borrows
    cdef bytes renewal              # owned: packets; None
    cdef tuple server               # (host, port)
    cdef list addresses             # left to be tried: (numeric host, its sockaddr as bytes)
    cdef _LookUp look_up            # owned: the thread that looks for them; None
    cdef uint32_t generation        # the process the connection belongs to
    cdef Py_ssize_t jobs            # G unfinished Jobs of this connection
    cdef Py_ssize_t failures        # G in a row; makes the pauses longer
    cdef double due                 # G monotonic seconds: when to try again
    cdef double opened_at           # G
    cdef double away_since          # G the begin of an outage that was logged; 0: there is none


cdef class _LookUp:
    cdef tuple server
    cdef object found               # a list of addresses, or the exception that says why not; None


# The connections that one thread works with: one to each server.
cdef class _Crew:
    cdef list stations              # of _Station: owns what all points to
    cdef post **all              # owned array of pointers into stations
    cdef void *ready                # owned array: a pollfd for each
    cdef Py_ssize_t next            # which one is asked first
    cdef uint64_t version           # the worker's when the connections were made
    cdef tuple servers              # owned: the same
    cdef Py_ssize_t troubled        # stations that are away, or whose outage is not over
    cdef _Lock lock                 # owned: held by the thread that works
    cdef unsigned long runner       # that thread


cdef class Job:
    cdef _Station _station          # owned
    cdef lib.gearman_job_st *_job   # C borrowed from the C worker of _connection; NULL: finished
    cdef unsigned long _connection  # which of the station's it came by
    cdef bytes _workload            # each owned
    cdef bytes _handle
    cdef bytes _function
    cdef bytes _unique
    cdef bint _is_given             # to a callable, whose return finishes it
    cdef object __weakref__


cdef class Worker(_Connector):
    cdef dict _functions            # owned: name, bytes -> (callable or None, timeout)
    cdef uint64_t _version          # counts the changes of functions and settings
    cdef _Crew _crew                # owned: for grab_job() and work()
    cdef set _crews                 # owned: of the runs that are under way
    cdef bint _exceptions
    cdef int is_stopping             # 0 or 1; read without the GIL, too
    cdef object __weakref__


cdef class Submission:
    cdef Client _client             # owned
    cdef bytes _function            # owned
    cdef object _workloads          # owned iterator; None when it is exhausted
    cdef object _unique             # None, or called with a workload for its key
    cdef list _tasks                # owned: [.. _head) was given out. Foreground tasks come here
    # when they are done, background tasks when they are made
    cdef Py_ssize_t _head
    cdef Py_ssize_t _open           # tasks made and not given out
    cdef size_t _payload            # their bytes, but for those that on_workload gives
    cdef object _given              # a workload that was read and not yet added, or NOTHING
    cdef bint _filling              # workloads is being read
    cdef uint8_t _kind
    cdef uint8_t _priority
