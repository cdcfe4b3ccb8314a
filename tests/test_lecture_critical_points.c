/* L15: the Hessian tells a saddle from a minimum, and shows the way down; few directions of a network's critical point
 * go down at low loss. L16: the loss may stall without a critical point, between the walls of a valley. */
#include "tests/layers_cases.h"

#include "autograd/curvature.h"

/* ---- y = w1 w2 x, x = 1, target 1 ---- */

typedef struct two_weights {
    tarn_tensor *w1, *w2;
} two_weights;

static tarn_tensor *two_weights_loss(tarn_tape *t, void *context)
{
    const two_weights *m = context;
    return tarn_square(t, tarn_add_scalar(t, tarn_mul(t, m->w1, m->w2), -1));
}

static two_weights two_weights_at(double w1, double w2)
{
    two_weights m = {tarn_params_add(f.p, "w1", 0, NULL), tarn_params_add(f.p, "w2", 0, NULL)};
    assert_true(tarn_fill(m.w1, w1) && tarn_fill(m.w2, w2));
    return m;
}

static void the_origin_is_a_saddle(void **state)
{
    (void)state;
    two_weights m = two_weights_at(0, 0);
    tarn_critical_point_report r;
    assert_true(tarn_critical_point(&(tarn_objective){two_weights_loss, &m, f.p, f.t}, NULL, &r));
    assert_int_equal(r.kind, TARN_SADDLE);
    assert_true(r.value == 1 && r.gradient_norm == 0);
    assert_true(fabs(r.smallest + 2) < 1e-12 && fabs(r.largest - 2) < 1e-12);
    assert_true(r.minimum_ratio == 0.5);
}

static void minima_have_a_flat_direction(void **state)
{
    (void)state;
    two_weights m = two_weights_at(2, 0.5);
    tarn_critical_point_report r;
    assert_true(tarn_critical_point(&(tarn_objective){two_weights_loss, &m, f.p, f.t}, NULL, &r));
    assert_int_equal(r.kind, TARN_DEGENERATE);
    assert_true(r.value == 0 && fabs(r.smallest) < 1e-12 && fabs(r.largest - 8.5) < 1e-12); /* 2 (w1^2 + w2^2) */
    assert_int_equal(r.negative, 0);
}

/* Loss before the last of so many steps of plain gradient descent. */
static double descend(const tarn_objective *o, double lr, int steps)
{
    tarn_optim *sgd = tarn_sgd_new(o->params, &(tarn_sgd_opts){.lr = lr});
    double value = NAN;
    for (int i = 0; i < steps; i++) {
        tarn_tensor *loss = o->loss(o->tape, o->context);
        value = tarn_item(loss);
        assert_true(tarn_backward(o->tape, loss) && tarn_optim_step(sgd));
        tarn_tape_reset(o->tape);
    }
    tarn_optim_free(sgd);
    return value;
}

static void descent_leaves_it_along_the_negative_eigenvector_only(void **state)
{
    (void)state;
    two_weights m = two_weights_at(0, 0);
    const tarn_objective o = {two_weights_loss, &m, f.p, f.t};
    double curvature;
    tarn_tensor *way = tarn_escape_direction_new(&o, NULL, &curvature);
    assert_non_null(way);
    const double x = tarn_at(way, (int64_t[]){0}), y = tarn_at(way, (int64_t[]){1});
    assert_true(fabs(curvature + 2) < 1e-9 && fabs(x - sqrt(0.5)) < 1e-9 && fabs(y - x) < 1e-9);
    assert_true(descend(&o, 0.05, 80) == 1); /* no gradient, no step */
    tarn_fill(m.w1, 0.02 * x), tarn_fill(m.w2, -0.02 * y);
    assert_true(descend(&o, 0.05, 40) > 0.99); /* beside it on the side that goes up: back to the saddle */
    tarn_fill(m.w1, 0.02 * x), tarn_fill(m.w2, 0.02 * y);
    assert_true(descend(&o, 0.05, 80) < 1e-5);
    tarn_tensor_free(way);
}

/* ---- a small network ---- */

typedef struct net {
    tarn_linear_layer hidden, out;
    tarn_tensor *x, *labels;
} net;

enum { FEATURES = 4, HIDDEN = 5, EXAMPLES = 48, CLASSES_HERE = 3 };

static tarn_tensor *net_loss(tarn_tape *t, void *context)
{
    const net *m = context;
    return tarn_cross_entropy(t, tarn_linear_apply(t, &m->out, tarn_tanh(t, tarn_linear_apply(t, &m->hidden, m->x))),
                              m->labels);
}

/* Inputs and a random map's classes; both sorts of weights. */
static void net_init(net *m)
{
    tarn_rng rng = tarn_rng_seed(21);
    tarn_linear_init(&m->hidden, f.p, "hidden", &rng, FEATURES, HIDDEN, NULL);
    tarn_linear_init(&m->out, f.p, "out", &rng, HIDDEN, CLASSES_HERE, NULL);
    m->x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(EXAMPLES, FEATURES), &rng, -2, 2);
    tarn_tensor *map = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(FEATURES, CLASSES_HERE), &rng, -1, 1);
    m->labels = tarn_tensor_clone(tarn_argmax(f.t, tarn_matmul(f.t, m->x, map), 1));
    tarn_tape_reset(f.t);
    tarn_tensor_free(map);
    assert_null(tarn_error());
}

static void net_free(net *m)
{
    tarn_tensor_free(m->x), tarn_tensor_free(m->labels);
}

static void more_directions_are_a_minimums_at_lower_loss(void **state)
{
    (void)state;
    net m;
    net_init(&m);
    const tarn_objective o = {net_loss, &m, f.p, f.t};
    /* No weight but the last layer's bias, trained: what the hidden layer does makes no difference, whatever its sign. */
    for (size_t i = 0; i < tarn_params_count(f.p); i++)
        tarn_fill(tarn_params_at(f.p, i), 0);
    descend(&o, 1, 200);
    tarn_critical_point_report high, low;
    assert_true(tarn_critical_point(&o, NULL, &high));
    assert_int_equal(high.kind, TARN_SADDLE);
    assert_true(high.negative >= HIDDEN); /* each unit may go either way */

    tarn_tensor *saddle = tarn_params_vector_new(f.p), *way = tarn_escape_direction_new(&o, NULL, NULL);
    tarn_tensor *beside = tarn_tensor_clone(tarn_add(f.t, saddle, tarn_mul_scalar(f.t, way, 0.05)));
    tarn_tape_reset(f.t);
    tarn_params_set_vector(f.p, beside);
    assert_true(descend(&o, 0.5, 500) < 0.5 * high.value); /* the way out leads down */
    assert_true(tarn_critical_point(&o, NULL, &low));
    assert_true(low.negative < high.negative && low.minimum_ratio > high.minimum_ratio);
    tarn_tensor_free(saddle), tarn_tensor_free(way), tarn_tensor_free(beside);
    net_free(&m);
}

/* ---- between the walls ---- */

/* A valley with steep walls: 1/2 (30 u^2 + 0.01 v^2). A step of rate r bears curvature up to 2/r. */
static tarn_tensor *valley_loss(tarn_tape *t, void *context)
{
    (void)context;
    tarn_tensor *curvature = tarn_constant(t, TARN_F64, TARN_SHAPE(2), (double[]){30, 0.01});
    tarn_tensor *squares = tarn_square(t, tarn_params_at(f.p, 0));
    return tarn_mul_scalar(t, tarn_sum(t, tarn_mul(t, curvature, squares), TARN_ALL_AXES, false), 0.5);
}

static void the_loss_stalls_between_walls_with_a_large_gradient(void **state)
{
    (void)state;
    assert_non_null(tarn_params_add(f.p, "x", TARN_SHAPE(2)));
    const tarn_objective o = {valley_loss, NULL, f.p, f.t};
    tarn_tensor *start = tarn_tensor_from(TARN_F64, TARN_SHAPE(2), (double[]){0.3, 2});
    tarn_extremes ends;
    assert_true(tarn_hessian_extremes(&o, 0, 1, NULL, &ends));
    const double bears = 2 / tarn_at(ends.values, (int64_t[]){0});
    tarn_params_set_vector(f.p, start);
    const double first = tarn_objective_value(&o);
    const double stalled = descend(&o, 0.99999 * bears, 100); /* from wall to wall */
    assert_true(stalled > 0.95 * first);
    double value;
    tarn_tensor *g = tarn_objective_gradient_new(&o, &value), *before = tarn_params_vector_new(f.p);
    assert_true(fabs(tarn_at(g, (int64_t[]){0})) > 8); /* 9 at the start */
    tarn_critical_point_report r;
    assert_true(tarn_critical_point(&o, NULL, &r));
    assert_int_equal(r.kind, TARN_NOT_CRITICAL);
    /* One more step crosses the valley: the gradient turns round. */
    descend(&o, 0.99999 * bears, 1);
    tarn_tensor *across = tarn_objective_gradient_new(&o, NULL);
    assert_true(tarn_at(across, (int64_t[]){0}) * tarn_at(g, (int64_t[]){0}) < 0);
    /* From the same place, a tenth of the rate goes down. */
    tarn_params_set_vector(f.p, before);
    assert_true(descend(&o, 0.1 * bears, 100) < 0.1 * stalled);
    tarn_tensor_free(start), tarn_tensor_free(g), tarn_tensor_free(before), tarn_tensor_free(across);
    tarn_extremes_free(&ends);
}

/* The ends of a network's spectrum along its training, by products alone: those of the whole Hessian. */
static void the_ends_of_the_spectrum_need_products_only(void **state)
{
    (void)state;
    net m;
    net_init(&m);
    const tarn_objective o = {net_loss, &m, f.p, f.t};
    for (int round = 0; round < 3; round++) {
        tarn_critical_point_report whole;
        tarn_extremes ends;
        assert_true(tarn_critical_point(&o, NULL, &whole));
        assert_true(tarn_hessian_extremes(&o, 1, 1, NULL, &ends));
        assert_true(fabs(tarn_at(ends.values, (int64_t[]){0}) - whole.smallest) < 1e-8);
        assert_true(fabs(tarn_at(ends.values, (int64_t[]){1}) - whole.largest) < 1e-8);
        assert_true(whole.smallest < 0 && whole.largest > 0);
        tarn_extremes_free(&ends);
        descend(&o, 0.2, 30);
    }
    net_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_origin_is_a_saddle),
        TEST(minima_have_a_flat_direction),
        TEST(descent_leaves_it_along_the_negative_eigenvector_only),
        TEST(more_directions_are_a_minimums_at_lower_loss),
        TEST(the_loss_stalls_between_walls_with_a_large_gradient),
        TEST(the_ends_of_the_spectrum_need_products_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
