# The one gate between gearman_return_t and exceptions. It makes them and does not raise: what has
# to be put in order first differs.

cdef str tidy(const char *message):
    """Return the middle of ``flush(CODE) what happened -> libgearman/connection.cc:724: pid``."""
    cdef str text = message.decode("utf-8", "replace") if message != NULL else ""
    head, separator, _ = text.partition(" -> ")
    if separator and ") " in head:
        head = head.split(") ", 1)[1]
    return head


cdef object code_of(lib.gearman_return_t rc):
    try:
        return ReturnCode(rc)
    except ValueError:              # a later libgearman may have more
        return ReturnCode.UNKNOWN_STATE


cdef object failure(lib.gearman_client_st *client, lib.gearman_return_t rc, str operation,
                    str message=None):
    """Return, not raise, the exception for rc; message replaces libgearman's own words."""
    return explain(lib.gearman_client_error(client) if client != NULL else NULL, rc, operation,
                   message)


cdef object explain(const char *detail, lib.gearman_return_t rc, str operation, str message=None):
    """Return the exception for rc; detail is what libgearman says about it, or NULL."""
    if rc == lib.GEARMAN_MEMORY_ALLOCATION_FAILURE:
        return MemoryError()
    code = code_of(rc)
    if rc == lib.GEARMAN_UNEXPECTED_PACKET or rc == lib.GEARMAN_INVALID_MAGIC:
        # Noticed by us, too: libgearman's last words may be about something else.
        message = "what it sends is not what the Gearman protocol has there"
    if message is None:
        message = tidy(detail) or code.name
    return errors.class_for(code)(
        message, code=code, operation=operation,
        detail=detail.decode("utf-8", "replace") if detail != NULL else None)
