#include "tensor/names.h"
#include "tensor/arena.h"

#include <stdint.h>
#include <string.h>

struct tarn__name_slot {
    const char *name; /* NULL: free */
    size_t number;
};

/* FNV-1a (Fowler, Noll, Vo); the upper half, which is mixed best, goes into the lower. */
static size_t hash_of(const char *name)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001B3u;
    return (size_t)(hash ^ hash >> 32);
}

/* Where the name is, or where it would go. There are slots, and one of them is free. */
static struct tarn__name_slot *slot_of(const tarn__names *names, const char *name)
{
    size_t mask = names->slot_count - 1, at = hash_of(name) & mask;
    while (names->slots[at].name && strcmp(names->slots[at].name, name) != 0)
        at = (at + 1) & mask;
    return &names->slots[at];
}

bool tarn__names_make_room(tarn__names *names)
{
    if (2 * (names->count + 1) <= names->slot_count)
        return true;
    tarn__names grown = {.slot_count = names->slot_count ? 2 * names->slot_count : 32, .count = names->count};
    grown.slots = tarn__allocate_zeroed(grown.slot_count * sizeof *grown.slots);
    if (!grown.slots)
        return false;
    for (size_t i = 0; i < names->slot_count; i++)
        if (names->slots[i].name)
            *slot_of(&grown, names->slots[i].name) = names->slots[i];
    tarn__release(names->slots);
    *names = grown;
    return true;
}

void tarn__names_add(tarn__names *names, const char *name, size_t number)
{
    *slot_of(names, name) = (struct tarn__name_slot){name, number};
    names->count++;
}

size_t tarn__names_find(const tarn__names *names, const char *name)
{
    const struct tarn__name_slot *slot = names->slot_count ? slot_of(names, name) : NULL;
    return slot && slot->name ? slot->number : SIZE_MAX;
}

void tarn__names_clear(tarn__names *names)
{
    if (names->slots)
        memset(names->slots, 0, names->slot_count * sizeof *names->slots);
    names->count = 0;
}

void tarn__names_free(tarn__names *names)
{
    tarn__release(names->slots);
    *names = (tarn__names){0};
}
