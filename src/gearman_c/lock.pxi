# A lock for who runs a client or works with a crew. Python's own is called by its methods' names,
# which was an eighth of the instructions of a do().

cdef extern from "pythread.h":
    ctypedef void *PyThread_type_lock
    ctypedef enum PyLockStatus:
        PY_LOCK_ACQUIRED
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock)
    PyLockStatus PyThread_acquire_lock_timed(PyThread_type_lock, long long, int) nogil
    void PyThread_release_lock(PyThread_type_lock)


@cython.auto_pickle(False)
@cython.final
cdef class _Lock:
    """See ``_gearman.pxd``."""

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError()

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)


cdef inline bint try_lock(_Lock lock) noexcept:
    """Take the lock if nobody has it; returns whether it is ours."""
    if PyThread_acquire_lock_timed(lock.lock, 0, 0) != PY_LOCK_ACQUIRED:
        return False
    lock.is_held = True
    return True


cdef bint take_lock(_Lock lock, double deadline) except -1:
    """Wait for the lock; False if somebody else still has it at the deadline.

    Raises what a signal handler raises meanwhile.
    """
    cdef PyLockStatus status
    cdef double seconds
    while not try_lock(lock):
        seconds = deadline - now()
        if seconds <= 0:
            return False
        # In slices: a signal just before the wait, or to another thread, does not end it.
        with nogil:
            status = PyThread_acquire_lock_timed(
                lock.lock, <long long> (min(seconds, SLICE) * 1e6), 1)
        if status == PY_LOCK_ACQUIRED:
            lock.is_held = True
            return True
        PyErr_CheckSignals()
    return True


cdef void leave_lock(_Lock lock) noexcept:
    """Let go of a lock; one that a forked child has made anew is free already."""
    if lock.is_held:
        lock.is_held = False
        PyThread_release_lock(lock.lock)
