/* The header: a JSON object of objects, of which only what the format needs is understood. */
#include "data/file.h"
#include "data/safetensors_impl.h"
#include "tensor/arena.h"

#include <inttypes.h>
#include <string.h>

/* ---- sorting: heapsort (Knuth, TAOCP vol. 3, 5.2.3), whose time no input can spoil */

static void sift(const void **items, size_t root, size_t n, int (*compare)(const void *, const void *))
{
    const void *moved = items[root];
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && compare(items[child], items[child + 1]) < 0)
            child++;
        if (compare(moved, items[child]) >= 0)
            break;
        items[root] = items[child];
    }
    items[root] = moved;
}

void tarn__sort(const void **items, size_t n, int (*compare)(const void *a, const void *b))
{
    for (size_t root = n / 2; root-- > 0;)
        sift(items, root, n, compare);
    for (size_t end = n; end-- > 1;) {
        const void *largest = items[0];
        items[0] = items[end];
        items[end] = largest;
        sift(items, 0, end, compare);
    }
}

/* ---- characters */

typedef struct parser {
    const char *who;
    tarn_safetensors *file;
    size_t length, at;
} parser;

static bool fail_at(const parser *p, const char *what)
{
    return tarn_fail("%s: %s: header byte %zu: %s", p->who, p->file->path, p->at, what);
}

/* The next byte; 0, which no header may hold, at its end. */
static char peek(const parser *p)
{
    return p->at < p->length ? p->file->text[p->at] : '\0';
}

static char peek_token(parser *p)
{
    while (peek(p) == ' ' || peek(p) == '\t' || peek(p) == '\n' || peek(p) == '\r')
        p->at++;
    return peek(p);
}

static bool accept(parser *p, char token)
{
    if (peek_token(p) != token)
        return false;
    p->at++;
    return true;
}

static bool expect(parser *p, char token)
{
    if (accept(p, token))
        return true;
    char what[] = "expected ?";
    what[sizeof what - 2] = token;
    return fail_at(p, what);
}

size_t tarn__utf8_character(const char *text, size_t left)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80)
        return 1;
    size_t bytes = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || left < bytes)
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90);
    bool outside = (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF4 && s[1] > 0x8F);
    return overlong || outside ? 0 : bytes;
}

static size_t put_utf8(char *out, uint32_t code)
{
    size_t bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = bytes - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)(lead[bytes] | code);
    return bytes;
}

static bool four_digits(parser *p, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        char c = peek(p);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return fail_at(p, "expected a hexadecimal digit");
        *code = *code << 4 | (uint32_t)digit;
    }
    return true;
}

/* What follows "\u"; a code beyond 16 bits is spelt as two. */
static bool unicode_escape(parser *p, uint32_t *code)
{
    if (!four_digits(p, code))
        return false;
    if (*code == 0)
        return fail_at(p, "a text with a NUL character in it");
    if (*code < 0xD800 || *code > 0xDFFF)
        return true;
    uint32_t low = 0;
    if (*code > 0xDBFF || peek(p) != '\\' || (p->at++, peek(p)) != 'u')
        return fail_at(p, "half a surrogate pair");
    p->at++;
    if (!four_digits(p, &low))
        return false;
    if (low < 0xDC00 || low > 0xDFFF)
        return fail_at(p, "half a surrogate pair");
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

/* What follows a backslash, into out; it is never longer than its escape. */
static bool escape(parser *p, char *out, size_t *bytes)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = peek(p);
    const char *found = c ? strchr(from, c) : NULL;
    uint32_t code;
    p->at++;
    *bytes = 1;
    if (found) {
        *out = to[found - from];
        return true;
    }
    if (c != 'u') {
        p->at--;
        return fail_at(p, "unknown escape");
    }
    if (!unicode_escape(p, &code))
        return false;
    *bytes = put_utf8(out, code);
    return true;
}

/* A string, unescaped in place and ended by a NUL, which takes at most the closing quote's place. */
static bool string(parser *p, const char **value)
{
    if (!expect(p, '"'))
        return false;
    char *out = p->file->text + p->at;
    *value = out;
    while (peek(p) != '"') {
        size_t bytes = 1;
        if (p->at == p->length || (unsigned char)peek(p) < ' ')
            return fail_at(p, "a string without its end, or with a control character");
        if (peek(p) == '\\') {
            p->at++;
            if (!escape(p, out, &bytes))
                return false;
        } else {
            bytes = tarn__utf8_character(p->file->text + p->at, p->length - p->at);
            if (bytes == 0)
                return fail_at(p, "not UTF-8");
            memmove(out, p->file->text + p->at, bytes);
            p->at += bytes;
        }
        out += bytes;
    }
    p->at++;
    *out = '\0';
    return true;
}

/* An integer from 0 to 2^63-1. */
static bool integer(parser *p, int64_t *value)
{
    char first = peek_token(p);
    if (first < '0' || first > '9')
        return fail_at(p, "expected an integer of 0 or more");
    *value = 0;
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        int digit = peek(p) - '0';
        if (*value > (INT64_MAX - digit) / 10)
            return fail_at(p, "a number above 2^63-1");
        if (first == '0' && *value == 0 && p->at > 0 && p->file->text[p->at - 1] == '0')
            return fail_at(p, "a number with a leading zero");
        *value = *value * 10 + digit;
    }
    return true;
}

/* ---- entries */

/* Room for one more of count items. */
static bool grow(void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t wanted = *capacity ? 2 * *capacity : 16;
    void *grown = tarn__allocate(wanted * size);
    if (!grown)
        return false;
    if (count)
        memcpy(grown, *items, count * size);
    tarn__release(*items);
    *items = grown;
    *capacity = wanted;
    return true;
}

/* [2,3]; *numel gets the product. */
static bool shape(parser *p, tarn__st_entry *e, uint64_t *numel)
{
    *numel = 1;
    e->ndim = 0;
    if (!expect(p, '['))
        return false;
    if (accept(p, ']'))
        return true;
    do {
        int64_t size;
        if (!integer(p, &size))
            return false;
        if (size > 0 && *numel > INT64_MAX / (uint64_t)size)
            return fail_at(p, "a shape whose product overflows");
        *numel *= (uint64_t)size;
        if (e->ndim < TARN_MAX_DIMS)
            e->shape[e->ndim] = size;
        e->ndim++;
    } while (accept(p, ','));
    return expect(p, ']');
}

static bool offsets(parser *p, tarn__st_entry *e)
{
    int64_t begin, end;
    if (!expect(p, '[') || !integer(p, &begin) || !expect(p, ',') || !integer(p, &end) || !expect(p, ']'))
        return false;
    e->begin = (uint64_t)begin;
    e->end = (uint64_t)end;
    return begin <= end || fail_at(p, "data_offsets that end before they begin");
}

static bool dtype(parser *p, tarn__st_entry *e)
{
    const char *name;
    if (!string(p, &name))
        return false;
    e->dtype = tarn__st_dtype_named(name);
    return e->dtype || fail_at(p, "unknown dtype");
}

/* {"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}, in any order, each once. */
static bool entry(parser *p, tarn__st_entry *e)
{
    bool has_shape = false, has_offsets = false;
    uint64_t numel = 0;
    if (!expect(p, '{'))
        return false;
    do {
        const char *key;
        if (!string(p, &key) || !expect(p, ':'))
            return false;
        if (!e->dtype && strcmp(key, "dtype") == 0) {
            if (!dtype(p, e))
                return false;
        } else if (!has_shape && strcmp(key, "shape") == 0) {
            if (!shape(p, e, &numel))
                return false;
            has_shape = true;
        } else if (!has_offsets && strcmp(key, "data_offsets") == 0) {
            if (!offsets(p, e))
                return false;
            has_offsets = true;
        } else
            return fail_at(p, "expected dtype, shape and data_offsets, each once");
    } while (accept(p, ','));
    if (!expect(p, '}'))
        return false;
    if (!e->dtype || !has_shape || !has_offsets)
        return fail_at(p, "expected dtype, shape and data_offsets, each once");
    if (numel > INT64_MAX / (uint64_t)e->dtype->bits || numel * (uint64_t)e->dtype->bits % 8 != 0 ||
        numel * (uint64_t)e->dtype->bits / 8 != e->end - e->begin)
        return fail_at(p, "data_offsets that do not fit dtype and shape");
    return true;
}

/* {"key":"value",...} */
static bool metadata(parser *p)
{
    tarn_safetensors *f = p->file;
    if (!expect(p, '{'))
        return false;
    if (accept(p, '}'))
        return true;
    do {
        tarn__st_text t;
        if (!string(p, &t.key) || !expect(p, ':') || !string(p, &t.value))
            return false;
        if (!grow((void **)&f->metadata, f->metadata_count, &f->metadata_capacity, sizeof t))
            return fail_at(p, "no memory");
        f->metadata[f->metadata_count++] = t;
    } while (accept(p, ','));
    return expect(p, '}');
}

static bool header(parser *p)
{
    tarn_safetensors *f = p->file;
    bool has_metadata = false;
    if (peek(p) != '{') /* without the white space that JSON would allow */
        return fail_at(p, "expected {");
    p->at++;
    if (!accept(p, '}')) {
        do {
            tarn__st_entry e = {0};
            if (!string(p, &e.name) || !expect(p, ':'))
                return false;
            if (strcmp(e.name, TARN__ST_METADATA) == 0) {
                if (has_metadata)
                    return fail_at(p, TARN__ST_METADATA " is given twice");
                has_metadata = true;
                if (!metadata(p))
                    return false;
                continue;
            }
            if (!entry(p, &e))
                return false;
            if (!grow((void **)&f->entries, f->count, &f->capacity, sizeof e))
                return fail_at(p, "no memory");
            f->entries[f->count++] = e;
        } while (accept(p, ','));
        if (!expect(p, '}'))
            return false;
    }
    peek_token(p);
    return p->at == p->length || fail_at(p, "something follows the header's object");
}

/* ---- all together */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const tarn__st_entry *)a)->name, ((const tarn__st_entry *)b)->name);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const tarn__st_text *)a)->key, ((const tarn__st_text *)b)->key);
}

static int compare_places(const void *a, const void *b)
{
    const tarn__st_entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return compare_names(a, b);
}

/* Pointers to `count` items of `size` bytes, sorted. NULL when there is no memory. */
static const void **sorted(const void *items, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    const void **pointers = tarn__allocate(count * sizeof *pointers);
    if (!pointers)
        return NULL;
    for (size_t i = 0; i < count; i++)
        pointers[i] = (const char *)items + i * size;
    tarn__sort(pointers, count, compare);
    return pointers;
}

static bool given_twice(const parser *p, const char *name)
{
    return tarn_fail("%s: %s: \"%s\" is given twice", p->who, p->file->path, tarn__safe_text_of(name).text);
}

static bool check_names(const parser *p)
{
    tarn_safetensors *f = p->file;
    f->by_name = (const tarn__st_entry **)sorted(f->entries, f->count, sizeof f->entries[0], compare_names);
    f->by_place = (const tarn__st_entry **)sorted(f->entries, f->count, sizeof f->entries[0], compare_places);
    f->by_key = (const tarn__st_text **)sorted(f->metadata, f->metadata_count, sizeof f->metadata[0], compare_keys);
    if (!f->by_name || !f->by_place || !f->by_key)
        return tarn_fail("%s: %s: no memory", p->who, f->path);
    for (size_t i = 1; i < f->count; i++)
        if (compare_names(f->by_name[i - 1], f->by_name[i]) == 0)
            return given_twice(p, f->by_name[i]->name);
    for (size_t i = 1; i < f->metadata_count; i++)
        if (compare_keys(f->by_key[i - 1], f->by_key[i]) == 0)
            return given_twice(p, f->by_key[i]->key);
    return true;
}

bool tarn__st_parse(const char *who, tarn_safetensors *f, size_t length)
{
    parser p = {who, f, length, 0};
    if (!header(&p) || !check_names(&p))
        return false;
    f->data_bytes = 0;
    for (size_t i = 0; i < f->count; i++) {
        const tarn__st_entry *e = f->by_place[i];
        if (e->begin != f->data_bytes)
            return tarn_fail("%s: %s: \"%s\" begins at byte %" PRIu64 " of the data, expected %" PRIu64
                             ": tensors must follow each other without holes",
                             who, f->path, tarn__safe_text_of(e->name).text, e->begin, f->data_bytes);
        f->data_bytes = e->end;
    }
    return true;
}
