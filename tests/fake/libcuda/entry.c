/* What happens at every call: it is counted, and it fails if a test wants that. Also what tests ask
 * of the driver: functions and variables of the environment that start with `host_cuda_`. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "names.h"

#define FUNCTIONS 1024
#define FAULTS 64
#define ANYTHING "*"

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static struct {
    const char *name;
    uint64_t calls;
} counted[FUNCTIONS];

static struct {
    char name[64];
    long left;
    CUresult code;
    bool lasting;
} faults[FAULTS];

static CUresult lost;
static bool initialized;
static char told[1 << 16];
static size_t told_size;
static int complaints;

void violation(const char *format, ...) {
    va_list arguments;
    complaints++;
    va_start(arguments, format);
    if (told_size < sizeof told - 512) {
        told_size += vsnprintf(told + told_size, 500, format, arguments);
        told_size += snprintf(told + told_size, 2, "\n");
    }
    va_end(arguments);
}

CUresult lost_device(void) { return lost; }

static void count_call(const char *name) {
    for (int i = 0; i < FUNCTIONS; i++) {
        if (!counted[i].name) counted[i].name = strdup(name);
        if (!strcmp(counted[i].name, name)) {
            counted[i].calls++;
            return;
        }
    }
}

/* After these a context can only be given up. */
static bool sticky(CUresult code) {
    return (code >= CUDA_ERROR_ILLEGAL_ADDRESS && code <= CUDA_ERROR_LAUNCH_TIMEOUT &&
            code != CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES) ||
           (code >= CUDA_ERROR_ASSERT && code <= CUDA_ERROR_LAUNCH_FAILED &&
            code != CUDA_ERROR_TOO_MANY_PEERS &&
            code != CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED &&
            code != CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED) ||
           code == CUDA_ERROR_ECC_UNCORRECTABLE;
}

/* Whether `what`, a call or a piece of work, is to fail now. */
CUresult failing(const char *what) {
    bool call = !strncmp(what, "cu", 2);
    for (int i = 0; i < FAULTS; i++) {
        bool meant = call && !strcmp(faults[i].name, ANYTHING);
        if (!faults[i].name[0] || !(meant || !strcmp(faults[i].name, what))) continue;
        if (--faults[i].left > 0) continue;
        CUresult code = faults[i].code;
        if (meant && faults[i].lasting) lost = code;
        if (!faults[i].lasting) faults[i].name[0] = 0;
        CUcontext context = call ? current_context() : NULL;
        if (sticky(code) && context) context->error = code;
        pthread_cond_broadcast(&changed);
        return code;
    }
    return CUDA_SUCCESS;
}

static void add_fault(const char *name, long nth, CUresult code, bool lasting) {
    for (int i = 0; i < FAULTS; i++)
        if (!faults[i].name[0]) {
            snprintf(faults[i].name, sizeof faults[i].name, "%s", name);
            faults[i].left = nth;
            faults[i].code = code;
            faults[i].lasting = lasting;
            return;
        }
}

CUresult enter(const char *function, enum need need) {
    pthread_mutex_lock(&lock);
    count_call(function);
    if (need == NOTHING) return CUDA_SUCCESS;
    if (lost) return lost;
    TRY(failing(function));
    if (!initialized) return CUDA_ERROR_NOT_INITIALIZED;
    if (need == DRIVER) return CUDA_SUCCESS;
    CUcontext context = current_context();
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!known(context, CONTEXT) || context->dead) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return context->error;
}

void leave(const int *held) {
    if (*held) pthread_mutex_unlock(&lock);
}

/* From the environment, for programs that a test only starts:
 * HOST_CUDA_FAIL=NAME:NTH:CODE[:lasting],...  HOST_CUDA_SEED=N  HOST_CUDA_DELAY=MICROSECONDS */
static void read_environment(void) {
    const char *list = getenv("HOST_CUDA_FAIL"), *seed = getenv("HOST_CUDA_SEED");
    const char *delay = getenv("HOST_CUDA_DELAY");
    char name[64], lasting[16];
    long nth;
    int code;
    while (list && *list) {
        lasting[0] = 0;
        if (sscanf(list, "%63[^:]:%ld:%d:%15[^,]", name, &nth, &code, lasting) >= 3)
            add_fault(name, nth, (CUresult)code, lasting[0] != 0);
        list = strchr(list, ',');
        if (list) list++;
    }
    if (seed || delay) set_delays(seed ? strtoull(seed, NULL, 10) : 0, delay ? atoi(delay) : 0);
}

CUresult CUDAAPI cuInit(unsigned flags) {
    pthread_mutex_lock(&lock);
    __attribute__((cleanup(leave))) const int held = 1;
    static bool read;
    if (!read) read_environment();
    read = true;
    count_call(__func__);
    if (flags) return CUDA_ERROR_INVALID_VALUE;
    if (lost) return lost;
    TRY(failing(__func__));
    initialized = true;
    return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGetErrorString(CUresult code, const char **text) {
    ENTER(NOTHING);
    for (size_t i = 0; i < sizeof error_names / sizeof *error_names; i++)
        if (error_names[i].code == (int)code) {
            *text = error_names[i].text;
            return CUDA_SUCCESS;
        }
    *text = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult CUDAAPI cuGetErrorName(CUresult code, const char **name) {
    ENTER(NOTHING);
    for (size_t i = 0; i < sizeof error_names / sizeof *error_names; i++)
        if (error_names[i].code == (int)code) {
            *name = error_names[i].name;
            return CUDA_SUCCESS;
        }
    *name = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult CUDAAPI cuDriverGetVersion(int *version) {
    ENTER(NOTHING);
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}

/* The function that the header calls `symbol`, in the version of the header. */
CUresult CUDAAPI cuGetProcAddress(const char *symbol, void **function, int version, cuuint64_t flags,
                                  CUdriverProcAddressQueryResult *status) {
    (void)version, (void)flags;
    ENTER(NOTHING);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!strcmp(functions[i].name, symbol)) {
            *function = (void *)functions[i].function;
            if (status) *status = CU_GET_PROC_ADDRESS_SUCCESS;
            return CUDA_SUCCESS;
        }
    *function = NULL;
    if (status) *status = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return CUDA_ERROR_NOT_FOUND;
}

/* What is only there to be linked with. */
CUresult unsupported(const char *function) {
    ENTER(NOTHING);
    count_call(function);
    return CUDA_ERROR_NOT_SUPPORTED;
}

/* For tests. A call that is called "*" is any; "work" is what a stream does. */
void host_cuda_fail(const char *name, long nth, int code, int lasting) {
    pthread_mutex_lock(&lock);
    add_fault(name, nth, (CUresult)code, lasting);
    pthread_mutex_unlock(&lock);
}

/* Every call from now on gives `code`; 0 ends that, and forgets all faults. */
void host_cuda_lose(int code) {
    pthread_mutex_lock(&lock);
    lost = (CUresult)code;
    if (!code) memset(faults, 0, sizeof faults);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void host_cuda_delays(uint64_t seed, unsigned microseconds) {
    pthread_mutex_lock(&lock);
    set_delays(seed, microseconds);
    pthread_mutex_unlock(&lock);
}

/* How many calls there were, and of each function if `tell` is given. */
uint64_t host_cuda_calls(void (*tell)(const char *, uint64_t)) {
    uint64_t sum = 0;
    for (int i = 0; i < FUNCTIONS && counted[i].name; i++) {
        sum += counted[i].calls;
        if (tell) tell(counted[i].name, counted[i].calls);
    }
    return sum;
}

/* How many objects of a type (`enum type`) are live. */
int host_cuda_live(int type) {
    pthread_mutex_lock(&lock);
    int found = live_objects((enum type)type);
    pthread_mutex_unlock(&lock);
    return found;
}

/* The same from what a test plays on top of the driver. */
void host_cuda_complain(const char *text) {
    pthread_mutex_lock(&lock);
    if (!lost) violation("%s", text); /* nobody can wait for a device that is gone */
    pthread_mutex_unlock(&lock);
}

/* What was done that must not be done, a line for each; forgotten once it is told. */
int host_cuda_violations(char *text, size_t size) {
    pthread_mutex_lock(&lock);
    check_freed();
    int found = complaints;
    snprintf(text, size, "%s", told);
    told[0] = 0;
    told_size = 0;
    complaints = 0;
    pthread_mutex_unlock(&lock);
    return found;
}

/* HOST_CUDA_REPORT=FILE: what a test wants to know of a program that it only starts. */
__attribute__((destructor)) static void report(void) {
    const char *path = getenv("HOST_CUDA_REPORT");
    if (path && initialized) {
        FILE *file = fopen(path, "a");
        if (!file) return;
        check_freed();
        fprintf(file, "violations %d\n", complaints);
        for (char *line = strtok(told, "\n"); line; line = strtok(NULL, "\n"))
            fprintf(file, "violation: %s 1\n", line);
        static const char *const names[] = {"",      "contexts", "streams", "events",
                                            "graphs", "execs",    "memory",  "pinned"};
        for (int type = CONTEXT; type < TYPES; type++)
            fprintf(file, "live %s %d\n", names[type], live_objects((enum type)type));
        for (int i = 0; i < FUNCTIONS && counted[i].name; i++)
            fprintf(file, "calls %s %llu\n", counted[i].name,
                    (unsigned long long)counted[i].calls);
        fclose(file);
    }
    for (int i = 0; i < FUNCTIONS && counted[i].name; i++) free((char *)counted[i].name);
}
