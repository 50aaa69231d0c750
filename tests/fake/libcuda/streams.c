/* Streams: each has a thread that does what was queued on it, one after the other. */

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

#define SAME_PACE 8 /* pieces of work, after which a stream may become slow or fast */

static uint64_t the_seed, numbers;
static unsigned longest; /* microseconds */

void set_delays(uint64_t seed, unsigned microseconds) {
    the_seed = seed;
    longest = microseconds;
    numbers = 0; /* so that a seed says the same of the streams that are made next */
}

/* Any of the numbers that the seed has for these two (splitmix64). */
uint64_t draw(uint64_t a, uint64_t b) {
    uint64_t z = the_seed * 0x9E3779B97F4A7C15u + a * 0xBF58476D1CE4E5B9u + b;
    for (int i = 0; i < 3; i++) {
        z += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        z ^= z >> 31;
    }
    return z;
}

/* Whole streams are slow for a while, for single late pieces of work would hide behind others. */
void pause_work(uint64_t stream, uint64_t turn) {
    static const unsigned paces[] = {0, 16, 1};
    unsigned pace = paces[draw(2 * stream, turn / SAME_PACE) % 3];
    if (!longest || !pace) return;
    unsigned wait = draw(2 * stream + 1, turn) % (longest / pace + 1);
    pthread_mutex_unlock(&lock);
    if (wait) usleep(wait);
    pthread_mutex_lock(&lock);
}

static void forget_ops(CUstream stream) {
    for (op *each = stream->first, *next; each; each = next) {
        next = each->next;
        drop_op(each);
        stream->done++;
    }
    stream->first = stream->last = NULL;
    pthread_cond_broadcast(&changed);
}

static bool ready(const op *op) {
    return op->kind != WAIT || op->event->done >= op->version;
}

static void *serve(void *given) {
    CUstream stream = given;
    CUcontext context = stream->object.context;
    pthread_mutex_lock(&lock);
    while (!context->dead && !(stream->closed && !stream->first)) {
        op *next = stream->first;
        if (next && (context->error || lost_device())) {
            forget_ops(stream);
        } else if (!next || !ready(next)) {
            pthread_cond_wait(&changed, &lock);
        } else {
            stream->first = next->next;
            if (!stream->first) stream->last = NULL;
            next->next = NULL;
            stream->running = next;
            pause_work(stream->number, stream->done);
            if (!context->dead && !context->error && !lost_device())
                perform(context, next, stream->done);
            stream->running = NULL;
            stream->done++;
            drop_op(next);
            pthread_cond_broadcast(&changed);
        }
    }
    forget_ops(stream);
    for (CUstream *at = &context->streams; *at; at = &(*at)->next)
        if (*at == stream) {
            *at = stream->next;
            break;
        }
    context->threads--;
    release_context(context);
    free(stream->behind);
    free(stream);
    pthread_mutex_unlock(&lock);
    return NULL;
}

CUstream make_stream(CUcontext context, unsigned flags, int priority) {
    CUstream made = calloc(1, sizeof *made);
    made->flags = flags;
    made->priority = priority;
    made->number = numbers++;
    made->next = context->streams;
    context->streams = made;
    context->threads++;
    add_object(&made->object, STREAM, context);
    pthread_t thread;
    pthread_create(&thread, NULL, serve, made);
    pthread_detach(thread);
    return made;
}

/* What is queued is still done; the thread frees the stream. */
void close_stream(CUstream stream) {
    if (stream->closed) return;
    drop_object(&stream->object);
    stream->closed = true;
    pthread_cond_broadcast(&changed);
}

CUresult stream_of(CUstream handle, CUstream *stream) {
    CUcontext context = current_context();
    if (!handle || handle == CU_STREAM_LEGACY) {
        *stream = context->null;
        return CUDA_SUCCESS;
    }
    if (handle == CU_STREAM_PER_THREAD) return CUDA_ERROR_NOT_SUPPORTED;
    if (!known(handle, STREAM)) {
        violation("a stream that is not there");
        return CUDA_ERROR_INVALID_HANDLE;
    }
    if (handle->object.context != context) {
        violation("a stream of another context than the current one");
        return CUDA_ERROR_INVALID_HANDLE;
    }
    *stream = handle;
    return CUDA_SUCCESS;
}

/* Takes the operation, whatever becomes of it. */
CUresult enqueue(CUstream stream, op *queued) {
    if (stream->capture) return capture_op(stream, queued);
    CUcontext context = stream->object.context;
    bool internal = queued->kind == RECORD || queued->kind == WAIT;
    if (!internal && stream == context->null) { /* the default stream and blocking ones take turns */
        for (CUstream each = context->streams; each; each = each->next)
            if (each != stream && each->flags == CU_STREAM_DEFAULT && each->done < each->queued)
                order(stream, each);
    } else if (!internal && stream->flags == CU_STREAM_DEFAULT &&
               context->null->done < context->null->queued) {
        order(stream, context->null);
    }
    queued->next = NULL;
    if (stream->last) stream->last->next = queued;
    else stream->first = queued;
    stream->last = queued;
    stream->queued++;
    pthread_cond_broadcast(&changed);
    return CUDA_SUCCESS;
}

CUresult wait_for_stream(CUstream stream) {
    CUcontext context = stream->object.context;
    uint64_t target = stream->queued;
    while (stream->done < target && !context->error && !lost_device()) {
        pthread_cond_wait(&changed, &lock);
        if (!known(context, CONTEXT)) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
        if (!known(stream, STREAM)) return CUDA_ERROR_INVALID_HANDLE;
    }
    return lost_device() ? lost_device() : context->error;
}

static CUresult create(CUstream *made, unsigned flags, int priority) {
    if (flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    *made = make_stream(current_context(), flags, priority);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamCreate(CUstream *made, unsigned flags) {
    ENTER(LIVING);
    return create(made, flags, 0);
}

CUresult CUDAAPI cuStreamCreateWithPriority(CUstream *made, unsigned flags, int priority) {
    ENTER(LIVING);
    return create(made, flags, priority);
}

CUresult CUDAAPI cuStreamDestroy(CUstream handle) {
    ENTER(LIVING);
    CUstream stream;
    TRY(stream_of(handle, &stream));
    if (stream == current_context()->null) return CUDA_ERROR_INVALID_HANDLE;
    close_stream(stream);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamSynchronize(CUstream handle) {
    ENTER(LIVING);
    CUstream stream;
    TRY(stream_of(handle, &stream));
    TRY(refuse_in_capture(stream));
    return wait_for_stream(stream);
}

CUresult CUDAAPI cuStreamQuery(CUstream handle) {
    ENTER(LIVING);
    CUstream stream;
    TRY(stream_of(handle, &stream));
    TRY(refuse_in_capture(stream));
    return stream->done < stream->queued ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamGetFlags(CUstream handle, unsigned *flags) {
    ENTER(LIVING);
    CUstream stream;
    TRY(stream_of(handle, &stream));
    *flags = stream->flags;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamGetCtx(CUstream handle, CUcontext *context) {
    ENTER(LIVING);
    CUstream stream;
    TRY(stream_of(handle, &stream));
    *context = stream->object.context;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuLaunchHostFunc(CUstream handle, CUhostFn call, void *argument) {
    ENTER(LIVING);
    CUstream stream;
    TRY(stream_of(handle, &stream));
    op *made = new_op(CALL);
    made->call = call;
    made->argument = argument;
    return enqueue(stream, made);
}
