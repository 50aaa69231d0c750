/* Events. An event counts how often it was recorded: who waits, waits for the last record. */

#include <stdlib.h>
#include <string.h>

#include "host.h"

CUevent make_event(unsigned flags) {
    CUevent made = calloc(1, sizeof *made);
    made->flags = flags;
    made->references = 1;
    return made;
}

void drop_event(CUevent event) {
    if (--event->references) return;
    free(event->behind);
    free(event);
}

static op *about(enum kind kind, CUevent event) {
    op *made = new_op(kind);
    made->event = event;
    made->version = event->recorded;
    event->references++;
    return made;
}

CUresult record_event(CUevent event, CUstream stream) {
    if (stream->capture) return capture_record(event, stream);
    event->capture = 0;
    event->recorded++;
    return enqueue(stream, about(RECORD, event));
}

CUresult wait_event(CUstream stream, CUevent event) {
    if (stream->capture || capturing(event->capture)) return capture_wait(stream, event);
    if (event->capture) return CUDA_ERROR_CAPTURED_EVENT;
    if (!event->recorded) return CUDA_SUCCESS; /* orders nothing */
    return enqueue(stream, about(WAIT, event));
}

/* Let what is queued next on a stream wait for what is queued on another. */
void order(CUstream after, CUstream before) {
    CUevent event = make_event(CU_EVENT_DISABLE_TIMING);
    record_event(event, before);
    wait_event(after, event);
    drop_event(event);
}

static CUresult check(CUevent event) {
    if (known(event, EVENT)) return CUDA_SUCCESS;
    violation("an event that is not there");
    return CUDA_ERROR_INVALID_HANDLE;
}

CUresult CUDAAPI cuEventCreate(CUevent *made, unsigned flags) {
    ENTER(LIVING);
    *made = make_event(flags);
    add_object(&(*made)->object, EVENT, current_context());
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuEventDestroy(CUevent event) {
    ENTER(LIVING);
    TRY(check(event));
    drop_object(&event->object);
    drop_event(event); /* what is queued with it keeps it */
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuEventRecord(CUevent event, CUstream handle) {
    ENTER(LIVING);
    CUstream stream;
    TRY(check(event));
    TRY(stream_of(handle, &stream));
    if (event->object.context != stream->object.context) return CUDA_ERROR_INVALID_HANDLE;
    return record_event(event, stream);
}

CUresult CUDAAPI cuStreamWaitEvent(CUstream handle, CUevent event, unsigned flags) {
    (void)flags;
    ENTER(LIVING);
    CUstream stream;
    TRY(check(event));
    TRY(stream_of(handle, &stream));
    return wait_event(stream, event);
}

CUresult CUDAAPI cuEventQuery(CUevent event) {
    ENTER(LIVING);
    TRY(check(event));
    if (event->capture) return CUDA_ERROR_CAPTURED_EVENT;
    return event->done < event->recorded ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult CUDAAPI cuEventSynchronize(CUevent event) {
    ENTER(LIVING);
    TRY(check(event));
    if (event->capture) return CUDA_ERROR_CAPTURED_EVENT;
    CUcontext context = event->object.context;
    uint64_t version = event->recorded;
    while (event->done < version && !context->error && !lost_device()) {
        pthread_cond_wait(&changed, &lock);
        if (!known(context, CONTEXT)) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
        TRY(check(event));
    }
    return lost_device() ? lost_device() : context->error;
}

CUresult CUDAAPI cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    ENTER(LIVING);
    TRY(check(start));
    TRY(check(end));
    if ((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING || !start->recorded ||
        !end->recorded)
        return CUDA_ERROR_INVALID_HANDLE;
    if (start->done < start->recorded || end->done < end->recorded) return CUDA_ERROR_NOT_READY;
    *milliseconds = (float)((end->seconds - start->seconds) * 1e3);
    return CUDA_SUCCESS;
}
