#include "data/safetensors.h"
#include "data/file.h"
#include "data/safetensors_impl.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <string.h>

/* ---- opening */

static bool read_header(const char *who, tarn_safetensors *f, uint64_t size)
{
    unsigned char raw[TARN__ST_LENGTH_BYTES];
    uint64_t length = 0;
    if (size < sizeof raw)
        return tarn_fail("%s: %s: %" PRIu64 " bytes, too short for a safetensors file", who, f->path, size);
    if (!tarn__file_read(who, f->path, f->fd, 0, raw, sizeof raw))
        return false;
    for (int i = TARN__ST_LENGTH_BYTES; i-- > 0;)
        length = length << 8 | raw[i];
    if (length > TARN__ST_MAX_HEADER || length > size - sizeof raw)
        return tarn_fail("%s: %s: a header of %" PRIu64 " bytes, expected at most %d, in a file of %" PRIu64, who,
                         f->path, length, TARN__ST_MAX_HEADER, size);
    f->text = tarn__allocate((size_t)length + 1);
    if (!f->text)
        return tarn_fail("%s: %s: no memory", who, f->path);
    f->data_start = sizeof raw + length;
    if (!tarn__file_read(who, f->path, f->fd, sizeof raw, f->text, (size_t)length) ||
        !tarn__st_parse(who, f, (size_t)length))
        return false;
    if (f->data_bytes != size - f->data_start)
        return tarn_fail("%s: %s: has %" PRIu64 " bytes of data, expected %" PRIu64, who, f->path, size - f->data_start,
                         f->data_bytes);
    return true;
}

tarn_safetensors *tarn__st_open(const char *who, const char *path)
{
    uint64_t size;
    tarn_safetensors *f = tarn__allocate_zeroed(sizeof *f);
    if (!f) {
        tarn_fail("%s: %s: no memory", who, path);
        return NULL;
    }
    f->fd = tarn__file_open(who, path, &size);
    f->path = f->fd >= 0 ? tarn__copy_string(path) : NULL;
    if (f->fd >= 0 && !f->path)
        tarn_fail("%s: %s: no memory", who, path);
    if (f->path && read_header(who, f, size))
        return f;
    tarn_safetensors_close(f);
    return NULL;
}

tarn_safetensors *tarn_safetensors_open(const char *path)
{
    const char *who = "tarn_safetensors_open";
    return tarn__usable(who, path, "path") ? tarn__st_open(who, path) : NULL;
}

void tarn_safetensors_close(tarn_safetensors *f)
{
    if (!f)
        return;
    tarn__file_close(f->fd);
    tarn__release(f->path);
    tarn__release(f->text);
    tarn__release(f->entries);
    tarn__release(f->metadata);
    tarn__release(f->by_name);
    tarn__release(f->by_place);
    tarn__release(f->by_key);
    tarn__release(f);
}

/* ---- asking */

static const tarn__st_entry *entry_at(const tarn_safetensors *f, size_t i)
{
    return f && i < f->count ? f->by_place[i] : NULL;
}

size_t tarn_safetensors_count(const tarn_safetensors *f)
{
    return f ? f->count : 0;
}

const char *tarn_safetensors_name(const tarn_safetensors *f, size_t i)
{
    const tarn__st_entry *e = entry_at(f, i);
    return e ? e->name : NULL;
}

const char *tarn_safetensors_dtype(const tarn_safetensors *f, size_t i)
{
    const tarn__st_entry *e = entry_at(f, i);
    return e ? e->dtype->name : NULL;
}

int tarn_safetensors_ndim(const tarn_safetensors *f, size_t i)
{
    const tarn__st_entry *e = entry_at(f, i);
    return e ? e->ndim : 0;
}

const int64_t *tarn_safetensors_shape(const tarn_safetensors *f, size_t i)
{
    const tarn__st_entry *e = entry_at(f, i);
    return e && e->ndim <= TARN_MAX_DIMS ? e->shape : NULL;
}

size_t tarn_safetensors_metadata_count(const tarn_safetensors *f)
{
    return f ? f->metadata_count : 0;
}

const char *tarn_safetensors_metadata_key(const tarn_safetensors *f, size_t i)
{
    return f && i < f->metadata_count ? f->metadata[i].key : NULL;
}

const char *tarn_safetensors_metadata(const tarn_safetensors *f, const char *key)
{
    size_t low = 0, high = f && key ? f->metadata_count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(key, f->by_key[middle]->key);
        if (order == 0)
            return f->by_key[middle]->value;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const tarn__st_entry *tarn__st_find(const tarn_safetensors *f, const char *name)
{
    for (size_t low = 0, high = f->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, f->by_name[middle]->name);
        if (order == 0)
            return f->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---- one tensor */

/* Through a buffer, so that a large tensor is not in memory twice. */
static bool read_converted(const char *who, const tarn_safetensors *f, const tarn__st_entry *e, tarn_tensor *x)
{
    char buffer[1 << 13];
    size_t size = (size_t)e->dtype->bits / 8, most = sizeof buffer / size, total = (size_t)x->numel;
    for (size_t done = 0, n; done < total; done += n) {
        n = total - done < most ? total - done : most;
        if (!tarn__file_read(who, f->path, f->fd, f->data_start + e->begin + done * size, buffer, n * size))
            return false;
        size_t fit = e->dtype->convert(buffer, n, (char *)x->data + done * tarn_dtype_size(x->dtype));
        if (fit < n)
            return tarn_fail("%s: %s: \"%s\": element %zu is out of range: %s is read as %s", who, f->path,
                             tarn__safe_text_of(e->name).text, done + fit, e->dtype->name, tarn_dtype_name(x->dtype));
    }
    return true;
}

static bool read_elements(const char *who, const tarn_safetensors *f, const tarn__st_entry *e, tarn_tensor *x)
{
    if (e->dtype->convert)
        return read_converted(who, f, e, x);
    return tarn__file_read(who, f->path, f->fd, f->data_start + e->begin, x->data, tarn__bytes(x));
}

tarn_tensor *tarn_safetensors_load(const tarn_safetensors *f, const char *name)
{
    const char *who = "tarn_safetensors_load";
    if (!tarn__usable(who, f, "file") || !tarn__usable(who, name, "name"))
        return NULL;
    const tarn__st_entry *e = tarn__st_find(f, name);
    const tarn__safe_text safe = tarn__safe_text_of(name);
    if (!e)
        tarn_fail("%s: %s: no tensor \"%s\"", who, f->path, safe.text);
    else if (e->dtype->ours == TARN_DTYPE_COUNT)
        tarn_fail("%s: %s: \"%s\" is %s, which has no dtype of tarn's to become", who, f->path, safe.text,
                  e->dtype->name);
    else if (e->ndim > TARN_MAX_DIMS)
        tarn_fail("%s: %s: \"%s\" has %d axes, expected at most %d", who, f->path, safe.text, e->ndim, TARN_MAX_DIMS);
    int64_t numel;
    if (tarn_error() || !tarn__check_shape(who, e->dtype->ours, e->ndim, e->shape, &numel))
        return NULL;
    tarn_tensor *x = tarn_tensor_new(e->dtype->ours, e->ndim, e->shape);
    if (!x || read_elements(who, f, e, x))
        return x;
    tarn_tensor_free(x);
    return NULL;
}

/* ---- a store */

static bool same_as_in_file(const char *who, const tarn_safetensors *f, const tarn_tensor *x)
{
    const tarn__st_entry *e = tarn__st_find(f, x->name);
    if (!e)
        return tarn_fail("%s: %s: no tensor \"%s\"", who, f->path, x->name);
    bool same = e->dtype->ours == x->dtype && e->ndim == x->ndim &&
                (e->ndim == 0 || memcmp(e->shape, x->shape, (size_t)e->ndim * sizeof e->shape[0]) == 0);
    return same ? true
                : tarn_fail("%s: %s: \"%s\" is %s%s, expected %s%s", who, f->path, x->name, e->dtype->name,
                            tarn__shape_text_of(e->ndim < TARN_MAX_DIMS ? e->ndim : TARN_MAX_DIMS, e->shape).text,
                            tarn__st_dtype_of(x->dtype)->name, TARN__SHAPE_TEXT(x));
}

static bool file_fits(const char *who, const tarn_safetensors *f, const tarn_params *params)
{
    for (size_t i = 0; i < tarn_params_count(params); i++)
        if (!same_as_in_file(who, f, tarn_params_at(params, i)))
            return false;
    for (size_t i = 0; f->count != tarn_params_count(params) && i < f->count; i++)
        if (!tarn_params_find(params, f->by_place[i]->name))
            return tarn_fail("%s: %s: has \"%s\", which the store does not", who, f->path,
                             tarn__safe_text_of(f->by_place[i]->name).text);
    return true;
}

bool tarn_params_load(tarn_params *params, const char *path)
{
    const char *who = "tarn_params_load";
    if (!tarn__usable(who, params, "params") || !tarn__usable(who, path, "path"))
        return false;
    tarn_safetensors *f = tarn__st_open(who, path);
    if (!f)
        return false;
    char *data = NULL;
    bool ok = file_fits(who, f, params);
    if (ok && !(data = tarn__allocate((size_t)f->data_bytes)))
        ok = tarn_fail("%s: %s: no memory for %" PRIu64 " bytes", who, path, f->data_bytes);
    /* All of it is read before any of it is used. */
    ok = ok && tarn__file_read(who, path, f->fd, f->data_start, data, (size_t)f->data_bytes);
    for (size_t i = 0; ok && i < tarn_params_count(params); i++) {
        tarn_tensor *x = tarn_params_at(params, i);
        const tarn__st_entry *e = tarn__st_find(f, x->name);
        if (e->dtype->convert)
            e->dtype->convert(data + e->begin, (size_t)x->numel, x->data); /* to f32, which all of them fit */
        else
            memcpy(x->data, data + e->begin, tarn__bytes(x));
        x->version++;
    }
    tarn__release(data);
    tarn_safetensors_close(f);
    return ok;
}
