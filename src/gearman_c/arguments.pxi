# What the user gives, checked before C sees it. Names are C strings there: a NUL byte would cut
# them, and libgearman shortens a long unique key without a word.
#
# Of an instance of a subclass of str, bytes, int or float its value is taken, never what its own
# methods say: they may say one thing to the check and another to the call.

cdef inline str plain_text(object text):
    """Return the value of a str."""
    return <str> text if type(text) is str else PyUnicode_FromObject(text)


cdef double plain_number(object number) except? -1:
    """Return the value of an int or float; nan if it is beyond a double."""
    if isinstance(number, float):
        return PyFloat_AS_DOUBLE(number)
    try:
        return PyLong_AsDouble(number)
    except OverflowError:
        return NAN


cdef long long read_int(object number, str what, long long least, long long most) except? -1:
    """Return the value of an int that is neither less nor more than that."""
    cdef int overflow = 0
    cdef long long value
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{what} must be int, not {type(number).__name__}")
    value = PyLong_AsLongLongAndOverflow(number, &overflow)
    if overflow or not least <= value <= most:
        raise errors.ArgumentError(
            f"{what} is {'out of range' if overflow else value}; it must be {least} to {most}")
    return value


cdef bytes encode_text(object text, str what):
    if isinstance(text, str):
        try:
            return (<str> text).encode("utf-8")
        except UnicodeEncodeError as error:
            raise errors.ArgumentError(
                f"{what} has a lone surrogate at {error.start}, which UTF-8 cannot carry") from None
    if type(text) is bytes:
        return <bytes> text
    if isinstance(text, bytes):     # as it is, whatever the methods of a subclass say
        return PyBytes_AS_STRING(text)[:PyBytes_GET_SIZE(text)]
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
    check_size(PyBytes_GET_SIZE(frozen))
    return frozen


cdef inline int check_size(Py_ssize_t size) except -1:
    # The length of a packet is 32 bits; names and header are part of it.
    if size > <Py_ssize_t> 0xffffffff - 1024:
        raise errors.ArgumentError(
            f"the workload has {size} bytes; a Gearman packet carries less than 4 GiB")
    return 0


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
    check_size(view.nbytes)         # a broadcast array is larger than its memory
    return view.tobytes()


cdef double read_timeout(object timeout) except -2:
    """Return timeout in seconds, or -1 for None (no limit)."""
    if timeout is None:
        return -1
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be seconds or None, not {type(timeout).__name__}")
    cdef double seconds = plain_number(timeout)
    if not seconds >= 0:
        raise errors.ArgumentError(
            f"timeout is {seconds:.6g}; it must be 0 or more seconds, or None"
            if isinstance(timeout, float) else "timeout must be 0 or more seconds, or None")
    return seconds


cdef double FOREVER = 1e300        # a deadline that never comes


cdef double read_deadline(object timeout) except -2:
    """Return the moment at which so many seconds are over, on the clock of now()."""
    cdef double seconds = read_timeout(timeout)
    return now() + seconds if seconds >= 0 else FOREVER
