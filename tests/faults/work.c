#include "tests/faults/work.h"
#include "tarn.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { IMAGES = 20, SIDE = 12, BATCH = 8, STEPS = 6, CLASSES = 10, PATH = 4200 };

/* ---- the data */

static bool write_idx(const char *path, const unsigned char *header, size_t head, const unsigned char *data,
                      size_t bytes)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return false;
    const bool ok = write(fd, header, head) == (ssize_t)head && write(fd, data, bytes) == (ssize_t)bytes;
    return close(fd) == 0 && ok;
}

static bool make_data(const char *folder)
{
    static unsigned char pixels[IMAGES * SIDE * SIDE], labels[IMAGES];
    for (int i = 0; i < IMAGES; i++) {
        labels[i] = (unsigned char)(i * 7 % CLASSES);
        for (int row = 0; row < SIDE; row++)
            for (int column = 0; column < SIDE; column++)
                pixels[(i * SIDE + row) * SIDE + column] =
                    (unsigned char)((labels[i] + 1) * row * 5 + column * column * (i % 3 + 1));
    }
    char path[PATH];
    snprintf(path, sizeof path, "%s/train-images-idx3-ubyte", folder);
    const unsigned char of_images[] = {0, 0, 8, 3, 0, 0, 0, IMAGES, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
    if (!write_idx(path, of_images, sizeof of_images, pixels, sizeof pixels))
        return false;
    snprintf(path, sizeof path, "%s/train-labels-idx1-ubyte", folder);
    const unsigned char of_labels[] = {0, 0, 8, 1, 0, 0, 0, IMAGES};
    return write_idx(path, of_labels, sizeof of_labels, labels, sizeof labels);
}

/* ---- the digest: FNV-1a */

static void add_bytes(uint64_t *digest, const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    for (size_t i = 0; byte && i < bytes; i++)
        *digest = (*digest ^ byte[i]) * 0x100000001b3;
}

static void add_number(uint64_t *digest, double value)
{
    add_bytes(digest, &value, sizeof value);
}

static void add_tensor(uint64_t *digest, tarn_tensor *x)
{
    add_bytes(digest, tarn_data(x), (size_t)tarn_numel(x) * tarn_dtype_size(tarn_tensor_dtype(x)));
}

static void add_params(uint64_t *digest, const tarn_params *params)
{
    for (size_t i = 0; i < tarn_params_count(params); i++)
        add_tensor(digest, tarn_params_at(params, i));
}

/* ---- a network */

typedef struct net {
    tarn_params *params;
    tarn_rng noise;
    tarn_conv2d_layer conv1, conv2;
    tarn_batchnorm_layer norm1, norm2;
    tarn_dropout_layer drop;
    tarn_linear_layer out;
} net;

static bool net_init(net *m, uint64_t seed)
{
    tarn_rng rng = tarn_rng_seed(seed);
    m->params = tarn_params_new(TARN_F32);
    m->noise = tarn_rng_seed(9);
    return tarn_conv2d_init(&m->conv1, m->params, "conv1", &rng, 1, 8, 3, &(tarn_conv2d_layer_opts){.padding = 1}) &&
           tarn_batchnorm_init(&m->norm1, m->params, "norm1", 8, NULL) &&
           tarn_conv2d_init(&m->conv2, m->params, "conv2", &rng, 8, 16, 3,
                            &(tarn_conv2d_layer_opts){.padding = 1, .no_bias = true}) &&
           tarn_batchnorm_init(&m->norm2, m->params, "norm2", 16, NULL) &&
           tarn_dropout_init(&m->drop, 0.25, &m->noise) &&
           tarn_linear_init(&m->out, m->params, "out", &rng, 16 * 3 * 3, CLASSES, NULL);
}

static tarn_tensor *net_apply(tarn_tape *t, const net *m, tarn_tensor *x)
{
    x = tarn_relu(t, tarn_batchnorm_apply(t, &m->norm1, tarn_conv2d_apply(t, &m->conv1, x)));
    x = tarn_max_pool2d(t, x, 2, NULL);
    x = tarn_relu(t, tarn_batchnorm_apply(t, &m->norm2, tarn_conv2d_apply(t, &m->conv2, x)));
    x = tarn_avg_pool2d(t, x, 2, NULL);
    return tarn_linear_apply(t, &m->out, tarn_dropout_apply(t, &m->drop, tarn_flatten(t, x)));
}

static void train(tarn_tape *t, net *m, tarn_loader *loader, uint64_t *digest)
{
    tarn_optim *optim = tarn_adam_new(m->params, &(tarn_adam_opts){.lr = 3e-3});
    for (int step = 0; step < STEPS && !tarn_error();) {
        for (tarn_batch batch; step < STEPS && tarn_loader_next(loader, t, &batch); step++) {
            tarn_tensor *loss = tarn_cross_entropy(t, net_apply(t, m, batch.x), batch.labels);
            if (tarn_backward(t, loss) && tarn_optim_step(optim))
                add_number(digest, tarn_item(loss));
            tarn_tape_reset(t);
        }
    }
    tarn_optim_free(optim);
}

static void evaluate(tarn_tape *t, const net *m, tarn_loader *loader, uint64_t *digest)
{
    tarn_tape_set_training(t, false);
    tarn_tape_set_grad(t, false);
    for (tarn_batch batch; tarn_loader_next(loader, t, &batch);) {
        tarn_tensor *logits = net_apply(t, m, batch.x);
        add_tensor(digest, logits);
        add_number(digest, tarn_item(tarn_accuracy(t, logits, batch.labels)));
        tarn_tape_reset(t);
    }
    tarn_tape_set_training(t, true);
    tarn_tape_set_grad(t, true);
}

/* Into another network, which must be the same then. */
static void save_and_load(const char *folder, const net *m, uint64_t *digest)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/weights-%ld.safetensors", folder, (long)getpid());
    net again = {0};
    if (net_init(&again, 77) && tarn_params_save(m->params, path) && tarn_params_load(again.params, path))
        add_params(digest, again.params);
    tarn_params_free(again.params);
    unlink(path);
}

static void learn(const char *folder, tarn_tape *t, uint64_t *digest)
{
    tarn_dataset *data = tarn_dataset_load_mnist(folder, "train");
    const tarn_loader_opts in_any_order = {.batch_size = BATCH, .shuffle = true, .seed = 3},
                           in_order = {.batch_size = BATCH, .ahead = -1};
    tarn_loader *training = tarn_loader_new(data, &in_any_order), *evaluation = tarn_loader_new(data, &in_order);
    net m = {0};
    if (net_init(&m, 5)) {
        train(t, &m, training, digest);
        evaluate(t, &m, evaluation, digest);
        add_params(digest, m.params);
        save_and_load(folder, &m, digest);
    }
    tarn_tape_reset(t);
    tarn_params_free(m.params);
    tarn_loader_free(training);
    tarn_loader_free(evaluation);
    tarn_dataset_free(data);
}

/* From the disk, example by example. */
static void stream(const char *folder, tarn_tape *t, uint64_t *digest)
{
    char images[PATH], labels[PATH];
    snprintf(images, sizeof images, "%s/train-images-idx3-ubyte.gz", folder);
    snprintf(labels, sizeof labels, "%s/train-labels-idx1-ubyte", folder);
    tarn_loader *loader = tarn_loader_new_streamed(
        images, labels, &(tarn_loader_opts){.batch_size = BATCH, .shuffle = true, .shuffle_buffer = 10});
    for (tarn_batch batch; tarn_loader_next(loader, t, &batch); tarn_tape_reset(t))
        add_tensor(digest, batch.x), add_tensor(digest, batch.labels);
    tarn_loader_free(loader);
}

/* ---- curvature, and dense problems */

typedef struct regression {
    tarn_tensor *x, *y;
    tarn_linear_layer hidden, out;
} regression;

static tarn_tensor *regression_loss(tarn_tape *t, void *context)
{
    const regression *r = context;
    tarn_tensor *inside = tarn_tanh(t, tarn_linear_apply(t, &r->hidden, r->x));
    return tarn_mse(t, tarn_linear_apply(t, &r->out, inside), r->y);
}

static void add_spectrum(tarn_tensor *matrix, uint64_t *digest)
{
    tarn_tensor *vectors = NULL, *values = tarn_symmetric_eigen_new(matrix, &vectors);
    add_tensor(digest, values), add_tensor(digest, vectors);
    tarn_tensor_free(values), tarn_tensor_free(vectors);
}

static void curvature(tarn_tape *t, uint64_t *digest)
{
    tarn_rng rng = tarn_rng_seed(11);
    tarn_params *params = tarn_params_new(TARN_F64);
    regression r = {.x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(30, 3), &rng, -1, 1),
                    .y = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(30, 1), &rng, -1, 1)};
    if (tarn_linear_init(&r.hidden, params, "hidden", &rng, 3, 4, NULL) &&
        tarn_linear_init(&r.out, params, "out", &rng, 4, 1, NULL)) {
        const tarn_objective f = {regression_loss, &r, params, t};
        tarn_tensor *hessian = tarn_hessian_new(&f);
        add_spectrum(hessian, digest);
        tarn_tensor_free(hessian);
        tarn_extremes ends;
        if (tarn_hessian_extremes(&f, 2, 2, NULL, &ends))
            add_tensor(digest, ends.values), add_tensor(digest, ends.vectors);
        tarn_extremes_free(&ends);
    }
    tarn_tape_reset(t);
    tarn_params_free(params);
    tarn_tensor_free(r.x), tarn_tensor_free(r.y);
}

/* Large enough to be cut into tiles, and for LAPACK's blocks. */
static void dense(tarn_tape *t, uint64_t *digest)
{
    enum { N = 100 };
    tarn_rng rng = tarn_rng_seed(13);
    tarn_tensor *a = tarn_uniform(t, TARN_F64, TARN_SHAPE(N, N), &rng, -1, 1);
    tarn_tensor *gram = tarn_matmul(t, a, tarn_transpose(t, a, 0, 1));
    const void *elements = tarn_data(gram);
    tarn_tensor *matrix = elements ? tarn_tensor_from(TARN_F64, TARN_SHAPE(N, N), elements) : NULL;
    tarn_tape_reset(t);
    add_spectrum(matrix, digest);
    tarn_tensor_free(matrix);
}

/* ---- pictures */

static void pictures(const char *folder, uint64_t *digest)
{
    static const char *const files[] = {"palette.png", "interlaced.png", "baseline.jpg", "progressive.jpg"};
    char path[PATH];
    snprintf(path, sizeof path, "%s/picture-%ld.png", folder, (long)getpid());
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char original[PATH];
        snprintf(original, sizeof original, "%s/%s", folder, files[i]);
        tarn_tensor *picture = tarn_image_load(original, 3), *small = tarn_image_resize(picture, 9, 7), *again = NULL;
        if (tarn_image_save_png(path, small))
            again = tarn_image_load(path, 0);
        add_tensor(digest, picture), add_tensor(digest, again);
        tarn_tensor_free(picture), tarn_tensor_free(small), tarn_tensor_free(again);
        unlink(path);
    }
}

/* ---- */

static const uint64_t NOTHING = 0xcbf29ce484222325;

static bool everything(const char *folder, int threads, uint64_t *digest)
{
    *digest = NOTHING;
    tarn_set_threads(threads);
    tarn_tape *t = tarn_tape_new();
    learn(folder, t, digest);
    stream(folder, t, digest);
    curvature(t, digest);
    dense(t, digest);
    pictures(folder, digest);
    tarn_tape_free(t);
    return !tarn_error();
}

static bool spectra(const char *folder, int threads, uint64_t *digest)
{
    (void)folder;
    *digest = NOTHING;
    tarn_set_threads(threads);
    tarn_tape *t = tarn_tape_new();
    curvature(t, digest);
    dense(t, digest);
    tarn_tape_free(t);
    return !tarn_error();
}

const work the_work = {make_data, everything, spectra, tarn_error, tarn_error_clear};
