/* tensor/names.h (internal): many names, each with a number, found by looking up and not by comparing with all (hashing
 * with linear probing, at most half full: Knuth, TAOCP vol. 3, 6.4). */
#ifndef TARN__NAMES_H
#define TARN__NAMES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tarn__names {
    struct tarn__name_slot *slots; /* a power of two of them */
    size_t slot_count, count;
} tarn__names; /* all zero: empty */

/* Room for one name more. False, without an error, when there is no memory. */
bool tarn__names_make_room(tarn__names *names);

/* The name, for which there is room, is new, and stays where it is. */
void tarn__names_add(tarn__names *names, const char *name, size_t number);

/* Its number; SIZE_MAX when it is not there. */
size_t tarn__names_find(const tarn__names *names, const char *name);

/* Forgets all names and keeps the room. */
void tarn__names_clear(tarn__names *names);

void tarn__names_free(tarn__names *names);

#endif
