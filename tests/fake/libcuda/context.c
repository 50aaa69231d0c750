/* Devices, contexts, and the stack of contexts that each thread has. */

#include <stdlib.h>
#include <string.h>

#include "host.h"

#define DEPTH 64
#define NAME "host driver"
#define MULTIPROCESSORS 4

static _Thread_local CUcontext stack[DEPTH];
static _Thread_local int depth;
static CUcontext primary;
static unsigned primary_flags;

CUcontext current_context(void) { return depth ? stack[depth - 1] : NULL; }

static CUcontext make_context(unsigned flags) {
    CUcontext made = calloc(1, sizeof *made);
    made->flags = flags;
    add_object(&made->object, CONTEXT, made);
    made->null = make_stream(made, CU_STREAM_DEFAULT, 0);
    return made;
}

static CUresult push(CUcontext context) {
    if (depth == DEPTH) return CUDA_ERROR_INVALID_VALUE;
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

static void drop_of(object *each, void *context) {
    if (each->context != context) return;
    drop_object(each);
    if (each->type == EVENT) drop_event((CUevent)each);
    if (each->type == GRAPH) free_graph((CUgraph)each);
    if (each->type == EXEC) drop_exec((CUgraphExec)each);
}

/* Frees what was its; the structure itself once its streams have come to their end. */
static void destroy(CUcontext context) {
    context->dead = true;
    end_captures(context);
    each_object(EVENT, drop_of, context);
    each_object(GRAPH, drop_of, context);
    each_object(EXEC, drop_of, context);
    for (CUstream each = context->streams; each; each = each->next) close_stream(each);
    context->null = NULL;
    drop_object(&context->object);
    pthread_cond_broadcast(&changed);
    release_context(context);
}

void release_context(CUcontext context) {
    if (!context->dead || context->threads) return;
    free_blocks(context);
    free(context);
}

static bool busy(CUcontext context) {
    bool broken = context->error || lost_device();
    for (CUstream each = context->streams; each; each = each->next)
        if (each->running || (!broken && each->done < each->queued)) return true;
    return false;
}

/* Where it is broken, that is until what runs has come to its end. */
CUresult wait_for_context(CUcontext context) {
    while (busy(context)) {
        pthread_cond_wait(&changed, &lock);
        if (!known(context, CONTEXT)) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    }
    return lost_device() ? lost_device() : context->error;
}

static bool device_is(CUdevice device) { return device == 0; }

CUresult CUDAAPI cuDeviceGetCount(int *count) {
    ENTER(DRIVER);
    *count = getenv("HOST_CUDA_NO_DEVICE") ? 0 : 1;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGet(CUdevice *device, int ordinal) {
    ENTER(DRIVER);
    if (!device_is(ordinal) || getenv("HOST_CUDA_NO_DEVICE")) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetName(char *name, int size, CUdevice device) {
    ENTER(DRIVER);
    if (!device_is(device)) return CUDA_ERROR_INVALID_DEVICE;
    strncpy(name, NAME, size);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceTotalMem(size_t *bytes, CUdevice device) {
    ENTER(DRIVER);
    if (!device_is(device)) return CUDA_ERROR_INVALID_DEVICE;
    *bytes = capacity();
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetAttribute(int *value, CUdevice_attribute which, CUdevice device) {
    ENTER(DRIVER);
    if (!device_is(device)) return CUDA_ERROR_INVALID_DEVICE;
    switch ((int)which) {
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = MULTIPROCESSORS; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 8; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 9; break;
        case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
        case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
        case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT:
        case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS: *value = 1; break;
        case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
        case CU_DEVICE_ATTRIBUTE_INTEGRATED:
        case CU_DEVICE_ATTRIBUTE_COMPUTE_MODE:
        case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 0; break;
        default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

#if CUDA_VERSION >= 13000
CUresult CUDAAPI cuCtxCreate(CUcontext *made, CUctxCreateParams *parameters, unsigned flags,
                             CUdevice device) {
    if (parameters) return CUDA_ERROR_NOT_SUPPORTED;
#else
CUresult CUDAAPI cuCtxCreate(CUcontext *made, unsigned flags, CUdevice device) {
#endif
    ENTER(DRIVER);
    if (!device_is(device)) return CUDA_ERROR_INVALID_DEVICE;
    *made = make_context(flags);
    return push(*made);
}

CUresult CUDAAPI cuCtxDestroy(CUcontext context) {
    ENTER(DRIVER);
    if (!known(context, CONTEXT) || context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    if (current_context() == context) depth--;
    destroy(context);
    return CUDA_SUCCESS;
}

/* What cuCtxDestroy was before; PyCUDA calls it. */
CUresult CUDAAPI cuCtxDetach(CUcontext context) {
    ENTER(DRIVER);
    if (!known(context, CONTEXT) || context->primary || current_context() != context)
        return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    destroy(context);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxPushCurrent(CUcontext context) {
    ENTER(DRIVER);
    if (!known(context, CONTEXT)) return CUDA_ERROR_INVALID_CONTEXT;
    return push(context);
}

CUresult CUDAAPI cuCtxPopCurrent(CUcontext *popped) {
    ENTER(DRIVER);
    if (!depth) return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (popped) *popped = stack[depth];
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxSetCurrent(CUcontext context) {
    ENTER(DRIVER);
    if (context && !known(context, CONTEXT)) return CUDA_ERROR_INVALID_CONTEXT;
    if (depth) depth--;
    return context ? push(context) : CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxGetCurrent(CUcontext *context) {
    ENTER(DRIVER);
    *context = current_context();
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxGetDevice(CUdevice *device) {
    ENTER(LIVING);
    *device = 0;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxGetFlags(unsigned *flags) {
    ENTER(LIVING);
    *flags = current_context()->flags;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxGetApiVersion(CUcontext context, unsigned *version) {
    ENTER(DRIVER);
    if (context && !known(context, CONTEXT)) return CUDA_ERROR_INVALID_CONTEXT;
    *version = 3020;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxSynchronize(void) {
    ENTER(DRIVER);
    CUcontext context = current_context();
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!known(context, CONTEXT)) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    TRY(refuse_unsafe());
    return wait_for_context(context);
}

CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    ENTER(DRIVER);
    if (!device_is(device)) return CUDA_ERROR_INVALID_DEVICE;
    if (!primary) {
        primary = make_context(primary_flags);
        primary->primary = true;
    }
    primary->retained++;
    *context = primary;
    return CUDA_SUCCESS;
}

static void destroy_primary(void) {
    CUcontext gone = primary;
    primary = NULL;
    destroy(gone);
}

CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice device) {
    ENTER(DRIVER);
    if (!device_is(device)) return CUDA_ERROR_INVALID_DEVICE;
    if (!primary) return CUDA_ERROR_INVALID_CONTEXT;
    if (!--primary->retained) destroy_primary();
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDevicePrimaryCtxReset(CUdevice device) {
    ENTER(DRIVER);
    if (!device_is(device)) return CUDA_ERROR_INVALID_DEVICE;
    if (primary) destroy_primary();
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
    ENTER(DRIVER);
    if (!device_is(device)) return CUDA_ERROR_INVALID_DEVICE;
    *flags = primary_flags;
    *active = primary != NULL;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned flags) {
    ENTER(DRIVER);
    if (!device_is(device)) return CUDA_ERROR_INVALID_DEVICE;
    primary_flags = flags;
    return CUDA_SUCCESS;
}

static void destroy_any(object *each, void *with) {
    (void)with;
    destroy((CUcontext)each);
}

static void see_running(object *each, void *found) {
    for (CUstream at = ((CUcontext)each)->streams; at; at = at->next)
        if (at->running) *(bool *)found = true;
}

/* For tests: nothing is left of any context, and what ran has come to its end. */
void host_cuda_reset(void) {
    pthread_mutex_lock(&lock);
    for (;;) {
        bool running = false;
        each_object(CONTEXT, see_running, &running);
        if (!running) break;
        pthread_cond_wait(&changed, &lock);
    }
    primary = NULL;
    depth = 0;
    each_object(CONTEXT, destroy_any, NULL);
    pthread_mutex_unlock(&lock);
}
