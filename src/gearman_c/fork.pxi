# A forked child has copies of everything and owns none of its connections. The count below tells
# it apart from its parent without a system call; keys and clients compare it with their own.

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *mutex, const void *attributes)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)
    int pthread_atfork(void (*prepare)() noexcept, void (*parent)() noexcept,
                       void (*child)() noexcept)

cdef uint32_t generation = 0

# Held while a client makes its socket; see socket.pxi.
cdef pthread_mutex_t connecting


cdef void in_child() noexcept nogil:
    global generation
    generation += 1
    # Threads that the child does not have may have held them.
    pthread_mutex_init(&connecting, NULL)
    pthread_mutex_init(&known_lock, NULL)       # handles.pxi


pthread_mutex_init(&connecting, NULL)
pthread_atfork(NULL, NULL, in_child)
