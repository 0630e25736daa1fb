# What is set on each C client before it connects, and where libgearman's log lines go.

cdef extern from "<dlfcn.h>" nogil:
    ctypedef struct Dl_info:
        const char *dli_fname
    int dladdr(const void *, Dl_info *)

# logging's levels, by gearman_verbose_t.
cdef tuple LOG_LEVELS = (0, 50, 40, 20, 10, 5)


@cython.auto_pickle(False)
@cython.final
cdef class _Settings:
    """See ``_gearman.pxd``."""

    cdef _Settings altered(self, str name, object value):
        """Return settings like these, but for one."""
        cdef _Settings other = _Settings.__new__(_Settings)
        other.name_space = value if name == "namespace" else self.name_space
        other.identifier = value if name == "identifier" else self.identifier
        other.tls = value if name == "tls" else self.tls
        other.log, other.verbosity = value if name == "log" else (self.log, self.verbosity)
        other.c.name_space = text_or_null(other.name_space)
        other.c.identifier = text_or_null(other.identifier)
        if other.tls is not None:
            other.c.authority = text_or_null(other.tls[0])
            other.c.certificate = text_or_null(other.tls[1])
            other.c.key = text_or_null(other.tls[2])
        other.c.log_owner = NULL if other.log is None else <void *> other
        other.c.verbosity = <lib.gearman_verbose_t> other.verbosity
        return other


cdef lib.gearman_return_t configure(channel *c) noexcept nogil:
    """Tell a fresh C client, which has no server yet, what the Client was told."""
    cdef lib.gearman_return_t rc = lib.GEARMAN_SUCCESS
    cdef const settings *s = c.settings
    if s.name_space != NULL:
        lib.gearman_client_set_namespace(c.client, s.name_space, strlen(s.name_space))
    if s.identifier != NULL:
        rc = lib.gearman_client_set_identifier(c.client, s.identifier, strlen(s.identifier))
    if s.certificate != NULL:
        lib.gearman_client_set_ssl(c.client, True, s.authority, s.certificate, s.key)
    return rc


cdef void start_log(channel *c, lib.gearman_return_t rc) noexcept nogil:
    """Log from now on, beginning with rc, by which the connecting has just ended.

    Not while ``connecting`` is locked: what is given the line may connect, too.
    """
    cdef const settings *s = c.settings
    if s.log_owner == NULL:
        return
    if rc != lib.GEARMAN_SUCCESS and rc != lib.GEARMAN_IO_WAIT and \
            s.verbosity >= lib.GEARMAN_VERBOSE_ERROR:
        log_line(lib.gearman_client_error(c.client), lib.GEARMAN_VERBOSE_ERROR, s.log_owner)
    lib.gearman_client_set_log_fn(c.client, log_line, s.log_owner, s.verbosity)


cdef void log_line(const char *line, lib.gearman_verbose_t verbosity,
                   void *owner) noexcept with gil:
    """Runs inside libgearman's calls; what the user's function raises cannot leave from here."""
    cdef _Settings settings = <_Settings> owner
    level = LOG_LEVELS[verbosity] if 0 <= <int> verbosity < len(LOG_LEVELS) else 5
    try:
        settings.log(level, line.decode("utf-8", "replace") if line != NULL else "")
    except BaseException as error:
        if settings.log_error is None:
            settings.log_error = error


cdef int raise_log_error(_Settings settings) except -1:
    """Raise what the user's log function raised, once."""
    if settings.log_error is not None:
        error, settings.log_error = settings.log_error, None
        raise error
    return 0


cdef tuple read_log(object target, object level):
    """Return the function that is given the lines, and the verbosity that libgearman knows."""
    cdef int verbosity = 0
    if isinstance(level, bool) or not isinstance(level, int):
        raise TypeError(f"level must be one of logging's levels, not {type(level).__name__}")
    if target is not None and not callable(target):
        if not callable(getattr(target, "log", None)):
            raise TypeError("a log is a callable, a logging.Logger or None, not "
                            f"{type(target).__name__}")
        target = target.log
    for index in range(len(LOG_LEVELS)):
        if LOG_LEVELS[index] >= level and index:
            verbosity = index
    return target, verbosity


cdef const char *text_or_null(bytes text):
    return NULL if text is None else PyBytes_AS_STRING(text)


cdef bytes encode_namespace(object text):
    """Return a namespace: libgearman puts it before each function name."""
    if text is None:
        return None
    return encode_name(text, "the namespace", 128)


cdef bytes encode_identifier(object text):
    """Return a name for the connection; gearmand cuts lines and columns at white space."""
    cdef bytes encoded
    if text is None:
        return None
    encoded = encode_name(text, "the identifier", 64)
    if not encoded.isascii() or not encoded.decode().isprintable() or b" " in encoded:
        raise errors.ArgumentError("the identifier may have visible ASCII characters only")
    return encoded


cdef list read_tls(object tls):
    """Check the files of a TLS set-up: libgearman up to 2.0.0 aborts the process on bad ones."""
    cdef list paths = []
    if tls is None:
        return None
    if not issubclass(type(tls), TLS):      # a mock may claim to be one
        raise TypeError(f"tls must be a gearman_c.TLS or None, not {type(tls).__name__}")
    if tls.ca is None or tls.certificate is None or tls.key is None:
        raise errors.ArgumentError(f"{tls!r}: libgearman needs all three files")
    for path in [tls.ca, tls.certificate, tls.key]:
        path = os.fspath(path)      # an int would be taken for a descriptor, and closed
        try:
            with io.open(path, "rb") as file:
                content = file.read(1 << 20)
        except OSError as error:
            raise errors.ArgumentError(f"TLS: {path} cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise errors.ArgumentError(f"TLS: {path!r} cannot be a path ({error})") from error
        if not holds(content, b"-----BEGIN "):
            raise errors.ArgumentError(f"TLS: {path} holds nothing in PEM format")
        paths.append(os.fsencode(path))
    if not has_tls():
        raise errors.NotSupportedError(
            f"the libgearman that is loaded ({lib.gearman_version().decode()}) was built without "
            "TLS, as Debian's is; 1.1.18 and newer have it if built with --enable-ssl")
    return paths


cdef bint holds(bytes content, bytes part) except -1:
    return part in content


cdef bint has_tls() except -1:
    """Whether the loaded libgearman can encrypt: one that cannot would talk in the clear."""
    cdef Dl_info info
    if not dladdr(<void *> lib.gearman_version, &info) or info.dli_fname == NULL:
        return False
    with io.open(os.fsdecode(<bytes> info.dli_fname), "rb") as file:
        return holds(file.read(), b"SSL_CTX_new")
