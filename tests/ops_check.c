#include "tests/ops_check.h"

enum { SEED = 20 };
static const double MARGIN = 0.02;

/* ---- arrays ---- */

void ops_out(ops_array *out, int ndim, const int64_t *shape)
{
    out->ndim = ndim;
    out->numel = 1;
    for (int i = 0; i < ndim; i++)
        out->numel *= out->shape[i] = shape[i];
    out->v = calloc((size_t)out->numel + 1, sizeof *out->v);
    assert_non_null(out->v);
}

double *ops_at(const ops_array *a, int64_t i, int64_t j, int64_t k, int64_t l)
{
    return &a->v[((i * a->shape[1] + j) * a->shape[2] + k) * a->shape[3] + l];
}

static void unravel(int64_t at, const ops_array *a, int64_t *index)
{
    for (int axis = a->ndim - 1; axis >= 0; axis--) {
        index[axis] = at % a->shape[axis];
        at /= a->shape[axis];
    }
}

static int64_t ravel(const int64_t *index, int ndim, const int64_t *shape)
{
    int64_t at = 0;
    for (int axis = 0; axis < ndim; axis++)
        at = at * shape[axis] + index[axis];
    return at;
}

/* ---- leaves and the views of them ---- */

static bool is_real(const ops_input *in)
{
    return in->kind == OPS_REAL;
}

int ops_source_of(const ops_row *row, ops_way way, int i)
{
    for (int j = 0; way == OPS_TWICE && j < i; j++)
        if (is_real(&row->in[i]) && is_real(&row->in[j]) && row->in[i].ndim == row->in[j].ndim &&
            memcmp(row->in[i].shape, row->in[j].shape, sizeof row->in[i].shape) == 0)
            return j;
    return i;
}

static bool way_applies(const ops_row *row, ops_way way)
{
    int real = 0;
    bool any = way == OPS_PLAIN;
    for (int i = 0; i < row->n_in; i++) {
        const ops_input *in = &row->in[i];
        real += is_real(in);
        any |= (way == OPS_PERMUTED && in->ndim > 1) || (way == OPS_STRIDED && in->ndim > 0) ||
               (way == OPS_EXPANDED && in->ndim > 0 && in->shape[0] > 1) || ops_source_of(row, way, i) != i ||
               (way == OPS_CHAINED && real > 1 && row->order > 0);
    }
    return any;
}

static void leaf_shape(const ops_input *in, ops_way way, int64_t *shape)
{
    memcpy(shape, in->shape, sizeof in->shape);
    if (way == OPS_PERMUTED)
        for (int i = 0; i < in->ndim; i++)
            shape[i] = in->shape[in->ndim - 1 - i];
    if (way == OPS_STRIDED && in->ndim > 0)
        shape[in->ndim - 1] = 2 * in->shape[in->ndim - 1] + 1;
    if (way == OPS_EXPANDED && in->ndim > 0 && in->shape[0] > 1)
        shape[0] = 1;
}

static tarn_tensor *view(tarn_tape *t, const ops_input *in, ops_way way, tarn_tensor *leaf)
{
    static const int reversed[6][5] = {{0}, {0}, {1, 0}, {2, 1, 0}, {3, 2, 1, 0}, {4, 3, 2, 1, 0}};
    if (way == OPS_PERMUTED && in->ndim > 1)
        return tarn_permute(t, leaf, reversed[in->ndim]);
    if (way == OPS_STRIDED && in->ndim > 0)
        return tarn_slice(t, leaf, -1, 1, 2 * in->shape[in->ndim - 1] + 1, 2);
    if (way == OPS_EXPANDED && in->ndim > 0)
        return tarn_expand(t, leaf, in->ndim, in->shape);
    return leaf;
}

/* The same view of plain doubles. */
void ops_view_array(const ops_input *in, ops_way way, const double *leaf, ops_array *out)
{
    int64_t shape[5], index[TARN_MAX_DIMS], from[TARN_MAX_DIMS];
    leaf_shape(in, way, shape);
    ops_out(out, in->ndim, in->shape);
    for (int64_t i = 0; i < out->numel; i++) {
        unravel(i, out, index);
        for (int axis = 0; axis < in->ndim; axis++) {
            from[axis] = way == OPS_PERMUTED ? index[in->ndim - 1 - axis] : index[axis];
            if (way == OPS_STRIDED && axis == in->ndim - 1)
                from[axis] = 2 * index[axis] + 1;
            if (way == OPS_EXPANDED && shape[axis] != in->shape[axis])
                from[axis] = 0;
        }
        out->v[i] = leaf[ravel(from, in->ndim, shape)];
    }
}

/* ---- cases ---- */

static double low_of(const ops_input *in)
{
    return in->low == 0 && in->high == 0 ? -1 : in->low;
}

static double high_of(const ops_input *in)
{
    return in->low == 0 && in->high == 0 ? 1 : in->high;
}

static tarn_tensor *index_new(tarn_rng *rng, const ops_input *in, int64_t numel)
{
    tarn_tensor *x = tarn_tensor_new(in->kind == OPS_U8 ? TARN_U8 : TARN_I32, 1, &numel);
    for (int64_t i = 0; i < numel; i++)
        tarn__store(x, i, in->low + (double)tarn_rng_below(rng, (uint64_t)(in->high - in->low)));
    return x;
}

/* values[first..first+numel) of `pool`, in the dtype under test */
static tarn_tensor *part_of(tarn_tensor *pool, int64_t first, int64_t numel, tarn_dtype dtype)
{
    tarn_tensor *x = tarn_tensor_new(dtype, 1, &numel);
    for (int64_t i = 0; i < numel; i++)
        tarn__store(x, i, tarn__load(pool, first + i));
    return x;
}

bool ops_case_init(ops_case *c, const ops_row *row, ops_way way, tarn_dtype dtype)
{
    *c = (ops_case){.row = row, .way = way, .dtype = dtype};
    if (!way_applies(row, way))
        return false;
    tarn_rng rng = tarn_rng_seed(SEED);
    int64_t numel[OPS_MAX_INPUTS], shape[OPS_MAX_INPUTS][5], all = 0, used = 0;
    for (int i = 0; i < row->n_in; i++) {
        leaf_shape(&row->in[i], way, shape[i]);
        numel[i] = 1;
        for (int axis = 0; axis < row->in[i].ndim; axis++)
            numel[i] *= shape[i][axis];
        all += is_real(&row->in[i]) ? numel[i] : 0;
    }
    tarn_tensor *pool = NULL;
    if (row->distinct)
        pool = tarn_gradcheck_sample_new(&rng, 1, &all, low_of(&row->in[0]), high_of(&row->in[0]), row->n_kinks,
                                         row->kinks, MARGIN, true);
    for (int i = 0; i < row->n_in && !tarn_error(); i++) {
        const ops_input *in = &row->in[i];
        tarn_tensor *drawn = NULL, *flat = NULL;
        if (is_real(in) && !pool)
            drawn = tarn_gradcheck_sample_new(&rng, 1, &numel[i], low_of(in), high_of(in), row->n_kinks, row->kinks,
                                              row->n_kinks > 0 ? MARGIN : 0, false);
        if (tarn_error())
            break;
        flat = is_real(in) ? part_of(pool ? pool : drawn, pool ? used : 0, numel[i], dtype)
                           : index_new(&rng, in, numel[i]);
        used += is_real(in) ? numel[i] : 0;
        c->leaf[i] = tarn_tensor_from(flat->dtype, in->ndim, shape[i], flat->data);
        tarn_tensor_free(flat);
        tarn_tensor_free(drawn);
    }
    tarn_tensor_free(pool);
    c->context = row->setup ? row->setup(dtype) : NULL;
    if (tarn_error())
        fail_msg("%s: %s", ops_case_name(c), tarn_error());
    return true;
}

void ops_case_free(ops_case *c)
{
    for (int i = 0; i < c->row->n_in; i++)
        tarn_tensor_free(c->leaf[i]);
    if (c->row->teardown && c->context)
        c->row->teardown(c->context);
}

tarn_tensor *ops_case_record(tarn_tape *t, tarn_tensor *const *leaf, void *context)
{
    const ops_case *c = context;
    tarn_tensor *x[OPS_MAX_INPUTS] = {NULL};
    for (int i = 0; i < c->row->n_in; i++) {
        int source = ops_source_of(c->row, c->way, i);
        x[i] = source == i ? view(t, &c->row->in[i], c->way, leaf[i]) : x[source];
        /* moves by less than the margin, but not so little that its gradient could hide below the tolerance */
        bool chained = c->way == OPS_CHAINED && i > 0 && is_real(&c->row->in[i]) && is_real(&c->row->in[0]);
        if (chained && tarn_numel(x[0]) > 0)
            x[i] = tarn_add(t, x[i], tarn_mul_scalar(t, tarn_mean(t, tarn_sin(t, x[0]), TARN_ALL_AXES, false), 1e-3));
    }
    return c->row->f(t, x, c->context);
}

const char *ops_case_name(const ops_case *c)
{
    static const char *const ways[] = {"plain", "permuted", "strided", "expanded", "twice", "chained"};
    static char text[160];
    snprintf(text, sizeof text, "%s, %s, %s, %s", c->row->name, c->row->what, ways[c->way], tarn_dtype_name(c->dtype));
    return text;
}

void ops_for_each_row(void (*use)(const ops_row *row, void *context), void *context)
{
    const ops_row *groups[] = {ops_elementwise_rows, ops_reduce_rows, ops_shape_rows,
                               ops_image_rows,       ops_norm_rows,   ops_normalize_rows};
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++)
        for (const ops_row *row = groups[g]; row->name; row++)
            use(row, context);
}

static int complaints;

void ops_complain(const ops_case *c, const char *format, ...)
{
    char text[1500];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_error("%s: %s\n", ops_case_name(c), text);
    tarn_error_clear();
    complaints++;
}

void ops_fail_on_complaints(void)
{
    int count = complaints;
    complaints = 0;
    if (count > 0)
        fail_msg("%d complaints", count);
}

void ops_expect_error(const char *part)
{
    if (!tarn_error() || !strstr(tarn_error(), part))
        fail_msg("the error is \"%s\", expected \"%s\" in it", tarn_error() ? tarn_error() : "none", part);
    tarn_error_clear();
}

tarn_tensor *ops_random_new(uint64_t seed, tarn_dtype dtype, int ndim, const int64_t *shape)
{
    tarn_rng rng = tarn_rng_seed(seed);
    tarn_tensor *x = tarn_tensor_uniform_new(dtype, ndim, shape, &rng, -1, 1);
    assert_non_null(x);
    return x;
}
