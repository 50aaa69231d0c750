/* Memory of the device, which is the host's, and pinned memory: with margins that nobody may write
 * to, undefined (NaN) when it is new, and kept for a while when it is freed, to see who writes. */

#include <stdlib.h>
#include <string.h>

#include "host.h"

#define ALIGNMENT 512
#define MARGIN 512
#define MARGIN_BYTE 0xFA
#define NEW_BYTE 0xFF
#define FREED_BYTE 0xDD
#define KEPT (64u << 20)

static block *freed, *freed_last;
static size_t kept;
static uint64_t used[TYPES];

uint64_t capacity(void) {
    const char *bytes = getenv("HOST_CUDA_MEMORY");
    return bytes ? strtoull(bytes, NULL, 10) : (uint64_t)4 << 30;
}

uint64_t bytes_in_use(enum type type) { return used[type]; }

static CUresult allocate(enum type type, size_t size, uint64_t *address) {
    if (!size) return CUDA_ERROR_INVALID_VALUE;
    TRY(refuse_unsafe());
    if (type == MEMORY && size > capacity() - used[MEMORY]) return CUDA_ERROR_OUT_OF_MEMORY;
    block *made = calloc(1, sizeof *made);
    made->whole = (size + 2 * MARGIN + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    made->raw = aligned_alloc(ALIGNMENT, made->whole);
    if (!made->raw) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    made->start = (uint64_t)(made->raw + MARGIN);
    made->size = size;
    memset(made->raw, MARGIN_BYTE, made->whole);
    memset(made->raw + MARGIN, NEW_BYTE, size);
    add_object(&made->object, type, current_context());
    used[type] += size;
    *address = made->start;
    return CUDA_SUCCESS;
}

struct search {
    uint64_t start, stop;
    block *found;
};

static void look(object *each, void *with) {
    struct search *search = with;
    block *seen = (block *)each;
    if (search->start >= seen->start && search->stop <= seen->start + seen->size)
        search->found = seen;
}

/* The live block that all of these bytes are in. */
block *block_of(uint64_t address, uint64_t size) {
    struct search search = {address, address + size, NULL};
    each_object(MEMORY, look, &search);
    if (!search.found) each_object(PINNED, look, &search);
    return search.found;
}

static void overlap(object *each, void *with) {
    struct search *search = with;
    block *seen = (block *)each;
    /* The margins count: what lies there was meant for this block. */
    if (search->start < seen->start + seen->size + MARGIN && seen->start - MARGIN < search->stop)
        search->found = seen;
}

/* Whether what it touches is there. Ordinary memory of the host cannot be known. */
bool usable(const op *checked, const char *when) {
    for (int i = 0; i < checked->count; i++) {
        const span *touched = &checked->spans[i];
        if (block_of(touched->start, touched->stop - touched->start)) continue;
        struct search search = {touched->start, touched->stop, NULL};
        each_object(MEMORY, overlap, &search);
        if (!search.found) each_object(PINNED, overlap, &search);
        if (search.found) {
            violation("out of bounds when %s: %llu bytes at %lld of a block of %llu", when,
                      (unsigned long long)(touched->stop - touched->start),
                      (long long)(touched->start - search.found->start),
                      (unsigned long long)search.found->size);
            return false;
        }
        for (block *each = freed; each; each = each->later)
            if (touched->start < each->start + each->size && each->start < touched->stop) {
                violation("use after free when %s: a block of %llu bytes", when,
                          (unsigned long long)each->size);
                return false;
            }
        if (checked->kind != COPY ||
            (touched->writes ? checked->device_target : checked->device_source)) {
            violation("no memory of the device when %s", when);
            return false;
        }
    }
    return true;
}

static void check_margins(const block *checked) {
    for (size_t i = 0; i < checked->whole; i++) {
        if (i == MARGIN) i += checked->size;
        if (i < checked->whole && checked->raw[i] != MARGIN_BYTE) {
            violation("something wrote outside of a block of %llu bytes, at %lld",
                      (unsigned long long)checked->size, (long long)i - MARGIN);
            return;
        }
    }
}

static void check_content(const block *checked) {
    for (size_t i = 0; i < checked->size; i++)
        if (checked->raw[MARGIN + i] != FREED_BYTE) {
            violation("something wrote to a block of %llu bytes after it was freed",
                      (unsigned long long)checked->size);
            return;
        }
}

/* The oldest of those that are kept. */
static void forget_freed(void) {
    block *gone = freed;
    freed = gone->later;
    if (!freed) freed_last = NULL;
    kept -= gone->whole;
    check_margins(gone);
    check_content(gone);
    free(gone->raw);
    free(gone);
}

void check_freed(void) {
    while (freed) forget_freed();
}

static void free_block(block *gone) {
    drop_object(&gone->object);
    used[gone->object.type] -= gone->size;
    check_margins(gone);
    memset(gone->raw + MARGIN, FREED_BYTE, gone->size);
    gone->later = NULL;
    if (freed_last) freed_last->later = gone;
    else freed = gone;
    freed_last = gone;
    kept += gone->whole;
    while (kept > KEPT) forget_freed();
}

static void free_of(object *each, void *context) {
    if (each->context == context) free_block((block *)each);
}

void free_blocks(CUcontext context) {
    each_object(MEMORY, free_of, context);
    each_object(PINNED, free_of, context);
}

static bool uses(const op *first, const block *block) {
    for (const op *each = first; each; each = each->next) {
        for (int i = 0; i < each->count; i++)
            if (each->spans[i].start < block->start + block->size &&
                block->start < each->spans[i].stop)
                return true;
        for (int i = 0; each->kind == LAUNCH && i < each->exec->count; i++)
            if (uses(each->exec->nodes[i].op, block)) return true;
    }
    return false;
}

static void check_queues(object *each, void *with) {
    CUstream stream = (CUstream)each;
    if (uses(stream->first, with) || uses(stream->running, with))
        violation("a block of %llu bytes was freed before what was queued has used it",
                  (unsigned long long)((block *)with)->size);
}

static CUresult release(enum type type, uint64_t address) {
    TRY(refuse_unsafe());
    block *found = address ? block_of(address, 1) : NULL;
    if (!found || found->start != address || found->object.type != type) {
        if (address) violation("freed what is not there");
        return CUDA_ERROR_INVALID_VALUE;
    }
    each_object(STREAM, check_queues, found);
    free_block(found);
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemAlloc(CUdeviceptr *address, size_t size) {
    ENTER(LIVING);
    uint64_t found;
    TRY(allocate(MEMORY, size, &found));
    *address = (CUdeviceptr)found;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemFree(CUdeviceptr address) {
    ENTER(LIVING);
    return release(MEMORY, address);
}

CUresult CUDAAPI cuMemHostAlloc(void **address, size_t size, unsigned flags) {
    (void)flags;
    ENTER(LIVING);
    uint64_t found;
    TRY(allocate(PINNED, size, &found));
    *address = (void *)found;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemAllocHost(void **address, size_t size) {
    ENTER(LIVING);
    uint64_t found;
    TRY(allocate(PINNED, size, &found));
    *address = (void *)found;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemFreeHost(void *address) {
    ENTER(LIVING);
    return release(PINNED, (uint64_t)address);
}

CUresult CUDAAPI cuMemHostGetDevicePointer(CUdeviceptr *device, void *host, unsigned flags) {
    (void)flags;
    ENTER(LIVING);
    block *found = block_of((uint64_t)host, 1);
    if (!found || found->object.type != PINNED) return CUDA_ERROR_INVALID_VALUE;
    *device = (CUdeviceptr)host;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemGetInfo(size_t *free_bytes, size_t *total) {
    ENTER(LIVING);
    *total = capacity();
    *free_bytes = *total - used[MEMORY];
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemGetAddressRange(CUdeviceptr *start, size_t *size, CUdeviceptr address) {
    ENTER(LIVING);
    block *found = block_of(address, 1);
    if (!found) return CUDA_ERROR_NOT_FOUND;
    if (start) *start = found->start;
    if (size) *size = found->size;
    return CUDA_SUCCESS;
}
