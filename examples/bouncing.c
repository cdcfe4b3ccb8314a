/* bouncing.c: training that stalls without a critical point. Gradient descent on all images at once, at a rate that is
 * too large for the valley and then at a tenth of it: the loss, the norm of the gradient, the angle between one step
 * and the next, and the ends of the Hessian's spectrum, whose largest eigenvalue a step of rate r bears up to 2/r. */
#include "examples/common/plot.h"
#include "examples/common/study.h"
#include "examples/common/table.h"
#include "examples/common/training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PANELS = 4, PHASES = 3 };

typedef struct settings {
    int64_t images, depth, width, steps, cut, every, products;
    double lr;
} settings;

/* What is seen before each step, and every o->every steps. */
typedef struct course {
    const settings *o;
    tarn_tape *tape;
    stack_problem problem;
    tarn_tensor *point, *moved; /* the parameters before this step, and what the last step added to them */
    double *step, *turn;        /* [steps]: the cosine of the angle between the last step and the one before */
    int64_t checks;
    double *at, *largest, *smallest; /* [steps / every + 1] */
    double *memory;
} course;

static bool course_init(course *c, const settings *o)
{
    const int64_t n = o->steps, checks = n / o->every + 1;
    *c = (course){.o = o, .tape = tarn_tape_new(), .memory = calloc((size_t)(2 * n + 3 * checks), sizeof(double))};
    if (!c->memory)
        return tarn_fail("bouncing: no memory for %lld steps", (long long)n);
    c->step = c->memory;
    c->turn = c->step + n;
    c->at = c->turn + n;
    c->largest = c->at + checks;
    c->smallest = c->largest + checks;
    return !tarn_error();
}

static void course_free(course *c)
{
    tarn_tensor_free(c->point);
    tarn_tensor_free(c->moved);
    tarn_tensor_free(c->problem.images);
    tarn_tensor_free(c->problem.labels);
    tarn_tape_free(c->tape);
    free(c->memory);
}

static tarn_tensor *dot(tarn_tape *t, tarn_tensor *a, tarn_tensor *b)
{
    return tarn_sum(t, tarn_mul(t, a, b), TARN_ALL_AXES, false);
}

/* How the step that led here and the one before it point. */
static double turn(course *c, const stack *net)
{
    tarn_tensor *point = tarn_params_vector_new(net->params), *moved = NULL;
    double cosine = NAN;
    if (c->point)
        moved = tarn_tensor_clone(tarn_sub(c->tape, point, c->point));
    if (c->moved) {
        tarn_tensor *lengths = tarn_mul(c->tape, dot(c->tape, moved, moved), dot(c->tape, c->moved, c->moved));
        cosine = tarn_item(tarn_mul(c->tape, dot(c->tape, moved, c->moved), tarn_rsqrt(c->tape, lengths)));
    }
    tarn_tape_reset(c->tape);
    tarn_tensor_free(c->point);
    tarn_tensor_free(c->moved);
    c->point = point;
    c->moved = moved;
    return cosine;
}

static void see(int64_t step, const stack *net, const tarn_batch *batch, void *context)
{
    course *c = context;
    (void)batch; /* all images, in another order */
    c->step[step] = (double)step;
    c->turn[step] = turn(c, net);
    if (step % c->o->every != 0)
        return;
    const tarn_objective f = {stack_loss, &c->problem, net->params, c->tape};
    const tarn_lanczos_opts opts = {.max_steps = c->o->products, .tol = 1e-3, .seed = 1, .once = true};
    tarn_extremes ends = {0};
    if (!tarn_hessian_extremes(&f, 1, 1, &opts, &ends))
        return;
    c->at[c->checks] = (double)step;
    c->smallest[c->checks] = tarn_at(ends.values, (int64_t[]){0});
    c->largest[c->checks++] = tarn_at(ends.values, (int64_t[]){1});
    tarn_extremes_free(&ends);
}

static double rate_at(int64_t step, const training_log *log, void *context)
{
    const settings *o = ((const course *)context)->o;
    (void)log;
    return step < o->cut ? o->lr : o->lr / 10;
}

/* ---- what it comes to ---- */

typedef struct phase {
    const char *name;
    int64_t start, end; /* steps */
    double loss_before, loss_after, gradient_norm, turn, largest, limit;
} phase;

/* NaN where nothing was looked at. */
static double mean_of(const double *x, int64_t start, int64_t end)
{
    if (end <= start)
        return NAN;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *all = tarn_constant(t, TARN_F64, TARN_SHAPE(end - start), x + start);
    const double mean = tarn_item(tarn_mean(t, all, TARN_ALL_AXES, false));
    tarn_tape_free(t);
    return mean;
}

/* Before the cut in two halves, the first without the descent from the start, and what follows the cut after some steps. */
static void summarise(const course *c, const training_log *log, phase phases[PHASES])
{
    const settings *o = c->o;
    const int64_t settled = o->cut / 4, middle = (settled + o->cut) / 2, after = o->cut + (o->steps - o->cut) / 5;
    phases[0] = (phase){.name = "bouncing", .start = settled, .end = middle, .limit = 2 / o->lr};
    phases[1] = (phase){.name = "bouncing on", .start = middle, .end = o->cut, .limit = 2 / o->lr};
    phases[2] = (phase){.name = "a tenth of the rate", .start = after, .end = o->steps, .limit = 20 / o->lr};
    for (int i = 0; i < PHASES; i++) {
        phase *p = &phases[i];
        const int64_t tenth = (p->end - p->start + 9) / 10;
        p->loss_before = mean_of(log->loss, p->start, p->start + tenth);
        p->loss_after = mean_of(log->loss, p->end - tenth, p->end);
        p->gradient_norm = mean_of(log->grad_norm, p->start, p->end);
        p->turn = mean_of(c->turn, p->start, p->end);
        p->largest = mean_of(c->largest, (p->start + o->every - 1) / o->every, (p->end - 1) / o->every + 1);
    }
}

static bool tabulate(const study *s, const phase phases[PHASES])
{
    enum { NUMBERS = 8 };
    double numbers[NUMBERS][PHASES];
    const char *names[PHASES];
    for (int i = 0; i < PHASES; i++) {
        const phase *p = &phases[i];
        const double row[NUMBERS] = {(double)p->start, (double)p->end, p->loss_before, p->loss_after,
                                     p->gradient_norm, p->turn,        p->largest,     p->limit};
        names[i] = p->name;
        for (int k = 0; k < NUMBERS; k++)
            numbers[k][i] = row[k];
    }
    const table_column columns[] = {
        {.name = "phase", .texts = names},
        {.name = "from step", .numbers = numbers[0], .decimals = TABLE_WHOLE},
        {.name = "to step", .numbers = numbers[1], .decimals = TABLE_WHOLE},
        {.name = "loss at its start", .numbers = numbers[2], .decimals = 3},
        {.name = "loss at its end", .numbers = numbers[3], .decimals = 3},
        {.name = "mean gradient norm", .numbers = numbers[4], .decimals = 3},
        {.name = "mean cosine of a step with the next", .numbers = numbers[5], .decimals = 3},
        {.name = "mean largest eigenvalue", .numbers = numbers[6], .decimals = 2},
        {.name = "2 / learning rate", .numbers = numbers[7], .decimals = 2},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, PHASES) &&
           table_write_csv(study_path(s, ".csv"), COLUMNS, columns, PHASES);
}

/* The finding, as far as the numbers bear it out. */
static void write_title(char *title, size_t size, const phase phases[PHASES])
{
    const double calm = phases[1].gradient_norm / phases[2].gradient_norm;
    if (phases[1].gradient_norm > 0.8 * phases[0].gradient_norm && calm > 2 && phases[1].turn < -0.5)
        snprintf(title, size,
                 "In %lld steps the gradient's norm goes only from %.2f to %.2f, at no critical point: the steps "
                 "bounce, each "
                 "turning back the last (cosine %.2f); at a tenth of the rate the norm is %.0f times smaller",
                 (long long)(phases[1].end - phases[0].start), phases[0].gradient_norm, phases[1].gradient_norm,
                 phases[1].turn, calm);
    else
        snprintf(title, size,
                 "In these steps the gradient norm goes from %.2f to %.2f, and to %.2f at a tenth of the rate",
                 phases[0].gradient_norm, phases[1].gradient_norm, phases[2].gradient_norm);
}

static bool draw(const study *s, const course *c, const training_log *log, const phase phases[PHASES])
{
    const settings *o = c->o;
    const int64_t n = log->steps;
    const double until[] = {0, (double)o->cut}, limit[] = {2 / o->lr, 2 / o->lr},
                 cut[] = {(double)o->cut, (double)o->cut};
    const double whole_loss[] = {1e-3, 1e3}, whole_turn[] = {-1, 1};
    char title[256], note[512], bound[64];
    write_title(title, sizeof title, phases);
    snprintf(
        note, sizeof note,
        "%lld Fashion-MNIST images, all in every step; %lld convolutions with ELU, %lld parameters; plain gradient "
        "descent at %g, from step %lld on (dashed) at %g; seed %lld",
        (long long)o->images, (long long)o->depth, (long long)tarn_params_numel(c->problem.net->params), o->lr,
        (long long)o->cut, o->lr / 10, (long long)s->seed);
    snprintf(bound, sizeof bound, "2 / learning rate, until step %lld", (long long)o->cut);
    const plot_series loss[] = {{.n = n, .x = c->step, .y = log->loss, .colour = 1},
                                {.n = 2, .x = cut, .y = whole_loss, .colour = 8, .width = 1, .dashed = true}};
    const plot_series norm[] = {{.n = n, .x = c->step, .y = log->grad_norm, .colour = 2},
                                {.n = 2, .x = cut, .y = whole_loss, .colour = 8, .width = 1, .dashed = true}};
    const plot_series angle[] = {{.n = n, .x = c->step, .y = c->turn, .colour = 3},
                                 {.n = 2, .x = cut, .y = whole_turn, .colour = 8, .width = 1, .dashed = true}};
    const plot_series ends[] = {
        {.name = "largest", .n = c->checks, .x = c->at, .y = c->largest, .style = PLOT_LINE_AND_POINTS, .colour = 1},
        {.name = "smallest", .n = c->checks, .x = c->at, .y = c->smallest, .style = PLOT_LINE_AND_POINTS, .colour = 2},
        {.name = bound, .n = 2, .x = until, .y = limit, .colour = 8, .width = 1, .dashed = true}};
    const plot_axis steps = {.label = "step", .low = 0, .high = (double)o->steps};
    const plot_panel panels[PANELS] = {
        {.x = steps, .y = {.label = "loss", .log = true, .low = 0.1, .high = 5}, .n_series = 2, .series = loss},
        {.x = steps,
         .y = {.label = "norm of the gradient", .log = true, .low = 0.02, .high = 5},
         .n_series = 2,
         .series = norm},
        {.x = steps,
         .y = {.label = "cosine of a step with the next", .low = -1, .high = 1},
         .n_series = 2,
         .series = angle},
        {.x = steps, .y = {.label = "eigenvalues of the Hessian"}, .n_series = 3, .series = ends},
    };
    return plot_write(study_path(s, ".svg"), &(plot_figure){.title = title,
                                                            .note = note,
                                                            .n_panels = PANELS,
                                                            .panels = panels,
                                                            .columns = 2,
                                                            .width = 560,
                                                            .height = 290});
}

static void run(study *s, const settings *o)
{
    stack net = {0};
    training_log log = {0};
    course c;
    phase phases[PHASES];
    const stack_opts shape = {
        .convolutions = true, .depth = (int)o->depth, .width = o->width, .activation = TARN_ELU, .norm = STACK_PLAIN};
    const training_opts training = {.steps = o->steps,
                                    .batch_size = o->images,
                                    .seed = (uint64_t)s->seed,
                                    .lr = o->lr,
                                    .lr_at = rate_at,
                                    .before_step = see,
                                    .context = &c,
                                    .label = s->quiet ? NULL : "training"};
    if (course_init(&c, o) && study_load(s, o->images, 100) && stack_init(&net, &shape, (uint64_t)s->seed)) {
        c.problem.net = &net;
        if (study_examples(s->train, o->images, &c.problem.images, &c.problem.labels) &&
            training_run(&log, &net, s->train, s->valid, &training)) {
            if (log.steps < o->steps)
                tarn_fail("bouncing: diverged at step %lld; a smaller --lr goes on", (long long)log.steps);
            summarise(&c, &log, phases);
            if (!tarn_error() && tabulate(s, phases))
                draw(s, &c, &log, phases);
        }
    }
    training_free(&log);
    stack_free(&net);
    course_free(&c);
}

int main(int argc, char **argv)
{
    study s = {.name = "bouncing",
               .about = "Trains at a rate that is too large for the valley, and looks at its walls."};
    settings o = {
        .images = 1000, .depth = 3, .width = 4, .steps = 400, .cut = 280, .every = 10, .products = 60, .lr = 1};
    const cli_option more[] = {
        {"--images", "N", CLI_INT, &o.images, 10, 20000, "in every step"},
        {"--lr", "X", CLI_REAL, &o.lr, 1e-6, 10, "learning rate of the first seven tenths of the steps"},
        {"--steps", "N", CLI_INT, &o.steps, 40, 100000, "training steps"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick)
        o = (settings){
            .images = 20, .depth = 2, .width = 2, .steps = 20, .cut = 14, .every = 10, .products = 4, .lr = o.lr / 4};
    o.cut = o.steps * 7 / 10;
    run(&s, &o);
    return study_end(&s);
}
