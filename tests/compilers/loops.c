/* Prints a digest of what each loop of the table in tensor/kernels/kernels.h makes of random numbers, a line each: the
 * same with every compiler, at every level of optimisation. test_compilers.sh builds and compares. */
#include "tensor/kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Large enough for every case below, with room before and behind. */
enum { ROOM = 40000, BUFFERS = 12 };

static struct {
    const tarn__loops *loops;
    tarn_dtype dtype;
    uint64_t random, hash;
    const char *name;
    double room[BUFFERS][ROOM];
} run;

static uint64_t next_random(void)
{
    run.random = run.random * 6364136223846793005u + 1442695040888963407u;
    return run.random >> 33;
}

/* -2..2, and now and then a number of another size. */
static double next_number(bool special)
{
    static const double specials[] = {0.0, -0.0, 1e-42, -3e-39, 88.5, -103.0, 1e30, INFINITY, -INFINITY, NAN, 1, -1};
    const uint64_t r = next_random();
    if (special && r % 16 == 0)
        return specials[r / 16 % (sizeof specials / sizeof *specials)];
    return ((double)next_random() / 1073741824.0 - 1) * (r % 4 == 0 && special ? 40 : 2);
}

static size_t size_of(void)
{
    return tarn_dtype_size(run.dtype);
}

static void put(void *to, size_t i, double x)
{
    if (run.dtype == TARN_F64)
        ((double *)to)[i] = x;
    else
        ((float *)to)[i] = (float)x;
}

/* Buffer `index`, from its element 4 on, n of which are random. */
static void *fill(size_t index, size_t n, bool special)
{
    char *to = (char *)run.room[index] + 4 * size_of();
    for (size_t i = 0; i < n; i++)
        put(to, i, next_number(special));
    return to;
}

static void *positive(size_t index, size_t n)
{
    void *to = fill(index, n, false);
    for (size_t i = 0; i < n; i++)
        put(to, i, fabs(next_number(false)));
    return to;
}

static void add_bytes(const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        run.hash = (run.hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
}

/* Which NaN it is, no formula says. */
static void add_double(double x)
{
    x = x == x ? x : (double)NAN;
    if (x == x)
        add_bytes(&x, sizeof x);
    else
        add_bytes("NaN", 3);
}

static void add(const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add_double(run.dtype == TARN_F64 ? ((const double *)from)[i] : (double)((const float *)from)[i]);
}

static void begin(const char *name)
{
    run.name = name, run.hash = 14695981039346656037u, run.random = 1;
}

static void end(void)
{
    printf("%s %s %016llx\n", run.dtype == TARN_F64 ? "f64" : "f32", run.name, (unsigned long long)run.hash);
}

/* ---- elementwise, rows, columns ---- */

static void unary(void)
{
    static const char *const names[] = {
#define UNARY(name, ...)    [TARN__UNARY_##name] = #name,
#define UNARY_P(name, ...)  [TARN__UNARY_##name] = #name,
#define UNARY_PQ(name, ...) [TARN__UNARY_##name] = #name,
#define BINARY(name, ...)
#define RULE(name, ...)
#include "tensor/elementwise.def"
#undef UNARY
#undef UNARY_P
#undef UNARY_PQ
#undef BINARY
#undef RULE
    };
    for (size_t i = 0; i < TARN__UNARY_COUNT; i++) {
        begin(names[i]);
        for (size_t n = 0; n <= 1000; n += n < 70 ? 1 : 310) {
            void *x = fill(0, n, true), *y = fill(1, n, false);
            run.loops->unary[i](n, x, y, 0.3, 0.7);
            add(y, n);
        }
        end();
    }
}

static void binary(void)
{
    static const char *const names[] = {
#define UNARY(name, ...)
#define UNARY_P(name, ...)
#define UNARY_PQ(name, ...)
#define BINARY(name, ...) [TARN__BINARY_##name] = #name,
#define RULE(name, ...)   [TARN__BINARY_##name] = #name,
#include "tensor/elementwise.def"
#undef UNARY
#undef UNARY_P
#undef UNARY_PQ
#undef BINARY
#undef RULE
    };
    for (size_t i = 0; i < TARN__BINARY_COUNT; i++) {
        begin(names[i]);
        for (size_t n = 0; n <= 1000; n += n < 70 ? 1 : 310) {
            void *a = fill(0, n, true), *b = fill(1, n, true), *y = fill(2, n, false);
            run.loops->binary[i](n, a, b, y, 0.3, 0.7);
            add(y, n);
        }
        end();
    }
}

static void rows(void)
{
    static const char *const names[] = {"row_sum", "row_max", "row_min"};
    for (size_t i = 0; i < TARN__REDUCTION_COUNT; i++) {
        begin(names[i]);
        for (size_t n = 1; n <= 2600; n += n < 70 ? 1 : 509)
            for (int special = 0; special < 2; special++)
                add_double(run.loops->row[i](n, fill(0, n, special)));
        end();
    }
    begin("softmax");
    for (size_t n = 1; n <= 700; n += n < 70 ? 1 : 210)
        for (int special = 0; special < 2; special++) {
            void *x = fill(0, n, special), *y = fill(1, n, false);
            run.loops->softmax(n, x, y), add(y, n);
            run.loops->log_softmax(n, x, y), add(y, n);
            double largest;
            add_double(run.loops->exp_rest(n, x, &largest));
            add_double(largest);
            run.loops->scaled_softmax(n, x, 1.7, 0.6, 0.3, y), add(y, n);
            add_double(run.loops->argmax(n, x));
        }
    end();
}

static void columns(void)
{
    static const char *const names[] = {"column_sum", "column_max", "column_min"};
    static const size_t counts[] = {1, 3, 16, 37, 130};
    int32_t at[130];
    for (size_t i = 0; i < TARN__REDUCTION_COUNT; i++) {
        begin(names[i]);
        for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
            for (size_t stride = counts[n]; stride <= counts[n] + 2; stride += 2) {
                double total[130] = {0};
                void *x = fill(0, 90 * stride, i > 0);
                run.loops->column[i](90, counts[n], x, stride, total);
                for (size_t c = 0; c < counts[n]; c++)
                    add_double(total[c]);
                run.loops->column_argmax(90, counts[n], x, stride, at);
                add_bytes(at, counts[n] * sizeof *at);
            }
        end();
    }
}

/* ---- normalization ---- */

static tarn__affine affine(size_t buffer, size_t pixels, size_t channels)
{
    tarn__affine a = {.x = fill(buffer, pixels * channels, false)};
    a.mean = fill(buffer + 1, channels, false);
    a.scale = fill(buffer + 2, channels, false);
    a.shift = fill(buffer + 3, channels, false);
    return a;
}

static const size_t widths[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 40, 64, 67, 133};
enum { WIDTHS = sizeof widths / sizeof *widths };

static void moments(void)
{
    begin("moments");
    for (size_t i = 0; i < WIDTHS; i++)
        for (size_t pixels = 1; pixels < 300; pixels += pixels < 20 ? 3 : 130) {
            double mean[133], m2[133];
            run.loops->moments(pixels, widths[i], fill(0, pixels * widths[i], false), mean, m2);
            for (size_t c = 0; c < widths[i]; c++)
                add_double(mean[c]), add_double(m2[c]);
        }
    end();
}

static const tarn__window pool = {.h = 6, .w = 7, .p = 3, .q = 3, .r = 2, .s = 2, .stride = 2, .dilation = 1};

static void normalize(void)
{
    enum { PIXELS = 42 };
    int32_t at[9 * 133];
    begin("normalize");
    for (size_t i = 0; i < WIDTHS * 8; i++) {
        const size_t channels = widths[i / 8];
        tarn__normal y = {.columns = channels, .a = affine(0, PIXELS, channels), .relu = i & 1};
        if (i & 2)
            y.b = affine(4, PIXELS, channels);
        y.residual = i & 4 ? fill(8, PIXELS * channels, false) : NULL;
        y.y = fill(9, PIXELS * channels, false);
        run.loops->normalize(&y, 0, PIXELS);
        add(y.y, PIXELS * channels);
        if (i & 6)
            continue;
        y.at = at;
        for (int64_t row = 0; row < pool.p; row++)
            run.loops->normalize_pool(&y, &pool, row);
        add(y.y, 9 * channels);
        add_bytes(at, 9 * channels * sizeof *at);
    }
    end();
}

static void normalize_grad(void)
{
    enum { PIXELS = 42 };
    static int32_t at[9 * 133];
    begin("normalize_grad");
    for (size_t i = 0; i < WIDTHS * 12; i++) {
        const size_t channels = widths[i / 12];
        tarn__normal_grad job = {.columns = channels, .a = affine(0, PIXELS, channels)};
        job.relu = (tarn__normal_mask)(i % 3);
        job.pool = i & 4 ? &pool : NULL;
        job.at = at;
        for (size_t k = 0; k < 9 * channels; k++) {
            at[k] = (int32_t)(k / channels / 3 * 14 + k / channels % 3 * 2);
            at[k] += (int32_t)(next_random() % 2);
            at[k] += (int32_t)(next_random() % 2 * 7);
        }
        job.g = fill(4, PIXELS * channels, false), job.y = fill(5, PIXELS * channels, false);
        job.masked = i / 3 % 2 ? fill(6, PIXELS * channels, false) : NULL;
        double sum_g[133] = {0}, sum_gx[133] = {0};
        run.loops->normalize_sums(&job, 0, PIXELS, sum_g, sum_gx);
        for (size_t c = 0; c < channels; c++)
            add_double(sum_g[c]), add_double(sum_gx[c]);
        if (job.masked)
            add(job.masked, PIXELS * channels);
        job.gx_scale = fill(7, channels, false), job.mean_g = fill(8, channels, false);
        job.slope = fill(9, channels, false), job.gx = fill(10, PIXELS * channels, false);
        run.loops->normalize_grad(&job, 0, PIXELS);
        add(job.gx, PIXELS * channels);
    }
    end();
}

/* ---- products and convolutions ---- */

static void product(void)
{
    begin("product");
    for (size_t i = 0; i < 2 * WIDTHS; i++) {
        const int64_t n = (int64_t)widths[i / 2], lanes = run.loops->lanes, step = i % 2 ? 3 : 1;
        int64_t a_row[15], c_row[15], segment[2] = {0, 200};
        for (int64_t k = 0; k < 15; k++)
            a_row[k] = 11 * k, c_row[k] = k * n;
        for (int64_t m = 1; m <= 15; m++) {
            const int64_t depth = 1 + (int64_t)(next_random() % 9);
            tarn__pack pack = {
                .depth = 2 * depth, .panel_depth = 2 * depth, .columns = n, .row_stride = n, .column_stride = 1};
            pack.from = fill(0, (size_t)(2 * depth * n), false);
            pack.to = fill(1, (size_t)(2 * depth * ((n + 2 * lanes) / lanes * lanes + lanes)), false);
            run.loops->pack(&pack);
            tarn__product p = {.m = m,
                               .n = n,
                               .b = pack.to,
                               .a_row = a_row,
                               .segment = segment,
                               .segments = 2,
                               .depth = depth,
                               .a_step = step,
                               .c_row = c_row,
                               .accumulate = m % 2};
            p.a = fill(2, 600, false);
            p.c = fill(3, (size_t)(m * n), false);
            p.bias = m % 3 ? fill(4, (size_t)n, false) : NULL;
            run.loops->product(&p);
            add(p.c, (size_t)(m * n));
        }
    }
    end();
}

/* One row or column, and B transposed into panels. */
static void vector_products(void)
{
    begin("gemv");
    for (size_t i = 0; i < WIDTHS; i++)
        for (int64_t depth = 1; depth < 90; depth += depth < 5 ? 1 : 17) {
            const int64_t n = (int64_t)widths[i], lanes = run.loops->lanes;
            void *x = fill(0, (size_t)(2 * depth), false), *y = fill(1, (size_t)n, false);
            const void *b = fill(2, (size_t)(depth * n), false);
            run.loops->combine_rows(depth, n, x, 2, b, n, y, depth % 2), add(y, (size_t)n);
            run.loops->row_dots(n, depth, x, b, depth, y, 1, depth % 2), add(y, (size_t)n);
            tarn__pack pack = {
                .depth = depth, .panel_depth = depth, .columns = n, .row_stride = 1, .column_stride = depth};
            const size_t room = (size_t)(depth * ((n + lanes - 1) / lanes * lanes));
            pack.from = b, pack.to = fill(3, room, false);
            run.loops->pack(&pack), add(pack.to, room);
        }
    end();
}

static void winograd(void)
{
    enum { H = 9, W = 10, PLANE = 192 };
    begin("winograd");
    for (size_t i = 0; i < WIDTHS; i++) {
        const int64_t c = (int64_t)widths[i], whole = (c + 15) / 16 * 16;
        for (int64_t y = -1; y < H; y += 3)
            for (int64_t x = -1; x < W; x += 3) {
                tarn__winograd w = {.h = H, .w = W, .pixel = c, .channels = c, .y = y, .x = x, .plane = PLANE};
                w.image = fill(0, (size_t)(H * W * c), false);
                w.transformed = fill(1, 36 * PLANE, false);
                run.loops->winograd_input(&w), add(w.transformed, 36 * PLANE);
                run.loops->winograd_output_grad(&w), add(w.transformed, 36 * PLANE);
                if (x < 0 || y < 0)
                    continue;
                w.out = fill(2, (size_t)(H * W * c), false);
                w.bias = y % 2 ? fill(3, (size_t)c, false) : NULL;
                run.loops->winograd_output(&w), add(w.out, (size_t)(H * W * c));
            }
        void *weights = fill(0, 9 * PLANE, false), *planes = fill(1, 36 * PLANE, false);
        run.loops->winograd_weight(whole, weights, PLANE, planes, PLANE), add(planes, 36 * PLANE);
        planes = fill(1, 36 * PLANE, false);
        run.loops->winograd_weight_grad(c, planes, PLANE, weights, PLANE);
        add(weights, 9 * PLANE);
    }
    end();
}

static void depthwise(void)
{
    begin("depthwise");
    for (int64_t c = 1; c <= 70; c++) {
        void *in = fill(0, (size_t)(20 * c), false), *w = fill(1, (size_t)c, false),
             *out = fill(2, (size_t)(9 * c), false);
        run.loops->depthwise(c, 9, in, 2 * c, w, out, c), add(out, (size_t)(9 * c));
        run.loops->depthwise_weight_grad(c, 9, in, 2 * c, out, w), add(w, (size_t)c);
    }
    end();
}

static void windows(void)
{
    const tarn__window w = {
        .h = 7, .w = 6, .c = 19, .p = 4, .q = 3, .r = 3, .s = 3, .stride = 2, .padding = 1, .dilation = 1};
    int32_t at[3 * 19];
    begin("windows");
    for (int64_t p = 0; p < w.p; p++) {
        void *x = fill(0, 7 * 6 * 19, p % 2), *y = fill(1, 3 * 19, false);
        run.loops->max_pool_row(&w, x, p, y, at), add(y, 3 * 19), add_bytes(at, sizeof at);
        run.loops->avg_pool_row(&w, x, p, y), add(y, 3 * 19);
        run.loops->avg_pool_grad_row(&w, y, p, x), add(x, 7 * 6 * 19);
    }
    end();
}

/* ---- optimisers ---- */

static void *weights[4];
static const void *gradient;

static void steps(const char *name, void (*step)(size_t n, int variant), int variants)
{
    begin(name);
    for (size_t n = 0; n <= 300; n += n < 70 ? 1 : 115)
        for (int variant = 0; variant < variants; variant++) {
            weights[0] = fill(0, n, false), gradient = fill(1, n, false);
            for (size_t i = 1; i < 4; i++)
                weights[i] = positive(1 + i, n);
            step(n, variant);
            for (size_t i = 0; i < 4; i++)
                add(weights[i], n);
        }
    end();
}

static void adam(size_t n, int variant)
{
    const tarn__adam_step step = {0.01, 0.9, 0.999, 1e-8, 0.1, 0.001, variant % 2 ? 0.01 : 0, variant / 2 ? 0.1 : 0};
    run.loops->adam(n, &step, weights[0], gradient, weights[1], weights[2]);
}

static void sgd(size_t n, int variant)
{
    const tarn__sgd_step step = {0.01, variant == 0 ? 0 : 0.9, 0.1, 0.01, variant == 2, variant == 3};
    run.loops->sgd(n, &step, weights[0], gradient, weights[1]);
}

static void adagrad(size_t n, int variant)
{
    const tarn__adagrad_step step = {0.01, 1e-10, 0.01, variant == 0 ? 1 : 0.7};
    run.loops->adagrad(n, &step, weights[0], gradient, weights[1]);
}

static void rmsprop(size_t n, int variant)
{
    const tarn__rmsprop_step step = {0.01, 0.99, 1e-8, 0.9, 0.01};
    run.loops->rmsprop(n, &step, weights[0], gradient, weights[1], variant % 2 ? weights[2] : NULL,
                       variant / 2 ? weights[3] : NULL);
}

static void radam(size_t n, int variant)
{
    const tarn__radam_step step = {0.01, 0.9, 0.999, 1e-8, 0.01, variant == 0};
    run.loops->radam(n, &step, weights[0], gradient, weights[1], weights[2]);
}

static void nadam(size_t n, int variant)
{
    (void)variant;
    const tarn__nadam_step step = {0.01, 0.02, 0.9, 0.999, 1e-8, 0.01, 0.001};
    run.loops->nadam(n, &step, weights[0], gradient, weights[1], weights[2]);
}

int main(void)
{
    for (int pass = 0; pass < 2; pass++) {
        run.dtype = pass == 0 ? TARN_F32 : TARN_F64;
        run.loops = tarn__loops_of(run.dtype);
        unary(), binary(), rows(), columns();
        moments(), normalize(), normalize_grad();
        product(), vector_products(), winograd(), depthwise(), windows();
        steps("adam", adam, 4), steps("sgd", sgd, 4), steps("adagrad", adagrad, 2);
        steps("rmsprop", rmsprop, 4), steps("radam", radam, 2), steps("nadam", nadam, 1);
    }
    return 0;
}
