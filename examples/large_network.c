/* large_network.c: with BatchNorm a batch is one large network: mean and deviation are part of the graph, and every
 * example's output depends on every example (lecture: "this is a large network"). Draws the Jacobian across a batch in
 * training and in evaluation, and the tape of three examples. */
#include "examples/common/plot.h"
#include "examples/common/study.h"
#include "examples/common/table.h"
#include "examples/common/training.h"

#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

enum { N = 6, IN = 4, HIDDEN = 5, OUT = 3, PIXELS = STUDY_SIDE * STUDY_SIDE, LOGITS = STUDY_CLASSES, ROWS = 6 };

/* Linear, BatchNorm, tanh, Linear: small enough to look at every derivative. */
typedef struct small_net {
    tarn_params *params;
    tarn_linear_layer f1, f2;
    tarn_batchnorm_layer norm;
} small_net;

static tarn_tensor *small_apply(tarn_tape *t, const small_net *m, tarn_tensor *x)
{
    x = tarn_batchnorm_apply(t, &m->norm, tarn_linear_apply(t, &m->f1, x));
    return tarn_linear_apply(t, &m->f2, tarn_tanh(t, x));
}

static bool small_init(small_net *m, tarn_rng *rng)
{
    m->params = tarn_params_new(TARN_F64);
    tarn_linear_init(&m->f1, m->params, "f1", rng, IN, HIDDEN, NULL);
    tarn_batchnorm_init(&m->norm, m->params, "norm", HIDDEN, NULL);
    return tarn_linear_init(&m->f2, m->params, "f2", rng, HIDDEN, OUT, NULL);
}

/* ---- the Jacobian across a batch ---- */

/* What is known of a network in one mode. */
typedef struct coupling {
    tarn_tensor *jacobian; /* [N*out, N*in] */
    tarn_tensor *blocks;   /* [N,N]: the norm of d out_j / d in_i */
    double own, other;     /* the largest on the diagonal, and off it */
} coupling;

static void coupling_free(coupling *c)
{
    tarn_tensor_free(c->jacobian);
    tarn_tensor_free(c->blocks);
}

/* y and x, both on t, have N examples. */
static coupling couple(tarn_tape *t, tarn_tensor *y, tarn_tensor *x)
{
    coupling c = {.jacobian = tarn_jacobian_new(t, y, x)};
    const int64_t out = tarn_numel(y) / N, in = tarn_numel(x) / N;
    tarn_tensor *square = tarn_square(t, tarn_reshape(t, c.jacobian, TARN_SHAPE(N, out, N, in)));
    tarn_tensor *blocks = tarn_sqrt(t, tarn_sum(t, square, TARN_AXES(1, 3), false));
    tarn_tensor *same = tarn_one_hot(t, tarn_arange(t, TARN_I32, N, 0, 1), N, TARN_F64);
    tarn_tensor *others = tarn_add_scalar(t, tarn_neg(t, same), 1);
    c.own = tarn_item(tarn_max(t, tarn_mul(t, blocks, same), TARN_ALL_AXES, false));
    c.other = tarn_item(tarn_max(t, tarn_mul(t, blocks, others), TARN_ALL_AXES, false));
    c.blocks = tarn_tensor_clone(blocks);
    return c;
}

static coupling couple_small(const small_net *m, tarn_tensor *inputs, bool training)
{
    tarn_tape *t = tarn_tape_new();
    tarn_tape_set_training(t, training);
    coupling c = couple(t, small_apply(t, m, inputs), inputs);
    tarn_tape_free(t);
    return c;
}

static coupling couple_images(const stack *net, tarn_tensor *images, bool training)
{
    tarn_tape *t = tarn_tape_new();
    tarn_tape_set_training(t, training);
    coupling c = couple(t, stack_apply(t, net, images), images);
    tarn_tape_free(t);
    return c;
}

/* ---- one image, in different company ---- */

/* The largest difference between the first image's logits when the batch is images[0..count) and when it is
 * images[0] with images[N..N+others) in place of the rest. */
static double difference(const stack *net, tarn_tensor *images, int64_t count, int64_t others, bool training)
{
    tarn_tape *t = tarn_tape_new();
    tarn_tape_set_training(t, training);
    tarn_tensor *first = tarn_slice(t, images, 0, 0, 1, 1), *batch = tarn_slice(t, images, 0, 0, count, 1);
    tarn_tensor *changed =
        others > 0 ? tarn_concat(t, 2, (tarn_tensor *[]){first, tarn_slice(t, images, 0, N, N + others, 1)}, 0) : first;
    tarn_tensor *a = tarn_slice(t, stack_apply(t, net, batch), 0, 0, 1, 1);
    tarn_tensor *b = tarn_slice(t, stack_apply(t, net, changed), 0, 0, 1, 1);
    const double largest = tarn_item(tarn_max(t, tarn_abs(t, tarn_sub(t, a, b)), TARN_ALL_AXES, false));
    tarn_tape_free(t);
    return largest;
}

/* ---- the tape of three examples, in the lecture's names ---- */

enum { THREE = 3 };

static tarn_tensor *mean_of_three(tarn_tape *t, tarn_tensor *const *x)
{
    return tarn_mul_scalar(t, tarn_add(t, tarn_add(t, x[0], x[1]), x[2]), 1.0 / THREE);
}

static bool record_and_write(FILE *file, tarn_tape *t, const small_net *m, tarn_rng *rng)
{
    tarn_tensor *x[THREE], *z[THREE], *centred[THREE], *square[THREE], *normal[THREE], *scaled[THREE], *a[THREE];
    for (int i = 0; i < THREE; i++) {
        x[i] = tarn_uniform(t, TARN_F64, TARN_SHAPE(1, IN), rng, -1, 1);
        z[i] = tarn_matmul(t, x[i], m->f1.weight);
    }
    tarn_tensor *mu = mean_of_three(t, z);
    for (int i = 0; i < THREE; i++) {
        centred[i] = tarn_sub(t, z[i], mu);
        square[i] = tarn_square(t, centred[i]);
    }
    tarn_tensor *sigma = tarn_sqrt(t, mean_of_three(t, square));
    for (int i = 0; i < THREE; i++) {
        normal[i] = tarn_div(t, centred[i], sigma);
        scaled[i] = tarn_add(t, tarn_mul(t, normal[i], m->norm.gamma), m->norm.beta);
        a[i] = tarn_sigmoid(t, scaled[i]);
    }
    const tarn_dot_name names[] = {
        {x[0], "x1"},       {x[1], "x2"},       {x[2], "x3"},       {z[0], "z1"},       {z[1], "z2"},
        {z[2], "z3"},       {normal[0], "z~1"}, {normal[1], "z~2"}, {normal[2], "z~3"}, {scaled[0], "z^1"},
        {scaled[1], "z^2"}, {scaled[2], "z^3"}, {a[0], "a1"},       {a[1], "a2"},       {a[2], "a3"},
        {mu, "mu"},         {sigma, "sigma"},
    };
    return tarn_tape_write_dot(t, file,
                               &(tarn_dot_opts){.title = "Through mu and sigma, z1 feeds a1, a2 and a3",
                                                .n_outputs = THREE,
                                                .outputs = a,
                                                .n_names = sizeof names / sizeof *names,
                                                .names = names});
}

static bool write_dot(const char *path, const small_net *m, tarn_rng *rng)
{
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file)
        return tarn_fail("%s: %s", path ? path : "the path", strerror(errno));
    tarn_tape *t = tarn_tape_new();
    record_and_write(file, t, m, rng);
    tarn_tape_free(t);
    return fclose(file) == 0 && !tarn_error() ? true : tarn_fail("%s: %s", path, strerror(errno));
}

/* Graphviz is nice to have, and no more. */
static void render(const study *s, const char *dot_path, const char *svg_path)
{
    char *const arguments[] = {"dot", "-Tsvg", (char *)dot_path, "-o", (char *)svg_path, NULL};
    pid_t child;
    int status = -1;
    if (posix_spawnp(&child, "dot", NULL, NULL, arguments, environ) == 0)
        waitpid(child, &status, 0);
    if (status != 0 && !s->quiet)
        fprintf(stderr, "%s: %s can be drawn with Graphviz: dot -Tsvg %s\n", s->name, dot_path, dot_path);
}

/* ---- the picture and the table ---- */

/* Names stand at the middle of each example's block. */
static void name_blocks(const char **names, const char *const *examples, int64_t per_example)
{
    for (int64_t i = 0; i < N * per_example; i++)
        names[i] = i % per_example == per_example / 2 ? examples[i / per_example] : "";
}

static bool draw(const study *s, const coupling small[2], const coupling images[2])
{
    static const char *const examples[N] = {"1", "2", "3", "4", "5", "6"};
    static const char *const modes[2] = {"training", "evaluation"};
    const char *columns[N * IN], *rows[N * OUT];
    char titles[4][64];
    plot_field fields[4];
    plot_panel panels[4];
    name_blocks(columns, examples, IN);
    name_blocks(rows, examples, OUT);
    const double most = fmax(images[0].own, images[1].own);
    for (int i = 0; i < 4; i++) {
        const bool is_small = i < 2;
        fields[i] = (plot_field){.columns = is_small ? N * IN : N,
                                 .rows = is_small ? N * OUT : N,
                                 .values = tarn_data(is_small ? small[i].jacobian : images[i - 2].blocks),
                                 .label = is_small ? "derivative" : "norm of the derivative",
                                 .diverging = is_small,
                                 .low = is_small ? -1 : 0,
                                 .high = is_small ? 1 : most,
                                 .cells = true};
        snprintf(titles[i], sizeof titles[i], "%s, %s", is_small ? "Small network" : "Images, convolutions",
                 modes[i % 2]);
        panels[i] = (plot_panel){.title = titles[i],
                                 .x = {.label = "input of example",
                                       .n_ticks = is_small ? N * IN : N,
                                       .tick_names = is_small ? columns : examples},
                                 .y = {.label = "output of example",
                                       .n_ticks = is_small ? N * OUT : N,
                                       .tick_names = is_small ? rows : examples,
                                       .reversed = true},
                                 .field = &fields[i]};
    }
    const bool found = small[0].other > 0 && images[0].other > 0 && small[1].other == 0 && images[1].other == 0;
    char note[256];
    snprintf(
        note, sizeof note,
        "above: all derivatives of Linear, BatchNorm, tanh, Linear on %d random examples; below: their norm for each "
        "pair of %d images in a trained convolutional network; seed %lld",
        N, N, (long long)s->seed);
    return plot_write(
        study_path(s, ".svg"),
        &(plot_figure){.title = found ? "In training every output depends on every example of the batch, in "
                                        "evaluation on its own example only"
                                      : "Which output depends on which example",
                       .note = note,
                       .n_panels = 4,
                       .panels = panels,
                       .columns = 2});
}

static bool tabulate(const study *s, const stack *net, tarn_tensor *images, const coupling small[2],
                     const coupling blocks[2])
{
    static const char *const what[ROWS] = {
        "small network: d output / d its own input, largest norm",
        "small network: d output / d another's input, largest norm",
        "images: d output / d its own input, largest norm",
        "images: d output / d another's input, largest norm",
        "images: one alone or with 5 others, largest difference of its logits",
        "images: one with 5 others or 5 different ones, largest difference",
    };
    double columns[2][ROWS];
    for (int mode = 0; mode < 2; mode++) {
        const bool training = mode == 0;
        const double values[ROWS] = {small[mode].own,
                                     small[mode].other,
                                     blocks[mode].own,
                                     blocks[mode].other,
                                     difference(net, images, N, 0, training),
                                     difference(net, images, N, N - 1, training)};
        memcpy(columns[mode], values, sizeof values);
    }
    const table_column table[] = {{.name = "what", .texts = what},
                                  {.name = "training", .numbers = columns[0]},
                                  {.name = "evaluation", .numbers = columns[1]}};
    return table_print(stdout, 3, table, ROWS) && table_write_csv(study_path(s, ".csv"), 3, table, ROWS);
}

/* One example has no variance: the error says so. */
static void print_refusal(const small_net *m, tarn_tensor *inputs)
{
    if (tarn_error())
        return;
    tarn_tape *t = tarn_tape_new();
    small_apply(t, m, tarn_slice(t, inputs, 0, 0, 1, 1));
    printf("small network, a batch of one in training: %s\n", tarn_error() ? tarn_error() : "no error");
    tarn_error_clear();
    tarn_tape_free(t);
}

static bool train(const study *s, stack *net)
{
    training_log log = {0};
    const stack_opts shape = {
        .convolutions = true, .depth = 4, .width = 8, .activation = TARN_RELU, .norm = STACK_BATCHNORM};
    const training_opts opts = {.steps = s->quick ? 5 : 400,
                                .batch_size = 32,
                                .seed = (uint64_t)s->seed,
                                .lr = 0.1,
                                .label = s->quiet ? NULL : "training"};
    const bool ok = stack_init(net, &shape, (uint64_t)s->seed) && training_run(&log, net, s->train, s->valid, &opts);
    training_free(&log);
    return ok;
}

static void run(study *s)
{
    stack net = {0};
    small_net small = {0};
    coupling on_small[2] = {0}, on_images[2] = {0};
    tarn_tensor *images = NULL, *labels = NULL;
    tarn_rng rng = tarn_rng_seed((uint64_t)s->seed);
    tarn_tensor *inputs = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(N, IN), &rng, -1.7, 1.7);
    if (study_load(s, s->quick ? 200 : 20000, s->quick ? 20 : 1000) && small_init(&small, &rng) && train(s, &net) &&
        study_examples(s->valid, 2 * N, &images, &labels)) {
        tarn_tape *t = tarn_tape_new();
        tarn_tensor *batch = tarn_tensor_clone(tarn_slice(t, images, 0, 0, N, 1));
        tarn_tape_free(t);
        for (int mode = 0; mode < 2; mode++) {
            on_small[mode] = couple_small(&small, inputs, mode == 0);
            on_images[mode] = couple_images(&net, batch, mode == 0);
        }
        tarn_tensor_free(batch);
    }
    const char *dot_path = study_path(s, ".dot"), *svg_path = study_path(s, "_tape.svg");
    if (!tarn_error() && tabulate(s, &net, images, on_small, on_images) && draw(s, on_small, on_images) &&
        write_dot(dot_path, &small, &rng))
        render(s, dot_path, svg_path);
    print_refusal(&small, inputs);
    for (int mode = 0; mode < 2; mode++) {
        coupling_free(&on_small[mode]);
        coupling_free(&on_images[mode]);
    }
    tarn_tensor_free(inputs), tarn_tensor_free(images), tarn_tensor_free(labels);
    stack_free(&net);
    tarn_params_free(small.params);
}

int main(int argc, char **argv)
{
    study s = {.name = "large_network",
               .about = "Shows that BatchNorm makes one large network of a batch: the Jacobian across the examples in\n"
                        "training and in evaluation, and the tape."};
    int status = study_begin(&s, NULL, 0, argc, argv);
    if (status >= 0)
        return status;
    run(&s);
    return study_end(&s);
}
