#include "data/file.h"
#include "data/safetensors.h"
#include "data/safetensors_impl.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct item {
    const char *name;
    const tarn__st_dtype *dtype;
    tarn_tensor *tensor;
    uint64_t bytes;
} item;

typedef struct texts {
    size_t count;
    const char *const *keys, *const *values;
} texts;

/* ---- what may be written */

static bool is_utf8(const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        size_t bytes = tarn__utf8_character(text, left);
        if (bytes == 0)
            return false;
        text += bytes, left -= bytes;
    }
    return true;
}

static bool text_is_valid(const char *who, const char *what, size_t i, const char *text)
{
    if (!text)
        return tarn_fail("%s: %s %zu is NULL", who, what, i);
    return is_utf8(text) ? true : tarn_fail("%s: %s %zu is not UTF-8", who, what, i);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* By sorting, whose time no input can spoil: keys may come from a file of somebody else's. */
static bool keys_differ(const char *who, const texts *t)
{
    if (t->count < 2)
        return true;
    const char **order = t->count <= TARN__ST_MAX_HEADER ? tarn__allocate(t->count * sizeof *order) : NULL;
    if (!order)
        return tarn_fail("%s: no memory for %zu keys", who, t->count);
    memcpy(order, t->keys, t->count * sizeof *order);
    tarn__sort((const void **)order, t->count, compare_texts);
    bool ok = true;
    for (size_t i = 1; ok && i < t->count; i++)
        if (strcmp(order[i - 1], order[i]) == 0)
            ok = tarn_fail("%s: key \"%s\" is given twice", who, tarn__safe_text_of(order[i]).text);
    tarn__release(order);
    return ok;
}

static bool texts_are_valid(const char *who, const texts *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (!text_is_valid(who, "key", i, t->keys[i]) || !text_is_valid(who, "value", i, t->values[i]))
            return false;
    return keys_differ(who, t);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const item *)a)->name, ((const item *)b)->name);
}

/* The reference library's order: the dtype latest in its list first, then the name. */
static int compare_items(const void *a, const void *b)
{
    const tarn__st_dtype *x = ((const item *)a)->dtype, *y = ((const item *)b)->dtype;
    return x == y ? compare_names(a, b) : x > y ? -1 : 1;
}

/* Fills items, and sorts pointers to them. */
static bool collect(const char *who, size_t n, const char *const *names, tarn_tensor *const *tensors, item *items,
                    const item **order)
{
    for (size_t i = 0; i < n; i++) {
        if (!text_is_valid(who, "name", i, names[i]))
            return false;
        if (strcmp(names[i], TARN__ST_METADATA) == 0)
            return tarn_fail("%s: \"" TARN__ST_METADATA "\" cannot be a tensor's name", who);
        if (!tensors[i])
            return tarn_fail("%s: tensor %zu (\"%s\") is NULL", who, i, tarn__safe_text_of(names[i]).text);
        if (tarn__is_gone(tensors[i]))
            return tarn__gone_fail(who, tarn__safe_text_of(names[i]).text);
        items[i] = (item){names[i], tarn__st_dtype_of(tensors[i]->dtype), tensors[i], tarn__bytes(tensors[i])};
        order[i] = &items[i];
    }
    tarn__sort((const void **)order, n, compare_names);
    for (size_t i = 1; i < n; i++)
        if (compare_names(order[i - 1], order[i]) == 0)
            return tarn_fail("%s: \"%s\" is given twice", who, tarn__safe_text_of(order[i]->name).text);
    tarn__sort((const void **)order, n, compare_items);
    return true;
}

/* ---- the header: put once to count its bytes, and once more into memory */

typedef struct header {
    char *text; /* NULL: only count */
    size_t length;
} header;

static void put(header *h, const char *text, size_t bytes)
{
    if (h->text)
        memcpy(h->text + h->length, text, bytes);
    h->length += bytes;
}

static void put_text(header *h, const char *text)
{
    put(h, text, strlen(text));
}

static void put_number(header *h, uint64_t number)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, number);
    put_text(h, digits);
}

/* A JSON string with the escapes of the reference library: the short ones, and \u00xx in lower case. */
static void put_string(header *h, const char *text)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    put(h, "\"", 1);
    for (; *text; text++) {
        const char *found = strchr(from, *text);
        char escape[8];
        if (found)
            put(h, (const char[]){'\\', to[found - from]}, 2);
        else if ((unsigned char)*text < ' ') {
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)*text);
            put_text(h, escape);
        } else
            put(h, text, 1);
    }
    put(h, "\"", 1);
}

static void put_metadata(header *h, const texts *t)
{
    put_text(h, "\"" TARN__ST_METADATA "\":{");
    for (size_t i = 0; i < t->count; i++) {
        put_text(h, i ? "," : "");
        put_string(h, t->keys[i]);
        put_text(h, ":");
        put_string(h, t->values[i]);
    }
    put_text(h, "}");
}

static void put_item(header *h, const item *it, uint64_t begin)
{
    put_string(h, it->name);
    put_text(h, ":{\"dtype\":\"");
    put_text(h, it->dtype->name);
    put_text(h, "\",\"shape\":[");
    for (int i = 0; i < it->tensor->ndim; i++) {
        put_text(h, i ? "," : "");
        put_number(h, (uint64_t)it->tensor->shape[i]);
    }
    put_text(h, "],\"data_offsets\":[");
    put_number(h, begin);
    put_text(h, ",");
    put_number(h, begin + it->bytes);
    put_text(h, "]}");
}

static size_t put_header(char *text, size_t n, const item *const *order, const texts *t)
{
    header h = {text, 0};
    uint64_t begin = 0;
    put_text(&h, "{");
    if (t->count)
        put_metadata(&h, t);
    for (size_t i = 0; i < n; i++) {
        put_text(&h, i || t->count ? "," : "");
        put_item(&h, order[i], begin);
        begin += order[i]->bytes;
    }
    put_text(&h, "}");
    while (h.length % 8)
        put(&h, " ", 1);
    return h.length;
}

/* ---- writing */

static bool write_file(const char *who, const char *path, size_t n, const item *const *order, const texts *t,
                       tarn__piece *pieces)
{
    size_t length = put_header(NULL, n, order, t);
    if (length > TARN__ST_MAX_HEADER)
        return tarn_fail("%s: %s: a header of %zu bytes, expected at most %d", who, path, length, TARN__ST_MAX_HEADER);
    char *head = tarn__allocate(TARN__ST_LENGTH_BYTES + length);
    if (!head)
        return tarn_fail("%s: %s: no memory", who, path);
    for (int i = 0; i < TARN__ST_LENGTH_BYTES; i++)
        head[i] = (char)(length >> 8 * i & 0xFF);
    put_header(head + TARN__ST_LENGTH_BYTES, n, order, t);
    pieces[0] = (tarn__piece){head, TARN__ST_LENGTH_BYTES + length};
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        pieces[i + 1] = (tarn__piece){tarn_data(order[i]->tensor), (size_t)order[i]->bytes};
        ok = pieces[i + 1].data != NULL;
    }
    ok = ok && tarn__file_replace(who, path, n + 1, pieces);
    tarn__release(head);
    return ok;
}

static bool save(const char *who, const char *path, size_t n, const char *const *names, tarn_tensor *const *tensors,
                 const texts *t)
{
    if (!tarn__usable(who, path, "path") || (n > 0 && !tarn__usable(who, names, "names")) ||
        (n > 0 && !tarn__usable(who, tensors, "tensors")) || (t->count > 0 && !tarn__usable(who, t->keys, "keys")) ||
        (t->count > 0 && !tarn__usable(who, t->values, "values")) || !texts_are_valid(who, t))
        return false;
    if (n > TARN__ST_MAX_HEADER)
        return tarn_fail("%s: %zu tensors are too many", who, n);
    item *items = tarn__allocate(n * sizeof *items);
    const item **order = tarn__allocate(n * sizeof *order);
    tarn__piece *pieces = tarn__allocate((n + 1) * sizeof *pieces);
    bool ok = items && order && pieces ? collect(who, n, names, tensors, items, order)
                                       : tarn_fail("%s: %s: no memory", who, path);
    ok = ok && write_file(who, path, n, order, t, pieces);
    tarn__release(items);
    tarn__release(order);
    tarn__release(pieces);
    return ok;
}

bool tarn_safetensors_save(const char *path, size_t n, const char *const *names, tarn_tensor *const *tensors)
{
    return save("tarn_safetensors_save", path, n, names, tensors, &(texts){0});
}

bool tarn_safetensors_save_with(const char *path, size_t n, const char *const *names, tarn_tensor *const *tensors,
                                size_t n_metadata, const char *const *keys, const char *const *values)
{
    return save("tarn_safetensors_save_with", path, n, names, tensors, &(texts){n_metadata, keys, values});
}

bool tarn_params_save(const tarn_params *params, const char *path)
{
    const char *who = "tarn_params_save";
    if (!tarn__usable(who, params, "params") || !tarn__usable(who, path, "path"))
        return false;
    size_t n = tarn_params_count(params);
    const char **names = tarn__allocate(n * sizeof *names);
    tarn_tensor **tensors = tarn__allocate(n * sizeof *tensors);
    bool ok = names && tensors ? true : tarn_fail("%s: %s: no memory", who, path);
    for (size_t i = 0; ok && i < n; i++) {
        tensors[i] = tarn_params_at(params, i);
        names[i] = tensors[i]->name;
    }
    ok = ok && save(who, path, n, names, tensors, &(texts){0});
    tarn__release(names);
    tarn__release(tensors);
    return ok;
}
