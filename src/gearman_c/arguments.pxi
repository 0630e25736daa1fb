# What the user gives, checked before C sees it. Names are C strings there: a NUL byte would cut
# them, and libgearman shortens a long unique key without a word.

cdef bytes encode_text(object text, str what):
    if isinstance(text, str):
        try:
            return (<str> text).encode("utf-8")
        except UnicodeEncodeError as error:
            raise errors.ArgumentError(
                f"{what} has a lone surrogate at {error.start}, which UTF-8 cannot carry") from None
    if isinstance(text, bytes):
        return bytes(text)
    raise TypeError(f"{what} must be str or bytes, not {type(text).__name__}")


cdef bytes encode_name(object text, str what, Py_ssize_t limit):
    """Return text as the bytes of a C string of 1 to limit bytes."""
    cdef bytes encoded = encode_text(text, what)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(encoded)
    if size == 0:
        raise errors.ArgumentError(f"{what} is empty")
    if size > limit:
        raise errors.ArgumentError(f"{what} has {size} bytes, {limit} are allowed")
    if b"\0" in encoded:
        raise errors.ArgumentError(f"{what} has a NUL byte, which would cut it short")
    return encoded


cdef inline bytes encode_function(_Connector owner, object function):
    """Return the name; with its namespace it may be no longer than a name without."""
    cdef bytes name_space = owner._settings.name_space
    return encode_name(function, "the function name", lib.GEARMAN_FUNCTION_MAX_SIZE - (
        0 if name_space is None else PyBytes_GET_SIZE(name_space)))


cdef inline bytes encode_unique(object unique):
    return encode_name(unique, "the unique key", lib.GEARMAN_MAX_UNIQUE_SIZE - 1)


cdef inline bytes freeze_workload(object workload):
    """Return workload as bytes that nobody can change: bytes as they are, all else copied."""
    cdef bytes frozen
    if type(workload) is bytes:
        frozen = <bytes> workload
    else:
        frozen = copy_workload(workload)
    # The length of a packet is 32 bits; names and header are part of it.
    if PyBytes_GET_SIZE(frozen) > <Py_ssize_t> 0xffffffff - 1024:
        raise errors.ArgumentError(
            f"the workload has {PyBytes_GET_SIZE(frozen)} bytes; a Gearman packet carries less "
            "than 4 GiB")
    return frozen


cdef bytes copy_workload(object workload):
    if isinstance(workload, (str, bytes)):
        return encode_text(workload, "the workload")
    try:
        view = memoryview(workload)
    except TypeError:
        raise TypeError(
            f"the workload must be str or a buffer such as bytes, not {type(workload).__name__}"
        ) from None
    if "O" in re.sub(":[^:]*:", "", view.format):   # names of fields stand between colons
        raise TypeError("the workload holds Python objects; serialize it first")
    return view.tobytes()


cdef double read_timeout(object timeout) except -2:
    """Return timeout in seconds, or -1 for None (no limit)."""
    if timeout is None:
        return -1
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be seconds or None, not {type(timeout).__name__}")
    try:
        seconds = float(timeout)
    except OverflowError:
        seconds = -1
    if not seconds >= 0:
        raise errors.ArgumentError(
            f"timeout is {timeout:.6g}; it must be 0 or more seconds, or None"
            if isinstance(timeout, float) else "timeout must be 0 or more seconds, or None")
    return seconds


cdef double read_deadline(object timeout) except -2:
    """Return the moment at which so many seconds are over, on the clock of now()."""
    cdef double seconds = read_timeout(timeout)
    return now() + seconds if seconds >= 0 else FOREVER
