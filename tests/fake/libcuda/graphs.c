/* Capture of streams into graphs, and graphs. */

#include <stdlib.h>
#include <string.h>

#include "host.h"

#define CAPTURES 64

typedef struct {
    uint64_t number; /* 0: unused */
    CUstream origin;
    CUgraph graph;
    CUstreamCaptureMode mode;
    pthread_t thread;
    bool invalid;
} capture;

static capture captures[CAPTURES];
static uint64_t last_number;

static capture *find_capture(uint64_t number) {
    for (int i = 0; number && i < CAPTURES; i++)
        if (captures[i].number == number) return &captures[i];
    return NULL;
}

bool capturing(uint64_t number) { return find_capture(number) != NULL; }

static CUresult spoil(uint64_t number, CUresult code) {
    find_capture(number)->invalid = true;
    return code;
}

CUresult refuse_in_capture(CUstream stream) {
    if (!stream->capture) return CUDA_SUCCESS;
    return spoil(stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
}

/* Calls that might make something wait that is captured. */
CUresult refuse_unsafe(void) {
    for (int i = 0; i < CAPTURES; i++)
        if (captures[i].number && (captures[i].mode == CU_STREAM_CAPTURE_MODE_GLOBAL ||
                                   (captures[i].mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL &&
                                    pthread_equal(captures[i].thread, pthread_self()))))
            return spoil(captures[i].number, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    return CUDA_SUCCESS;
}

static void set_behind(int **behind, int *count, const int *from, int size) {
    int *copied = malloc((size + 1) * sizeof *copied);
    if (size) memcpy(copied, from, size * sizeof *copied);
    free(*behind);
    *behind = copied;
    *count = size;
}

CUresult capture_op(CUstream stream, op *captured) {
    capture *into = find_capture(stream->capture);
    if (into->invalid || captured->kind == LAUNCH) {
        CUresult code = into->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
                                      : spoil(stream->capture, CUDA_ERROR_NOT_SUPPORTED);
        drop_op(captured);
        return code;
    }
    CUgraph graph = into->graph;
    graph->nodes = realloc(graph->nodes, (graph->count + 1) * sizeof *graph->nodes);
    node *added = &graph->nodes[graph->count];
    *added = (node){captured, NULL, 0};
    set_behind(&added->behind, &added->count, stream->behind, stream->behind_count);
    set_behind(&stream->behind, &stream->behind_count, &graph->count, 1);
    graph->count++;
    return CUDA_SUCCESS;
}

CUresult capture_record(CUevent event, CUstream stream) {
    if (find_capture(stream->capture)->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    event->capture = stream->capture;
    set_behind(&event->behind, &event->behind_count, stream->behind, stream->behind_count);
    return CUDA_SUCCESS;
}

CUresult capture_wait(CUstream stream, CUevent event) {
    if (!capturing(event->capture)) {
        return spoil(stream->capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    }
    if (find_capture(event->capture)->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (stream->capture && stream->capture != event->capture)
        return spoil(stream->capture, CUDA_ERROR_STREAM_CAPTURE_MERGE);
    if (!stream->capture) {
        stream->capture = event->capture;
        set_behind(&stream->behind, &stream->behind_count, event->behind, event->behind_count);
        return CUDA_SUCCESS;
    }
    int size = stream->behind_count + event->behind_count;
    int *both = malloc((size + 1) * sizeof *both);
    if (stream->behind_count) memcpy(both, stream->behind, stream->behind_count * sizeof *both);
    if (event->behind_count)
        memcpy(both + stream->behind_count, event->behind, event->behind_count * sizeof *both);
    set_behind(&stream->behind, &stream->behind_count, both, size);
    free(both);
    return CUDA_SUCCESS;
}

static void free_nodes(node *nodes, int count) {
    for (int i = 0; i < count; i++) {
        drop_op(nodes[i].op);
        free(nodes[i].behind);
    }
    free(nodes);
}

void free_graph(CUgraph graph) {
    free_nodes(graph->nodes, graph->count);
    free(graph);
}

void drop_exec(CUgraphExec exec) {
    if (--exec->references) return;
    free_nodes(exec->nodes, exec->count);
    free(exec);
}

static void leave_capture(object *each, void *number) {
    CUstream stream = (CUstream)each;
    if (stream->capture == *(uint64_t *)number) stream->capture = 0;
}

/* Whether the origin has waited, in the end, for every node. */
static bool joined(CUstream origin, CUgraph graph) {
    bool *seen = calloc(graph->count + 1, sizeof *seen);
    for (int i = 0; i < origin->behind_count; i++) seen[origin->behind[i]] = true;
    bool all = true;
    for (int i = graph->count - 1; i >= 0; i--) { /* a node comes after those that it waits for */
        all &= seen[i];
        for (int k = 0; seen[i] && k < graph->nodes[i].count; k++)
            seen[graph->nodes[i].behind[k]] = true;
    }
    free(seen);
    return all;
}

static CUgraph end(capture *ended) {
    CUgraph graph = ended->graph;
    uint64_t number = ended->number;
    each_object(STREAM, leave_capture, &number);
    *ended = (capture){0};
    return graph;
}

void end_captures(CUcontext context) {
    for (int i = 0; i < CAPTURES; i++)
        if (captures[i].number && captures[i].origin->object.context == context)
            free_graph(end(&captures[i]));
}

CUresult CUDAAPI cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode mode) {
    ENTER(LIVING);
    CUstream stream;
    TRY(stream_of(handle, &stream));
    if (stream == current_context()->null) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    capture *begun = NULL;
    for (int i = 0; i < CAPTURES && !begun; i++)
        if (!captures[i].number) begun = &captures[i];
    if (!begun) return CUDA_ERROR_OUT_OF_MEMORY;
    CUgraph graph = calloc(1, sizeof *graph);
    *begun = (capture){++last_number, stream, graph, mode, pthread_self(), false};
    stream->capture = begun->number;
    stream->behind_count = 0;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamEndCapture(CUstream handle, CUgraph *made) {
    *made = NULL;
    ENTER(LIVING);
    CUstream stream;
    TRY(stream_of(handle, &stream));
    if (!stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    capture *ended = find_capture(stream->capture);
    if (ended->origin != stream)
        return spoil(stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    if (ended->mode != CU_STREAM_CAPTURE_MODE_RELAXED &&
        !pthread_equal(ended->thread, pthread_self()))
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    bool invalid = ended->invalid, whole = joined(stream, ended->graph);
    CUgraph graph = end(ended);
    if (invalid || !whole) {
        free_graph(graph);
        return invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
                       : CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    }
    add_object(&graph->object, GRAPH, current_context());
    *made = graph;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status) {
    ENTER(LIVING);
    CUstream stream;
    TRY(stream_of(handle, &stream));
    capture *found = find_capture(stream->capture);
    *status = !found           ? CU_STREAM_CAPTURE_STATUS_NONE
              : found->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                               : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGraphInstantiateWithFlags(CUgraphExec *made, CUgraph graph,
                                             unsigned long long flags) {
    (void)flags;
    ENTER(LIVING);
    if (!known(graph, GRAPH)) return CUDA_ERROR_INVALID_VALUE;
    CUgraphExec exec = calloc(1, sizeof *exec);
    exec->references = 1;
    exec->count = graph->count;
    exec->nodes = calloc(graph->count + 1, sizeof *exec->nodes);
    for (int i = 0; i < graph->count; i++) {
        const node *from = &graph->nodes[i];
        exec->nodes[i].op = copy_op(from->op);
        set_behind(&exec->nodes[i].behind, &exec->nodes[i].count, from->behind, from->count);
    }
    add_object(&exec->object, EXEC, current_context());
    *made = exec;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGraphLaunch(CUgraphExec exec, CUstream handle) {
    ENTER(LIVING);
    CUstream stream;
    TRY(stream_of(handle, &stream));
    if (!known(exec, EXEC)) {
        violation("a graph that is not there was launched");
        return CUDA_ERROR_INVALID_VALUE;
    }
    for (int i = 0; i < exec->count; i++)
        if (!usable(exec->nodes[i].op, "a graph was launched")) return CUDA_ERROR_INVALID_VALUE;
    op *made = new_op(LAUNCH);
    made->exec = exec;
    exec->references++;
    return enqueue(stream, made);
}

CUresult CUDAAPI cuGraphDestroy(CUgraph graph) {
    ENTER(DRIVER);
    if (!known(graph, GRAPH)) {
        violation("a graph was destroyed that is not there");
        return CUDA_ERROR_INVALID_VALUE;
    }
    drop_object(&graph->object);
    free_graph(graph);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec exec) {
    ENTER(DRIVER);
    if (!known(exec, EXEC)) {
        violation("an instantiated graph was destroyed that is not there");
        return CUDA_ERROR_INVALID_VALUE;
    }
    drop_object(&exec->object);
    drop_exec(exec);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count) {
    ENTER(DRIVER);
    if (!known(graph, GRAPH)) return CUDA_ERROR_INVALID_VALUE;
    if (nodes) return CUDA_ERROR_NOT_SUPPORTED;
    *count = graph->count;
    return CUDA_SUCCESS;
}
