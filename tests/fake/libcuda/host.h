/* A CUDA driver that runs on the host: what its files share.
 *
 * One lock guards everything, and one condition says that something has changed: the driver is made
 * to be understood and to be strict, not to be fast. Each stream has a thread, which does what was
 * queued on it later, after a delay that a seed decides. Nobody holds the lock while work is done. */

#ifndef HOST_H
#define HOST_H

#include <cuda.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum type { CONTEXT = 1, STREAM, EVENT, GRAPH, EXEC, MEMORY, PINNED, TYPES };

/* What a handle points to. It is in a table while the handle is valid. */
typedef struct object {
    enum type type;
    CUcontext context;
    struct object *next;
} object;

typedef struct {
    uint64_t start, stop;
    bool writes;
} span;

enum kind { COPY, FILL, CALL, WORK, RECORD, WAIT, LAUNCH };

typedef void work_function(const void *given, size_t size);

/* One piece of queued work. */
typedef struct op {
    enum kind kind;
    struct op *next;
    span spans[64];
    int count;             /* of spans */
    uint64_t target, source, size;
    bool device_target, device_source; /* COPY: which end must be the device's */
    unsigned value, width; /* FILL */
    CUhostFn call;         /* CALL */
    void *argument;
    work_function *work;   /* WORK, with a copy of what it is given */
    void *given;
    CUevent event;         /* RECORD and WAIT */
    uint64_t version;
    CUgraphExec exec;      /* LAUNCH */
} op;

struct CUctx_st {
    object object;
    unsigned flags;
    CUresult error; /* sticky */
    bool primary, dead;
    int retained;
    int threads; /* of streams that still run */
    CUstream null;
    struct CUstream_st *streams;
};

struct CUstream_st {
    object object;
    CUstream next; /* of its context */
    unsigned flags, number;
    int priority;
    op *first, *last, *running;
    uint64_t queued, done;
    bool closed;
    uint64_t capture; /* the number of it; 0: none */
    int *behind, behind_count;
};

struct CUevent_st {
    object object;
    unsigned flags;
    int references;
    uint64_t recorded, done;
    double seconds;
    uint64_t capture; /* that it was last recorded in */
    int *behind, behind_count;
};

typedef struct {
    op *op;
    int *behind, count;
} node;

struct CUgraph_st {
    object object;
    node *nodes;
    int count;
};

struct CUgraphExec_st {
    object object;
    int references;
    node *nodes;
    int count;
};

typedef struct block {
    object object;
    uint64_t start, size;
    unsigned char *raw;
    size_t whole;
    struct block *later; /* of those that were freed */
} block;

extern pthread_mutex_t lock;
extern pthread_cond_t changed;

/* entry.c: what happens at every call. */
enum need { NOTHING, DRIVER, LIVING };
CUresult enter(const char *function, enum need need);
void leave(const int *held);
CUresult failing(const char *what);
CUresult lost_device(void);
void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define ENTER(need)                                                                               \
    __attribute__((cleanup(leave))) const int held_ = 1;                                          \
    (void)held_;                                                                                  \
    do {                                                                                          \
        CUresult code_ = enter(__func__, need);                                                   \
        if (code_ != CUDA_SUCCESS) return code_;                                                  \
    } while (0)

#define TRY(call)                                                                                 \
    do {                                                                                          \
        CUresult code_ = (call);                                                                  \
        if (code_ != CUDA_SUCCESS) return code_;                                                  \
    } while (0)

/* objects.c */
void add_object(object *made, enum type type, CUcontext context);
bool known(const void *handle, enum type type);
void drop_object(object *object);
void each_object(enum type type, void (*tell)(object *, void *), void *with);
int live_objects(enum type type);

/* context.c */
CUcontext current_context(void);
CUresult wait_for_context(CUcontext context);
void release_context(CUcontext context);

/* memory.c */
block *block_of(uint64_t address, uint64_t size);
void free_blocks(CUcontext context);
bool usable(const op *op, const char *when);
uint64_t bytes_in_use(enum type type);
uint64_t capacity(void);
void check_freed(void);

/* streams.c */
CUresult stream_of(CUstream handle, CUstream *stream);
CUstream make_stream(CUcontext context, unsigned flags, int priority);
void close_stream(CUstream stream);
CUresult enqueue(CUstream stream, op *op);
CUresult wait_for_stream(CUstream stream);
void drop_op(op *op);
op *copy_op(const op *op);
void pause_work(uint64_t stream, uint64_t turn);
uint64_t draw(uint64_t a, uint64_t b);
void set_delays(uint64_t seed, unsigned microseconds);

/* work.c */
void perform(CUcontext context, const op *op, uint64_t turn);
op *new_op(enum kind kind);
bool touch(op *op, uint64_t start, uint64_t size, bool writes);

/* events.c */
CUevent make_event(unsigned flags);
void drop_event(CUevent event);
void order(CUstream after, CUstream before);
CUresult record_event(CUevent event, CUstream stream);
CUresult wait_event(CUstream stream, CUevent event);

/* graphs.c */
CUresult capture_op(CUstream stream, op *op);
CUresult capture_record(CUevent event, CUstream stream);
CUresult capture_wait(CUstream stream, CUevent event);
CUresult refuse_in_capture(CUstream stream);
CUresult refuse_unsafe(void);
bool capturing(uint64_t number);
void end_captures(CUcontext context);
void drop_exec(CUgraphExec exec);
void free_graph(CUgraph graph);

#endif
