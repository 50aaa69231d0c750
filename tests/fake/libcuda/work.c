/* What streams do: copies, and work that a test gives them in the place of kernels. */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host.h"

op *new_op(enum kind kind) {
    op *made = calloc(1, sizeof *made);
    made->kind = kind;
    return made;
}

bool touch(op *touching, uint64_t start, uint64_t size, bool writes) {
    if ((size_t)touching->count == sizeof touching->spans / sizeof *touching->spans) return false;
    touching->spans[touching->count++] = (span){start, start + size, writes};
    return true;
}

void drop_op(op *gone) {
    if (gone->event) drop_event(gone->event);
    if (gone->exec) drop_exec(gone->exec);
    free(gone->given);
    free(gone);
}

/* Of a captured one, which has neither event nor graph. */
op *copy_op(const op *of) {
    op *made = malloc(sizeof *made);
    *made = *of;
    if (!of->given) return made;
    made->given = malloc(of->size + 1);
    memcpy(made->given, of->given, of->size);
    if (of->kind == COPY) made->source = (uint64_t)made->given;
    return made;
}

static void fill(const op *filling) {
    unsigned char *target = (unsigned char *)filling->target;
    for (uint64_t i = 0; i < filling->size; i += filling->width)
        memcpy(target + i, &filling->value, filling->width);
}

/* A graph: its nodes in any order that they allow. */
static void launch(CUcontext context, const op *launched, uint64_t turn) {
    CUgraphExec exec = launched->exec;
    bool *done = calloc(exec->count + 1, sizeof *done);
    for (int left = exec->count; left && !context->dead && !context->error; left--) {
        int chosen = -1, ready = 0;
        for (int i = 0; i < exec->count; i++) {
            bool waits = done[i];
            for (int k = 0; k < exec->nodes[i].count; k++) waits |= !done[exec->nodes[i].behind[k]];
            if (!waits && draw(turn + 1000003, left * 64 + i) % ++ready == 0) chosen = i;
        }
        pause_work(turn + 7, left);
        perform(context, exec->nodes[chosen].op, turn);
        done[chosen] = true;
    }
    free(done);
}

/* Do it. What fails while it runs, breaks the context. Called with the lock, which is let go. */
void perform(CUcontext context, const op *op, uint64_t turn) {
    if (op->kind == RECORD) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        op->event->seconds = time.tv_sec + time.tv_nsec * 1e-9;
        if (op->event->done < op->version) op->event->done = op->version;
        return;
    }
    if (op->kind == WAIT) return;
    if (op->kind == LAUNCH) {
        launch(context, op, turn);
        return;
    }
    CUresult failed = failing("work");
    if (!failed && !usable(op, "it ran")) failed = CUDA_ERROR_ILLEGAL_ADDRESS;
    if (failed) {
        context->error = failed;
        pthread_cond_broadcast(&changed);
        return;
    }
    pthread_mutex_unlock(&lock);
    if (op->kind == COPY) memmove((void *)op->target, (void *)op->source, op->size);
    if (op->kind == FILL) fill(op);
    if (op->kind == CALL) op->call(op->argument);
    if (op->kind == WORK) op->work(op->given, op->size);
    pthread_mutex_lock(&lock);
}

/* For tests: work for a stream, which reads and writes memory of the device, in place of a kernel.
 *
 * `spans` has three numbers for each piece: address, bytes, and whether it is written. */
int host_cuda_work(CUstream handle, work_function *work, const void *given, size_t size,
                   const uint64_t *spans, int count) {
    ENTER(LIVING);
    CUstream stream;
    TRY(stream_of(handle, &stream));
    op *made = new_op(WORK);
    made->work = work;
    made->given = malloc(size + 1);
    made->size = size;
    memcpy(made->given, given, size);
    for (int i = 0; i < count; i++) touch(made, spans[3 * i], spans[3 * i + 1], spans[3 * i + 2]);
    if (!usable(made, "work was queued")) {
        drop_op(made);
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }
    return enqueue(stream, made);
}

static CUresult copy(uint64_t target, bool to_device, uint64_t source, bool from_device,
                     uint64_t size, CUstream handle, bool waits) {
    CUstream stream;
    TRY(stream_of(handle, &stream));
    if (waits) TRY(refuse_unsafe());
    if (!size) return CUDA_SUCCESS;
    op *made = new_op(COPY);
    made->target = target;
    made->source = source;
    made->size = size;
    made->device_target = to_device;
    made->device_source = from_device;
    touch(made, target, size, true);
    touch(made, source, size, false);
    if (!usable(made, "a copy was queued")) {
        drop_op(made);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (!from_device && !block_of(source, size)) { /* pageable: is read before the call returns */
        made->given = malloc(size + 1);
        memcpy(made->given, (void *)source, size);
        made->source = (uint64_t)made->given;
        made->count = 1;
    }
    if (!to_device && !block_of(target, size) && !stream->capture) waits = true;
    TRY(enqueue(stream, made));
    return waits ? wait_for_stream(stream) : CUDA_SUCCESS;
}

static bool on_device(CUdeviceptr address) {
    block *found = block_of(address, 1);
    return found && found->object.type == MEMORY;
}

CUresult CUDAAPI cuMemcpyHtoD(CUdeviceptr target, const void *source, size_t size) {
    ENTER(LIVING);
    return copy(target, true, (uint64_t)source, false, size, NULL, true);
}

CUresult CUDAAPI cuMemcpyDtoH(void *target, CUdeviceptr source, size_t size) {
    ENTER(LIVING);
    return copy((uint64_t)target, false, source, true, size, NULL, true);
}

CUresult CUDAAPI cuMemcpyDtoD(CUdeviceptr target, CUdeviceptr source, size_t size) {
    ENTER(LIVING);
    return copy(target, true, source, true, size, NULL, true);
}

CUresult CUDAAPI cuMemcpy(CUdeviceptr target, CUdeviceptr source, size_t size) {
    ENTER(LIVING);
    return copy(target, on_device(target), source, on_device(source), size, NULL, true);
}

CUresult CUDAAPI cuMemcpyHtoDAsync(CUdeviceptr target, const void *source, size_t size,
                                   CUstream stream) {
    ENTER(LIVING);
    return copy(target, true, (uint64_t)source, false, size, stream, false);
}

CUresult CUDAAPI cuMemcpyDtoHAsync(void *target, CUdeviceptr source, size_t size,
                                   CUstream stream) {
    ENTER(LIVING);
    return copy((uint64_t)target, false, source, true, size, stream, false);
}

CUresult CUDAAPI cuMemcpyDtoDAsync(CUdeviceptr target, CUdeviceptr source, size_t size,
                                   CUstream stream) {
    ENTER(LIVING);
    return copy(target, true, source, true, size, stream, false);
}

static CUresult set(CUdeviceptr target, unsigned value, unsigned width, size_t count,
                    CUstream handle, bool waits) {
    CUstream stream;
    TRY(stream_of(handle, &stream));
    if (waits) TRY(refuse_unsafe());
    op *made = new_op(FILL);
    made->target = target;
    made->value = value;
    made->width = width;
    made->size = count * width;
    touch(made, target, made->size, true);
    if (!usable(made, "a fill was queued")) {
        drop_op(made);
        return CUDA_ERROR_INVALID_VALUE;
    }
    TRY(enqueue(stream, made));
    return waits ? wait_for_stream(stream) : CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemsetD8(CUdeviceptr target, unsigned char value, size_t count) {
    ENTER(LIVING);
    return set(target, value, 1, count, NULL, true);
}

CUresult CUDAAPI cuMemsetD32(CUdeviceptr target, unsigned value, size_t count) {
    ENTER(LIVING);
    return set(target, value, 4, count, NULL, true);
}

CUresult CUDAAPI cuMemsetD32Async(CUdeviceptr target, unsigned value, size_t count,
                                  CUstream stream) {
    ENTER(LIVING);
    return set(target, value, 4, count, stream, false);
}
