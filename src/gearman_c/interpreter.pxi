# The module is for the main interpreter of a process only. Its state is that of the process, and a
# callback of libgearman takes the GIL by PyGILState_Ensure(), which always is the main one's.
#
# Cython refuses a second interpreter, so one that imported the module first would lock out the main
# one for good. It asks for the number of the interpreter before anything else of a module is made,
# and there the answer can be an exception.

cdef extern from *:
    """
    static int64_t main_interpreter_only(PyInterpreterState *current) {
        if (current != PyInterpreterState_Main()) {
            PyErr_SetString(
                PyExc_ImportError,
                "gearman_c works in the main interpreter only, and this is a sub-interpreter "
                "(under mod_wsgi, WSGIApplicationGroup %{GLOBAL} chooses the main one)");
            return -1;
        }
        return PyInterpreterState_GetID(current);
    }
    #define PyInterpreterState_GetID main_interpreter_only
    """
