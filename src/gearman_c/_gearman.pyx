# cython: language_level=3
"""The extension: libgearman's client and tasks as Python objects.

Read ``_gearman.pxd`` first: it says who owns what. The fragments below build on each other in
this order; each is one idea.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.exc cimport PyErr_CheckSignals
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyCallable_Check
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.long cimport PyLong_AsDouble, PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.ref cimport PyObject
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.unicode cimport PyUnicode_FromObject
from libc.math cimport NAN
from libc.errno cimport EAGAIN, ENOTCONN, errno
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free, malloc, strtoul
from libc.string cimport memchr, memcmp, memcpy, memset, strcmp, strlen, strncmp

import datetime
import io
import logging
import os
import random
import re
import struct
import threading
import time
import types
import warnings
from . import errors
from .enums import ClientOption, Priority, ReturnCode, TaskState, WorkerOption
from .settings import TLS, JobStatus

include "interpreter.pxi"
include "fork.pxi"
include "lock.pxi"
include "check.pxi"
include "keys.pxi"
include "handles.pxi"
include "memory.pxi"
include "arguments.pxi"
include "task.pxi"
include "socket.pxi"
include "sieve.pxi"
include "events.pxi"
include "settings.pxi"
include "connector.pxi"
include "reconfiguring.pxi"
include "shortcut.pxi"
include "channel.pxi"
include "pump.pxi"
include "results.pxi"
include "queue.pxi"
include "servers.pxi"
include "connect.pxi"
include "blocking.pxi"
include "refusals.pxi"
include "run.pxi"
include "questions.pxi"
include "epoch.pxi"
include "partition.pxi"
include "jobs.pxi"
include "closing.pxi"
include "adding.pxi"
include "callbacks.pxi"
include "client.pxi"
include "submission.pxi"
include "aio.pxi"
include "station.pxi"
include "grab.pxi"
include "outage.pxi"
include "crew.pxi"
include "job.pxi"
include "work.pxi"
include "worker.pxi"


def libgearman_version() -> str:
    """Return the version of the libgearman that is loaded, for instance ``"1.1.20"``.

    Wraps ``gearman_version()``.
    """
    return lib.gearman_version().decode()


def _open_channels() -> int:
    """Return how many C clients this process has made and not freed."""
    return open_channels


def _has_shortcut() -> bool:
    """Return whether the way to an acknowledged task is short, however many came later."""
    return has_shortcut or not newest_first
