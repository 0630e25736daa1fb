# The C API of libgearman as the header declares it: same names, same order, nothing else.
# Every function is noexcept nogil: libgearman knows nothing of Python.

from libc.stdint cimport uint16_t, uint32_t

cdef extern from "libgearman/gearman.h" nogil:

    # libgearman-1.0/limits.h, version.h
    enum:
        GEARMAN_FUNCTION_MAX_SIZE
        GEARMAN_JOB_HANDLE_SIZE
        GEARMAN_MAX_UNIQUE_SIZE
        GEARMAN_DEFAULT_SOCKET_SEND_SIZE
        GEARMAN_DEFAULT_SOCKET_TIMEOUT

    # libgearman-1.0/return.h
    ctypedef enum gearman_return_t:
        GEARMAN_SUCCESS
        GEARMAN_IO_WAIT
        GEARMAN_INVALID_MAGIC
        GEARMAN_UNEXPECTED_PACKET
        GEARMAN_GETADDRINFO
        GEARMAN_LOST_CONNECTION
        GEARMAN_COULD_NOT_CONNECT
        GEARMAN_NO_JOBS
        GEARMAN_NO_ACTIVE_FDS
        GEARMAN_SHUTDOWN_GRACEFUL
        GEARMAN_MEMORY_ALLOCATION_FAILURE
        GEARMAN_JOB_QUEUE_FULL
        GEARMAN_SERVER_ERROR
        GEARMAN_QUEUE_ERROR
        GEARMAN_TIMEOUT
        GEARMAN_ARGUMENT_TOO_LARGE
        GEARMAN_INVALID_ARGUMENT
        GEARMAN_INVALID_SERVER_OPTION
        GEARMAN_WORK_EXCEPTION
        GEARMAN_WORK_FAIL
        GEARMAN_MAX_RETURN

    # libgearman-1.0/constants.h
    ctypedef enum gearman_verbose_t:
        GEARMAN_VERBOSE_ERROR
    ctypedef enum gearman_worker_options_t:
        GEARMAN_WORKER_NON_BLOCKING
        GEARMAN_WORKER_GRAB_UNIQ
    ctypedef enum gearman_client_options_t:
        GEARMAN_CLIENT_NON_BLOCKING
        GEARMAN_CLIENT_NO_NEW
        GEARMAN_CLIENT_FREE_TASKS

    ctypedef struct gearman_client_st:
        pass
    ctypedef void gearman_log_fn(
        const char *line, gearman_verbose_t verbose, void *context) noexcept
    ctypedef struct gearman_task_st:
        void *_impl
    ctypedef struct gearman_worker_st:
        pass
    ctypedef struct gearman_job_st:
        pass

    # libgearman-1.0/client_callbacks.h, client.h
    ctypedef void *gearman_malloc_fn(size_t size, void *context) noexcept
    ctypedef gearman_return_t gearman_created_fn(gearman_task_st *task) noexcept
    ctypedef gearman_return_t gearman_data_fn(gearman_task_st *task) noexcept
    ctypedef gearman_return_t gearman_warning_fn(gearman_task_st *task) noexcept
    ctypedef gearman_return_t gearman_universal_status_fn(gearman_task_st *task) noexcept
    ctypedef gearman_return_t gearman_complete_fn(gearman_task_st *task) noexcept
    ctypedef gearman_return_t gearman_exception_fn(gearman_task_st *task) noexcept
    ctypedef gearman_return_t gearman_fail_fn(gearman_task_st *task) noexcept
    ctypedef void gearman_task_context_free_fn(gearman_task_st *task, void *context) noexcept

    # libgearman-1.0/interface/status.h, status.h
    struct gearman_status_v1_t:
        bint is_known
        bint is_running
        uint32_t numerator
        uint32_t denominator
        uint32_t client_count
    union gearman_status_union "union { struct gearman_status_v1_t mesg_; }":
        gearman_status_v1_t mesg_
    ctypedef struct gearman_status_t "struct gearman_status_t":
        gearman_status_union status_
    gearman_return_t gearman_status_return(gearman_status_t status) noexcept

    # libgearman-1.0/kill.h, signal.h
    ctypedef enum gearman_signal_t:
        GEARMAN_INTERRUPT
    ctypedef struct gearman_id_t:
        int read_fd
        int write_fd
    gearman_return_t gearman_kill(const gearman_id_t handle, const gearman_signal_t) noexcept

    # libgearman-1.0/util.h
    const char *gearman_version() noexcept

    # libgearman-1.0/task.h
    void gearman_task_free(gearman_task_st *task) noexcept
    void gearman_task_set_context(gearman_task_st *task, void *context) noexcept
    void *gearman_task_context(const gearman_task_st *task) noexcept
    const char *gearman_task_unique(const gearman_task_st *task) noexcept
    const char *gearman_task_job_handle(const gearman_task_st *task) noexcept
    bint gearman_task_is_known(const gearman_task_st *task) noexcept
    bint gearman_task_is_running(const gearman_task_st *task) noexcept
    uint32_t gearman_task_numerator(const gearman_task_st *task) noexcept
    uint32_t gearman_task_denominator(const gearman_task_st *task) noexcept
    void *gearman_task_take_data(gearman_task_st *task, size_t *data_size) noexcept
    ctypedef struct gearman_result_st:
        pass
    const char *gearman_result_value(const gearman_result_st *self) noexcept
    size_t gearman_result_size(const gearman_result_st *self) noexcept
    gearman_result_st *gearman_task_result(gearman_task_st *task) noexcept
    gearman_return_t gearman_task_return(const gearman_task_st *task) noexcept
    const char *gearman_task_strstate(const gearman_task_st *task) noexcept

    # libgearman-1.0/client.h
    gearman_client_st *gearman_client_create(gearman_client_st *client) noexcept
    gearman_client_st *gearman_client_clone(
        gearman_client_st *client, const gearman_client_st *source) noexcept
    void gearman_client_free(gearman_client_st *client) noexcept
    gearman_return_t gearman_client_error_code(const gearman_client_st *client) noexcept
    const char *gearman_client_error(const gearman_client_st *client) noexcept
    void gearman_client_add_options(
        gearman_client_st *client, gearman_client_options_t options) noexcept
    void gearman_client_remove_options(
        gearman_client_st *client, gearman_client_options_t options) noexcept
    bint gearman_client_has_option(
        gearman_client_st *client, gearman_client_options_t option) noexcept
    gearman_client_options_t gearman_client_options(const gearman_client_st *client) noexcept
    void gearman_client_set_ssl(
        gearman_client_st *client, bint ssl, const char *ca_file, const char *certificate,
        const char *key_file) noexcept
    void gearman_client_set_log_fn(
        gearman_client_st *client, gearman_log_fn *function, void *context,
        gearman_verbose_t verbose) noexcept
    bint gearman_client_set_server_option(
        gearman_client_st *client, const char *option_arg, size_t option_arg_size) noexcept
    void gearman_client_set_namespace(
        gearman_client_st *client, const char *namespace_key, size_t namespace_key_size) noexcept
    gearman_return_t gearman_client_set_identifier(
        gearman_client_st *client, const char *id, size_t id_size) noexcept
    gearman_return_t gearman_client_cancel_job(
        gearman_client_st *client, char *job_handle) noexcept
    gearman_status_t gearman_client_unique_status(
        gearman_client_st *client, const char *unique, size_t unique_length) noexcept
    void gearman_client_set_timeout(gearman_client_st *client, int timeout) noexcept
    gearman_return_t gearman_client_add_server(
        gearman_client_st *client, const char *host, uint16_t port) noexcept
    void gearman_client_remove_servers(gearman_client_st *client) noexcept
    gearman_return_t gearman_client_wait(gearman_client_st *client) noexcept
    gearman_return_t gearman_client_echo(
        gearman_client_st *client, const void *workload, size_t workload_size) noexcept
    void gearman_client_set_workload_malloc_fn(
        gearman_client_st *client, gearman_malloc_fn *function, void *context) noexcept
    void gearman_client_set_task_context_free_fn(
        gearman_client_st *client, gearman_task_context_free_fn *function) noexcept
    gearman_task_st *gearman_client_add_task(
        gearman_client_st *client, gearman_task_st *task, void *context, const char *function_name,
        const char *unique, const void *workload, size_t workload_size,
        gearman_return_t *ret_ptr) noexcept
    gearman_task_st *gearman_client_add_task_high(
        gearman_client_st *client, gearman_task_st *task, void *context, const char *function_name,
        const char *unique, const void *workload, size_t workload_size,
        gearman_return_t *ret_ptr) noexcept
    gearman_task_st *gearman_client_add_task_low(
        gearman_client_st *client, gearman_task_st *task, void *context, const char *function_name,
        const char *unique, const void *workload, size_t workload_size,
        gearman_return_t *ret_ptr) noexcept
    void gearman_client_task_free_all(gearman_client_st *client) noexcept
    gearman_task_st *gearman_client_add_task_background(
        gearman_client_st *client, gearman_task_st *task, void *context, const char *function_name,
        const char *unique, const void *workload, size_t workload_size,
        gearman_return_t *ret_ptr) noexcept
    gearman_task_st *gearman_client_add_task_high_background(
        gearman_client_st *client, gearman_task_st *task, void *context, const char *function_name,
        const char *unique, const void *workload, size_t workload_size,
        gearman_return_t *ret_ptr) noexcept
    gearman_task_st *gearman_client_add_task_low_background(
        gearman_client_st *client, gearman_task_st *task, void *context, const char *function_name,
        const char *unique, const void *workload, size_t workload_size,
        gearman_return_t *ret_ptr) noexcept
    gearman_task_st *gearman_client_add_task_status(
        gearman_client_st *client, gearman_task_st *task, void *context, const char *job_handle,
        gearman_return_t *ret_ptr) noexcept
    void gearman_client_set_created_fn(
        gearman_client_st *client, gearman_created_fn *function) noexcept
    void gearman_client_set_data_fn(
        gearman_client_st *client, gearman_data_fn *function) noexcept
    void gearman_client_set_warning_fn(
        gearman_client_st *client, gearman_warning_fn *function) noexcept
    void gearman_client_set_status_fn(
        gearman_client_st *client, gearman_universal_status_fn *function) noexcept
    void gearman_client_set_complete_fn(
        gearman_client_st *client, gearman_complete_fn *function) noexcept
    void gearman_client_set_exception_fn(
        gearman_client_st *client, gearman_exception_fn *function) noexcept
    void gearman_client_set_fail_fn(
        gearman_client_st *client, gearman_fail_fn *function) noexcept
    gearman_task_st *gearman_client_add_task_status_by_unique(
        gearman_client_st *client, gearman_task_st *task, const char *unique,
        gearman_return_t *ret_ptr) noexcept
    gearman_return_t gearman_client_run_tasks(gearman_client_st *client) noexcept

    # libgearman-1.0/job.h
    void gearman_job_free(gearman_job_st *job) noexcept
    gearman_return_t gearman_job_send_data(
        gearman_job_st *job, const void *data, size_t data_size) noexcept
    gearman_return_t gearman_job_send_warning(
        gearman_job_st *job, const void *warning, size_t warning_size) noexcept
    gearman_return_t gearman_job_send_status(
        gearman_job_st *job, uint32_t numerator, uint32_t denominator) noexcept
    gearman_return_t gearman_job_send_complete(
        gearman_job_st *job, const void *result, size_t result_size) noexcept
    gearman_return_t gearman_job_send_exception(
        gearman_job_st *job, const void *exception, size_t exception_size) noexcept
    gearman_return_t gearman_job_send_fail(gearman_job_st *job) noexcept
    const char *gearman_job_handle(const gearman_job_st *job) noexcept
    const char *gearman_job_function_name(const gearman_job_st *job) noexcept
    const char *gearman_job_unique(const gearman_job_st *job) noexcept
    const void *gearman_job_workload(const gearman_job_st *job) noexcept
    size_t gearman_job_workload_size(const gearman_job_st *job) noexcept

    # libgearman-1.0/worker.h
    gearman_worker_st *gearman_worker_create(gearman_worker_st *worker) noexcept
    void gearman_worker_set_workload_malloc_fn(
        gearman_worker_st *worker, gearman_malloc_fn *function, void *context) noexcept
    gearman_worker_st *gearman_worker_clone(
        gearman_worker_st *worker, const gearman_worker_st *source) noexcept
    void gearman_worker_free(gearman_worker_st *worker) noexcept
    const char *gearman_worker_error(const gearman_worker_st *worker) noexcept
    gearman_worker_options_t gearman_worker_options(const gearman_worker_st *worker) noexcept
    void gearman_worker_add_options(
        gearman_worker_st *worker, gearman_worker_options_t options) noexcept
    void gearman_worker_set_log_fn(
        gearman_worker_st *worker, gearman_log_fn *function, void *context,
        gearman_verbose_t verbose) noexcept
    gearman_return_t gearman_worker_add_server(
        gearman_worker_st *worker, const char *host, uint16_t port) noexcept
    void gearman_worker_remove_servers(gearman_worker_st *worker) noexcept
    gearman_return_t gearman_worker_wait(gearman_worker_st *worker) noexcept
    gearman_return_t gearman_worker_register(
        gearman_worker_st *worker, const char *function_name, uint32_t timeout) noexcept
    gearman_job_st *gearman_worker_grab_job(
        gearman_worker_st *worker, gearman_job_st *job, gearman_return_t *ret_ptr) noexcept
    void gearman_worker_set_namespace(
        gearman_worker_st *self, const char *namespace_key, size_t namespace_key_size) noexcept
    gearman_id_t gearman_worker_id(gearman_worker_st *self) noexcept
    gearman_return_t gearman_worker_set_identifier(
        gearman_worker_st *worker, const char *id, size_t id_size) noexcept
