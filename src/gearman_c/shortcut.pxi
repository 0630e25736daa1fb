# The order of libgearman's list of tasks, and a short way through it.
#
# For each answer libgearman (1.1.x) walks over its list, from the newest task on. It is given each
# batch in reverse, because it sends from the head; so the oldest task of a batch stands before the
# others of its own, but behind all batches that came later. Walking over those was 29 % of the
# client's time, and the more is in flight when a batch is added, the longer it took; the less, the
# sooner the server stands still. So while libgearman reads, the shell of the newest task shows it
# the last task before the oldest batch, and the next one on its way is the one that is answered:
#
#   list               C1 C2 C3  B1 B2 B3  A1 A2 A3     A was given first; C1 is the newest task
#   A is answered      C1=B3               A1 A2 A3
#   B is answered      C1=C3     B1 B2 B3
#
# A gearman_task_st is a public structure of one pointer; learn_order() proves, without any I/O,
# that the list leads where this pointer does. It is changed for one gearman_client_run_tasks() that
# has no job to send, so that whatever else looks at the list, or changes it, finds it as it is.
# 200,000 tasks with submit(): 1.1 of the rate of the C program, not 0.96.

# Whether libgearman puts a new task at the head of its list (1.1.x), not at the tail (2.0.0).
cdef bint newest_first = False

# Whether the list can be shortened. Where a new task stands at the tail it need not.
cdef bint has_shortcut = False

# The tasks of the two trials below that libgearman has freed, each a digit.
cdef int freed_tasks = 0


cdef void note_freed(lib.gearman_task_st *task, void *context) noexcept nogil:
    global freed_tasks
    freed_tasks = 10 * freed_tasks + (<const char *> context)[0] - c"0"


cdef lib.gearman_client_st *try_tasks(const lib.gearman_client_st *template,
                                      lib.gearman_task_st *tasks, int count) noexcept:
    """Make a client with so many tasks; NULL for lack of memory."""
    global freed_tasks
    cdef const char *digits = "123"
    cdef int index
    cdef lib.gearman_return_t rc
    cdef lib.gearman_client_st *client = lib.gearman_client_clone(NULL, template)
    if client == NULL:
        return NULL
    lib.gearman_client_set_task_context_free_fn(client, note_freed)
    for index in range(count):
        if lib.gearman_client_add_task_background(
                client, &tasks[index], <void *> (digits + index), "f", "u", NULL, 0, &rc) == NULL:
            lib.gearman_client_free(client)
            return NULL
    freed_tasks = 0
    return client


cdef bint learn_order(const lib.gearman_client_st *template) except -1:
    """Find out the order of the list, and whether it can be shortened; False for lack of memory."""
    global newest_first, has_shortcut
    cdef lib.gearman_task_st[3] tasks
    cdef lib.gearman_client_st *client = try_tasks(template, tasks, 2)
    cdef void *second
    if client == NULL:
        return False
    lib.gearman_client_free(client)
    newest_first = freed_tasks == 21
    if not newest_first:
        return True
    client = try_tasks(template, tasks, 3)
    if client == NULL:
        return False
    # The list is 3 2 1. What stands before 1 is told that nothing follows now: that is 2, or what
    # the shell of 2 shows. If that is 3, the list ends there, and 2 is not freed with all others.
    second = tasks[1]._impl
    tasks[1]._impl = tasks[2]._impl
    lib.gearman_task_free(&tasks[0])
    tasks[1]._impl = second
    lib.gearman_client_task_free_all(client)
    has_shortcut = freed_tasks == 13
    if has_shortcut:
        tasks[0]._impl = tasks[2]._impl = second    # its neighbours, for the last time
        lib.gearman_task_free(&tasks[1])
    lib.gearman_client_free(client)
    return True


cdef inline batch *newest_batch(channel *c) noexcept nogil:
    return &c.batches[(c.oldest + c.batch_count - 1) % BATCHES]


cdef void note_batch(channel *c, lib.gearman_task_st *first, lib.gearman_task_st *last,
                     size_t count, bint is_background) noexcept nogil:
    """libgearman was given a batch: first is to be sent first, and stands at the head of the list.

    Foreground tasks stay in the list behind their acknowledgement, so there is no short way until
    it is empty again. Where there are too many batches, the newest two become one.
    """
    if c.in_flight == count:        # no task was in the list
        c.batch_count = 0
        c.is_mixed = not has_shortcut
    if not is_background:
        c.is_mixed = True
        c.batch_count = 0
    if c.is_mixed:
        return
    if c.batch_count == BATCHES:
        newest_batch(c).left += count
    else:
        c.batch_count += 1
        newest_batch(c).left = count
        newest_batch(c).last = last
    c.newest, c.last_given, c.is_sent = first, last, False


cdef inline void leave_batch(channel *c) noexcept nogil:
    """The oldest task is answered."""
    if c.batch_count == 0:
        return
    c.batches[c.oldest].left -= 1
    if c.batches[c.oldest].left == 0:
        c.oldest = (c.oldest + 1) % BATCHES
        c.batch_count -= 1
        if c.true_newest != NULL:
            aim(c)


cdef void aim(channel *c) noexcept nogil:
    """Have the newest shell show the last task before the oldest batch."""
    c.newest._impl = c.true_newest
    if c.batch_count > 1:
        # The same shell, if the newest batch has one task and is the next.
        c.newest._impl = c.batches[(c.oldest + 1) % BATCHES].last._impl
    else:
        c.true_newest = NULL        # it is in the oldest batch, and soon libgearman frees it


cdef inline bint is_sent_whole(const lib.gearman_task_st *task) noexcept nogil:
    """Whether libgearman has handed the task to the socket, down to its last byte."""
    return strcmp(lib.gearman_task_strstate(task), "GEARMAN_TASK_STATE_WORK") == 0


cdef void shorten(channel *c) noexcept nogil:
    """Shorten the list, if it pays and libgearman needs nothing of what is left out.

    A marker may be in the list. Its answer comes when all tasks behind it are answered, so it is
    not left out then.
    """
    if c.batch_count > 1:
        c.is_sent = c.is_sent or is_sent_whole(c.last_given)
        if c.is_sent:
            c.true_newest = c.newest._impl
            aim(c)


cdef inline void straighten(channel *c) noexcept nogil:
    """Leave the list as it was."""
    if c.true_newest != NULL:
        c.newest._impl = c.true_newest
        c.true_newest = NULL
