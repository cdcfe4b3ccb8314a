#include "optim/optim_impl.h"
#include "tensor/arena.h"
#include "tensor/parallel.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { TILE = 16384, MAX_NAME = 255, LOW_BITS = 20, LOW_LIMIT = 1 << LOW_BITS, HIGH_LIMIT = 1 << 24 };

/* A parameter and what belongs to it. */
typedef struct slot {
    tarn_tensor *param;
    tarn_tensor *moment[TARN__MAX_MOMENTS];
    int64_t first_tile;
    int64_t t;   /* of the step under way */
    bool moving; /* takes part in it */
} slot;

struct tarn_optim {
    const tarn__optim_rule *rule;
    const tarn__loops *loops;
    void *settings;
    double lr;
    tarn_params *params, *state;
    size_t seen; /* how many of the store's tensors have been looked at */
    tarn_tensor *counts;
    slot *slots;
    int64_t n_slots, tiles;
};

/* ---- making ---- */

static int64_t trained_count(const tarn_params *params)
{
    int64_t count = 0;
    for (size_t i = 0; i < tarn_params_count(params); i++)
        count += tarn_params_at(params, i)->grad != NULL;
    return count;
}

static bool add_moments(const char *who, tarn_optim *o, slot *s)
{
    for (int k = 0; k < o->rule->n_moments; k++) {
        char name[MAX_NAME + 1];
        int length = snprintf(name, sizeof name, "%s.%s.%s", o->rule->name, o->rule->moment[k], s->param->name);
        if (length > MAX_NAME)
            return tarn_fail("%s: \"%s\" is too long a name: with \"%s.%s.\" before it, it has more than %d bytes", who,
                             s->param->name, o->rule->name, o->rule->moment[k], MAX_NAME);
        s->moment[k] = tarn_params_add_buffer(o->state, name, s->param->ndim, s->param->shape);
        if (!s->moment[k])
            return false;
    }
    return true;
}

static bool fill_in(const char *who, tarn_optim *o, const void *settings, size_t settings_size)
{
    o->settings = tarn__allocate(settings_size);
    o->slots = tarn__allocate_zeroed((size_t)o->n_slots * sizeof *o->slots);
    if (!o->settings || !o->slots)
        return tarn_fail("%s: no memory", who);
    memcpy(o->settings, settings, settings_size);
    o->state = tarn_params_new(tarn_params_dtype(o->params));
    if (!o->state)
        return false;
    slot *s = o->slots;
    o->seen = tarn_params_count(o->params);
    for (size_t i = 0; i < o->seen; i++) {
        tarn_tensor *x = tarn_params_at(o->params, i);
        if (!x->grad)
            continue;
        s->param = x;
        s->first_tile = o->tiles;
        o->tiles += tarn__tiles(x->numel, TILE);
        if (!add_moments(who, o, s++))
            return false;
    }
    char name[MAX_NAME + 1];
    snprintf(name, sizeof name, "%s.steps", o->rule->name);
    o->counts = tarn_params_add_buffer(o->state, name, TARN_SHAPE(1 + o->n_slots, 2));
    return o->counts != NULL;
}

tarn_optim *tarn__optim_new(const char *who, tarn_params *params, const tarn__optim_rule *rule, double lr,
                            const void *settings, size_t settings_size)
{
    if (!tarn__usable(who, params, "params"))
        return NULL;
    int64_t n_slots = trained_count(params);
    if (n_slots == 0) {
        tarn_fail("%s: the store has no parameters: add them before making the optimiser", who);
        return NULL;
    }
    tarn_optim *o = tarn__allocate_zeroed(sizeof *o);
    if (!o) {
        tarn_fail("%s: no memory", who);
        return NULL;
    }
    o->rule = rule;
    o->loops = tarn__loops_of(tarn_params_dtype(params));
    o->lr = lr;
    o->params = params;
    o->n_slots = n_slots;
    if (fill_in(who, o, settings, settings_size))
        return o;
    tarn_optim_free(o);
    return NULL;
}

bool tarn__optim_start(tarn_optim *o, int k, double value)
{
    for (int64_t i = 0; o && i < o->n_slots; i++)
        for (int64_t at = 0; at < o->slots[i].moment[k]->numel; at++)
            tarn__store(o->slots[i].moment[k], at, value);
    return o != NULL;
}

void tarn_optim_free(tarn_optim *o)
{
    if (!o)
        return;
    tarn_params_free(o->state);
    tarn__release(o->slots);
    tarn__release(o->settings);
    tarn__release(o);
}

/* ---- counts ---- */

static bool is_whole(double value, double limit)
{
    return value >= 0 && value < limit && value == floor(value);
}

/* The count in a row; -1 when somebody has written what is not one. */
static int64_t count_at(const tarn_optim *o, int64_t row)
{
    double high = tarn__load(o->counts, 2 * row), low = tarn__load(o->counts, 2 * row + 1);
    return is_whole(high, HIGH_LIMIT) && is_whole(low, LOW_LIMIT) ? (int64_t)high * LOW_LIMIT + (int64_t)low : -1;
}

/* Past the last count that fits, it stays there. */
static void set_count(tarn_optim *o, int64_t row, int64_t count)
{
    if (count >> LOW_BITS >= HIGH_LIMIT)
        return;
    tarn__store(o->counts, 2 * row, (double)(count >> LOW_BITS));
    tarn__store(o->counts, 2 * row + 1, (double)(count % LOW_LIMIT));
}

/* ---- stepping ---- */

static bool params_unchanged(tarn_optim *o)
{
    for (; o->seen < tarn_params_count(o->params); o->seen++) {
        const tarn_tensor *x = tarn_params_at(o->params, o->seen);
        if (x->grad)
            return tarn_fail("tarn_optim_step: \"%s\" was added to the store after the optimiser was made", x->name);
    }
    return true;
}

static bool counts_are_counts(const tarn_optim *o)
{
    for (int64_t row = 0; row <= o->n_slots; row++)
        if (count_at(o, row) < 0)
            return tarn_fail("tarn_optim_step: row %" PRId64 " of \"%s\" is not a count", row, o->counts->name);
    return true;
}

static const slot *slot_of(const tarn_optim *o, int64_t tile)
{
    int64_t low = 0, high = o->n_slots; /* the last slot that starts at or before the tile is in [low, high) */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (o->slots[middle].first_tile <= tile)
            low = middle;
        else
            high = middle;
    }
    return &o->slots[low];
}

static void step_tile(void *context, int64_t tile)
{
    const tarn_optim *o = context;
    const slot *s = slot_of(o, tile);
    if (!s->moving)
        return;
    int64_t from = (tile - s->first_tile) * TILE, left = s->param->numel - from;
    size_t n = (size_t)(left < TILE ? left : TILE), size = tarn_dtype_size(s->param->dtype);
    size_t offset = (size_t)from * size;
    void *moment[TARN__MAX_MOMENTS] = {NULL};
    for (int k = 0; k < o->rule->n_moments; k++)
        moment[k] = (char *)s->moment[k]->data + offset;
    char *grad = (char *)s->param->grad->data + offset;
    o->rule->step(o->loops, o->settings, o->lr, s->t, n, (char *)s->param->data + offset, grad, moment);
    memset(grad, 0, n * size); /* here, while it is in the cache */
}

static void slot_finish(tarn_optim *o, slot *s)
{
    set_count(o, s - o->slots + 1, s->t);
    s->param->version++;
    s->param->grad->version++;
    s->param->has_grad = false;
    for (int k = 0; k < o->rule->n_moments; k++)
        s->moment[k]->version++;
}

bool tarn_optim_step(tarn_optim *o)
{
    if (!tarn__usable("tarn_optim_step", o, "optimiser") || !params_unchanged(o) || !counts_are_counts(o))
        return false;
    for (int64_t i = 0; i < o->n_slots; i++) {
        slot *s = &o->slots[i];
        s->moving = s->param->has_grad;
        s->t = count_at(o, i + 1) + 1;
    }
    tarn__parallel_for(o->tiles, step_tile, o);
    for (int64_t i = 0; i < o->n_slots; i++)
        if (o->slots[i].moving)
            slot_finish(o, &o->slots[i]);
    set_count(o, 0, count_at(o, 0) + 1);
    o->counts->version++;
    return true;
}

/* ---- asking and setting ---- */

bool tarn_optim_set_lr(tarn_optim *o, double lr)
{
    if (!tarn__usable("tarn_optim_set_lr", o, "optimiser") ||
        !tarn__is_in("tarn_optim_set_lr", "lr", lr, TARN__NOT_NEGATIVE))
        return false;
    o->lr = lr;
    return true;
}

double tarn_optim_lr(const tarn_optim *o)
{
    return o ? o->lr : 0;
}

int64_t tarn_optim_steps(const tarn_optim *o)
{
    int64_t count = o ? count_at(o, 0) : 0;
    return count < 0 ? 0 : count;
}

tarn_params *tarn_optim_state(const tarn_optim *o)
{
    return o ? o->state : NULL;
}
