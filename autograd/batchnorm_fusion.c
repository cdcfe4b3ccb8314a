/* BatchNorm with what stands around it, in the same passes over memory. In training the node of BatchNorm itself stays:
 * it computes mean and variance, and moves the running statistics; only y is left to the one that fuses. */
#include "autograd/fusion.h"

/* ---- what a fused run reads ---- */

enum { MAX_READS = 12 };

typedef struct reads {
    tarn_tensor *x[MAX_READS];
    int count; /* above MAX_READS: they have no room */
} reads;

static void reads_add(reads *r, tarn_tensor *x)
{
    if (x && r->count++ < MAX_READS)
        r->x[r->count - 1] = x;
}

static void reads_add_parts(reads *r, const tarn__batchnorm_parts *p)
{
    reads_add(r, p->x);
    reads_add(r, p->gamma);
    reads_add(r, p->beta);
    reads_add(r, p->mean);
    reads_add(r, p->var);
}

/* ---- y = relu(BN(a) + BN(b) + residual), pooled ---- */

typedef struct fused_y {
    tarn__batchnorm_parts a, b; /* b.x NULL: none */
    tarn_tensor *residual;      /* NULL: none */
    bool relu;
    const tarn__window *pool; /* NULL: none */
} fused_y;

static bool y_run(tarn_node *n)
{
    const fused_y *f = n->fusion_data;
    tarn__batchnorm_y job = {.relu = f->relu, .pool = f->pool, .y = n->out[0]->data};
    void *scratch = tarn__scratch(n, tarn__batchnorm_scratch(f->a.b));
    if (!scratch || !tarn__batchnorm_arrays(n, &f->a, &job.a))
        return false;
    if (f->b.x && !tarn__batchnorm_arrays(n, &f->b, &job.b))
        return false;
    if (f->residual && !(job.residual = tarn__packed(n, f->residual)))
        return false;
    if (f->pool) {
        job.at = n->out[1]->data;
        if (!job.y && !(job.y = tarn__scratch(n, tarn__bytes(n->out[0]))))
            return false;
    }
    tarn__batchnorm_apply(f->a.b, &job, scratch);
    return true;
}

static bool fuse_y(tarn_node *n, const fused_y *f)
{
    reads r = {.count = 0};
    reads_add_parts(&r, &f->a);
    if (f->b.x)
        reads_add_parts(&r, &f->b);
    reads_add(&r, f->residual);
    fused_y *data = tarn__fusion_data(n, sizeof *data);
    if (!data)
        return false;
    *data = *f;
    return r.count <= MAX_READS && tarn__fuse(n, y_run, r.count, r.x, 0, NULL);
}

/* x is BN's y, and need not be there. (If a leaf has changed, BN fails or y is older than that: nobody may go round it.) */
static bool normalized_here(tarn_node *reader, tarn_tensor *x, tarn__batchnorm_parts *parts)
{
    return x->node && x == x->node->out[0] && tarn__is_batchnorm(x->node, parts) && tarn__is_unchanged(x->node) &&
           tarn__only_use(reader, x);
}

/* x is the sum of BN's y and another tensor of its shape. */
static bool sum_here(tarn_node *reader, tarn_tensor *x, fused_y *f)
{
    tarn_node *add = x->node;
    if (!add || !tarn__is_binary(add, TARN__BINARY_add) || !tarn__same_shape(add->in[0], add->in[1]) ||
        !tarn__only_use(reader, x))
        return false;
    bool first = normalized_here(add, add->in[0], &f->a),
         second = normalized_here(add, add->in[1], first ? &f->b : &f->a);
    if (first != second) {
        f->residual = add->in[first];
        f->b.x = NULL;
    }
    return first || second;
}

bool tarn__relu_fuse(tarn_node *n)
{
    fused_y f = {.relu = true};
    return (normalized_here(n, n->in[0], &f.a) || sum_here(n, n->in[0], &f)) && fuse_y(n, &f);
}

bool tarn__max_pool2d_fuse(tarn_node *n)
{
    fused_y f = {.pool = tarn__is_max_pool2d(n)};
    tarn_node *reader = n;
    tarn_tensor *x = n->in[0];
    if (!f.pool)
        return false;
    if (x->node && tarn__is_unary(x->node, TARN__UNARY_relu) && tarn__only_use(n, x)) {
        f.relu = true;
        reader = x->node;
        x = reader->in[0];
    }
    return normalized_here(reader, x, &f.a) && x->ndim == 4 && fuse_y(n, &f);
}

/* ---- the gradient behind relu's and max pooling's ---- */

typedef struct fused_grad {
    tarn__batchnorm_parts x;
    tarn_tensor *g, *at, *y; /* at: with a pool; y: of TARN__MASK_Y */
    const tarn__window *pool;
    tarn__normal_mask relu;
    tarn_tensor *masked; /* relu's gradient, where others read it too; NULL: they do not */
} fused_grad;

static bool grad_run(tarn_node *n)
{
    const fused_grad *f = n->fusion_data;
    void *scratch = tarn__scratch(n, tarn__batchnorm_scratch(f->x.b));
    tarn__batchnorm_gx job = {.g = tarn__packed(n, f->g),
                              .pool = f->pool,
                              .at = f->at ? f->at->data : NULL,
                              .relu = f->relu,
                              .y = f->y ? tarn__packed(n, f->y) : NULL,
                              .masked = f->masked ? f->masked->data : NULL,
                              .gx = n->out[0]->data,
                              .ggamma = n->out[1]->data,
                              .gbeta = n->out[2]->data};
    if (!scratch || !job.g || (f->y && !job.y) || !tarn__batchnorm_arrays(n, &f->x, &job.x))
        return false;
    tarn__batchnorm_grad(f->x.b, &job, scratch);
    return true;
}

/* g is the gradient of max pooling, and need not be there. The sums over narrow rows would have other bits. */
static bool pooled_here(tarn_node *reader, fused_grad *f)
{
    enum { NARROW = 16 };
    tarn_node *pool = f->g->node;
    const tarn__window *window = pool ? tarn__is_max_pool2d_grad(pool) : NULL;
    if (!window || window->c < NARROW || f->x.x->ndim != 4 || !tarn__only_use(reader, f->g))
        return false;
    f->pool = window;
    f->g = pool->in[0];
    f->at = pool->in[1];
    return true;
}

/* relu's y, that its gradient was masked by, is relu(BN(x)) of the same BatchNorm: then x says it too. */
static bool masked_by_own(fused_grad *f, const tarn_tensor *y)
{
    tarn__batchnorm_parts parts;
    if (!y->node || !tarn__is_unary(y->node, TARN__UNARY_relu))
        return false;
    const tarn_node *normal = y->node->in[0]->node;
    if (!normal || !tarn__is_batchnorm(normal, &parts) || y->node->in[0] != normal->out[0] || parts.mean != f->x.mean ||
        !tarn__is_unchanged(normal))
        return false;
    f->x.beta = parts.beta;
    return true;
}

bool tarn__batchnorm_grad_fuse(tarn_node *n)
{
    fused_grad f = {.relu = TARN__MASK_NONE};
    if (!tarn__is_batchnorm_grad(n, &f.g, &f.x))
        return false;
    tarn_node *relu = f.g->node;
    bool also = false;
    if (relu && tarn__is_binary(relu, TARN__BINARY_relu_grad)) {
        tarn_tensor *g = relu->in[0], *y = relu->in[1];
        bool own = masked_by_own(&f, y), alone = tarn__only_use(n, f.g);
        also = !alone && relu->id + 1 == n->id && !f.g->ready;
        /* g is better masked where it is made, when all of y is read for it */
        if (!(alone || also) || !tarn__same_shape(g, y) || (!own && g->node && tarn__is_elementwise(g->node)))
            return false;
        f.relu = own ? TARN__MASK_OWN : TARN__MASK_Y;
        f.masked = also ? f.g : NULL;
        f.y = own ? NULL : y;
        f.g = g;
    }
    if (!pooled_here(f.relu == TARN__MASK_NONE ? n : relu, &f) && f.relu == TARN__MASK_NONE)
        return false;
    reads r = {.count = 0};
    reads_add_parts(&r, &f.x);
    reads_add(&r, f.g);
    reads_add(&r, f.at);
    reads_add(&r, f.y);
    fused_grad *data = tarn__fusion_data(n, sizeof *data);
    if (!data)
        return false;
    *data = f;
    return r.count <= MAX_READS && tarn__fuse(n, grad_run, r.count, r.x, also, &relu);
}
