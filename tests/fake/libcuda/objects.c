/* The handles that are valid. */

#include <stdlib.h>

#include "host.h"

#define BUCKETS 1024

static object *table[BUCKETS];

static object **bucket(const void *handle) { return &table[((uintptr_t)handle >> 5) % BUCKETS]; }

void add_object(object *made, enum type type, CUcontext context) {
    object **at = bucket(made);
    made->type = type;
    made->context = context;
    made->next = *at;
    *at = made;
}

bool known(const void *handle, enum type type) {
    for (object *each = *bucket(handle); each; each = each->next)
        if (each == handle) return each->type == type;
    return false;
}

void drop_object(object *dropped) {
    for (object **at = bucket(dropped); *at; at = &(*at)->next)
        if (*at == dropped) {
            *at = dropped->next;
            return;
        }
}

void each_object(enum type type, void (*tell)(object *, void *), void *with) {
    for (int i = 0; i < BUCKETS; i++)
        for (object *each = table[i], *next; each; each = next) {
            next = each->next; /* it may go */
            if (each->type == type) tell(each, with);
        }
}

static void count(object *each, void *with) {
    (void)each;
    ++*(int *)with;
}

int live_objects(enum type type) {
    int found = 0;
    each_object(type, count, &found);
    return found;
}
