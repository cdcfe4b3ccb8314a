/* cnn.c: a convolutional network with BatchNorm learns to tell clothes apart (Fashion-MNIST), or whatever
 * else is in MNIST's file format. From top to bottom: the network, testing, training, prediction, main. */
#include "examples/common/cli.h"
#include "examples/common/history.h"
#include "examples/common/mistakes.h"
#include "examples/common/picture.h"
#include "examples/common/progress.h"
#include "tarn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 28, CLASSES = 10, TEST_BATCH = 250 };

/* Mean and standard deviation of Fashion-MNIST's pixels, 0 to 1. Near enough for other data too: BatchNorm
 * sees to the rest. */
static const double pixel_mean = 0.2860, pixel_std = 0.3530;

static const char *const clothes[CLASSES] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                             "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
static const char *const digits[CLASSES] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

struct options {
    const char *data, *out, *save, *load;
    int64_t epochs, batch_size, seed, threads;
    double lr;
    cli_list predict;
    bool quiet;
};

struct net {
    tarn_conv2d_layer c1, c2;
    tarn_batchnorm_layer b1, b2;
    tarn_linear_layer f1, f2;
    tarn_dropout_layer drop;
    tarn_params *params; /* where the layers' weights live */
    tarn_tape *tape;     /* where results live until they are reset */
};

static void net_init(struct net *m, tarn_rng *rng)
{
    tarn_conv2d_init(&m->c1, m->params, "c1", rng, 1, 32, 3, &(tarn_conv2d_layer_opts){.padding = 1});
    tarn_batchnorm_init(&m->b1, m->params, "b1", 32, NULL);
    tarn_conv2d_init(&m->c2, m->params, "c2", rng, 32, 64, 3, &(tarn_conv2d_layer_opts){.padding = 1});
    tarn_batchnorm_init(&m->b2, m->params, "b2", 64, NULL);
    tarn_linear_init(&m->f1, m->params, "f1", rng, 7 * 7 * 64, 128, NULL);
    tarn_linear_init(&m->f2, m->params, "f2", rng, 128, CLASSES, NULL);
    tarn_dropout_init(&m->drop, 0.25, rng);
}

/* x [N,28,28,1] -> logits [N,10] */
static tarn_tensor *net_forward(const struct net *m, tarn_tensor *x)
{
    tarn_tape *t = m->tape;
    x = tarn_relu(t, tarn_batchnorm_apply(t, &m->b1, tarn_conv2d_apply(t, &m->c1, x))); /* [N,28,28,32] */
    x = tarn_max_pool2d(t, x, 2, NULL);                                                 /* [N,14,14,32] */
    x = tarn_relu(t, tarn_batchnorm_apply(t, &m->b2, tarn_conv2d_apply(t, &m->c2, x))); /* [N,14,14,64] */
    x = tarn_max_pool2d(t, x, 2, NULL);                                                 /* [N,7,7,64] */
    x = tarn_dropout_apply(t, &m->drop, tarn_flatten(t, x));                            /* [N,3136] */
    x = tarn_relu(t, tarn_linear_apply(t, &m->f1, x));                                  /* [N,128] */
    return tarn_linear_apply(t, &m->f2, tarn_dropout_apply(t, &m->drop, x));
}

/* Sums over the images seen so far. */
struct score {
    double loss, hits, images;
};

static void add_batch(struct score *s, tarn_tape *t, tarn_tensor *loss, tarn_tensor *logits, tarn_tensor *labels)
{
    const double n = (double)tarn_dim(logits, 0);
    s->loss += n * tarn_item(loss);
    s->hits += n * tarn_item(tarn_accuracy(t, logits, labels));
    s->images += n;
}

/* Loss and accuracy on a data set, and into guesses what the network makes of each image. */
static struct score evaluate(const struct net *m, tarn_dataset *data, guess *guesses)
{
    const tarn_loader_opts opts = {.batch_size = TEST_BATCH, .mean = pixel_mean, .std = pixel_std};
    tarn_loader *loader = tarn_loader_new(data, &opts);
    tarn_batch batch;
    struct score sum = {0, 0, 0};
    tarn_tape *t = m->tape;
    tarn_tape_set_training(t, false);
    while (tarn_loader_next(loader, t, &batch)) {
        tarn_tensor *logits = net_forward(m, batch.x);
        const int64_t first = (int64_t)sum.images, n = tarn_dim(logits, 0);
        add_batch(&sum, t, tarn_cross_entropy(t, logits, batch.labels), logits, batch.labels);
        const float *p = tarn_data(tarn_softmax(t, logits)); /* [N,10] */
        const int32_t *label = tarn_data(batch.labels), *best = tarn_data(tarn_argmax(t, logits, 1));
        for (int64_t i = 0; i < n && !tarn_error(); i++)
            guesses[first + i] = (guess){first + i, label[i], best[i], p[i * CLASSES + best[i]]};
        tarn_tape_reset(t);
    }
    tarn_tape_set_training(t, true);
    tarn_loader_free(loader);
    return sum;
}

/* One pass over the training images; the score of each batch is taken before its step. */
static struct score train_epoch(const struct net *m, tarn_optim *adam, tarn_loader *loader, double lr, history *h,
                                progress *bar)
{
    struct score sum = {0, 0, 0};
    tarn_tape *t = m->tape;
    tarn_batch batch;
    for (int64_t step = 1; tarn_loader_next(loader, t, &batch); step++) {
        const int64_t done = tarn_optim_steps(adam), total = h->max_steps;
        tarn_optim_set_lr(adam, tarn_lr_warmup_cosine(lr, done, total / 20, total, 0));
        tarn_tensor *logits = net_forward(m, batch.x);
        tarn_tensor *loss = tarn_cross_entropy(t, logits, batch.labels);
        tarn_backward(t, loss); /* fills every parameter's gradient */
        tarn_optim_step(adam);  /* and clears it */
        add_batch(&sum, t, loss, logits, batch.labels);
        if (!isfinite(sum.loss))
            tarn_fail("the loss is not a number any more: try a smaller --lr");
        history_step(h, tarn_optim_lr(adam), tarn_item(loss));
        tarn_tape_reset(t);
        char note[32];
        snprintf(note, sizeof note, "loss %.3f", sum.loss / sum.images);
        progress_show(bar, step, note);
    }
    return sum;
}

static struct score train(const struct net *m, tarn_dataset *data, tarn_dataset *test, const struct options *o,
                          history *h, guess *guesses)
{
    const tarn_loader_opts opts = {
        .batch_size = o->batch_size, .shuffle = true, .seed = (uint64_t)o->seed, .mean = pixel_mean, .std = pixel_std};
    tarn_loader *loader = tarn_loader_new(data, &opts);
    tarn_optim *adam = tarn_adam_new(m->params, NULL);
    struct score tested = {0, 0, 0};
    const int64_t steps = tarn_loader_batches(loader);
    if (!tarn_error())
        history_init(h, o->epochs, steps);
    for (int64_t epoch = 1; epoch <= o->epochs && !tarn_error(); epoch++) {
        char label[64];
        snprintf(label, sizeof label, "epoch %lld/%lld", (long long)epoch, (long long)o->epochs);
        progress bar = progress_begin(label, steps, "images", o->batch_size, o->quiet);
        const struct score s = train_epoch(m, adam, loader, o->lr, h, &bar);
        tested = evaluate(m, test, guesses);
        const double train_loss = s.loss / s.images, test_loss = tested.loss / tested.images;
        const double accuracy = tested.hits / tested.images, seconds = progress_now() - bar.start;
        progress_end(&bar, tarn_error() ? NULL : "%s: training loss %.4f, test loss %.4f, test accuracy %.4f, %.1f s",
                     label, train_loss, test_loss, accuracy, seconds);
        history_epoch(h, train_loss, s.hits / s.images, test_loss, accuracy, seconds);
    }
    tarn_optim_free(adam);
    tarn_loader_free(loader);
    return tested;
}

/* One line: what the picture in a file shows. */
static void predict(const struct net *m, const char *path, const char *const *classes)
{
    bool inverted;
    tarn_tape *t = m->tape;
    tarn_tape_set_training(t, false);
    tarn_tensor *x = picture_load(t, path, SIDE, &inverted);
    x = tarn_mul_scalar(t, tarn_add_scalar(t, x, -pixel_mean), 1 / pixel_std);
    const float *p = tarn_data(tarn_softmax(t, net_forward(m, x)));
    if (p)
        picture_print_classes(path, p, CLASSES, classes, inverted);
    tarn_tape_reset(t);
}

/* part: "train" or "t10k". */
static tarn_dataset *load_data(const char *folder, const char *part)
{
    tarn_dataset *data = tarn_dataset_load_mnist(folder, part);
    if (!data)
        fputs("cnn: Fashion-MNIST comes with Debian's package dataset-fashion-mnist; "
              "for other data give --data DIR\n",
              stderr);
    return data;
}

static void draw(const history *h, tarn_dataset *test, guess *guesses, const struct options *o,
                 const char *const *classes)
{
    char note[512], path[4096];
    snprintf(note, sizeof note,
             "%s; Adam, batches of %lld, learning rate %g with warm-up and cosine decay, seed %lld; "
             "dropout is on in training",
             o->data, (long long)o->batch_size, o->lr, (long long)o->seed);
    if (!o->load)
        history_write(h, o->out, "The network", note);
    if (!tarn_error() && cli_join(path, sizeof path, o->out, "mistakes.png"))
        mistakes_draw(path, guesses, tarn_dataset_images(test), classes);
    if (!tarn_error() && !o->quiet)
        fprintf(stderr, "pictures and numbers are in %s/\n", o->out);
}

/* Trains unless weights were loaded, tests, saves and draws. Returns the test accuracy. */
static double learn_and_test(const struct net *m, const struct options *o, const char *const *classes)
{
    tarn_dataset *test = load_data(o->data, "t10k"), *data = test && !o->load ? load_data(o->data, "train") : NULL;
    guess *guesses = calloc((size_t)tarn_dataset_count(test) + 1, sizeof *guesses);
    history h = {0};
    struct score score = {0, 0, 0};
    if (!guesses)
        tarn_fail("no memory for %lld guesses", (long long)tarn_dataset_count(test));
    if (!tarn_error() && cli_make_folder(o->out) && (!o->save || cli_check_writable(o->save)))
        score = o->load ? evaluate(m, test, guesses) : train(m, data, test, o, &h, guesses);
    if (o->save)
        tarn_params_save(m->params, o->save);
    if (!tarn_error())
        draw(&h, test, guesses, o, classes);
    history_free(&h);
    free(guesses);
    tarn_dataset_free(data);
    tarn_dataset_free(test);
    return score.hits / score.images;
}

static void run(const struct options *o)
{
    const char *const *classes = strstr(o->data, "fashion") ? clothes : digits;
    const bool needs_data = !o->load || !o->predict.count;
    tarn_rng rng = tarn_rng_seed((uint64_t)o->seed);
    struct net m = {.params = tarn_params_new(TARN_F32), .tape = tarn_tape_new()};
    double accuracy = 0;
    tarn_set_threads((int)o->threads);
    net_init(&m, &rng);
    if (o->load)
        tarn_params_load(m.params, o->load);
    if (needs_data && !tarn_error())
        accuracy = learn_and_test(&m, o, classes);
    for (int i = 0; i < o->predict.count && !tarn_error(); i++)
        predict(&m, o->predict.items[i], classes);
    if (needs_data && !tarn_error())
        printf("test accuracy %.4f\n", accuracy);
    tarn_tape_free(m.tape);
    tarn_params_free(m.params);
}

int main(int argc, char **argv)
{
    struct options o = {.data = "/usr/share/datasets/fashion-mnist",
                        .out = "out",
                        .epochs = 8,
                        .batch_size = 64,
                        .seed = 1,
                        .lr = 2e-3};
    const cli_option options[] = {
        {"--data", "DIR", CLI_TEXT, &o.data, 0, 0, "a folder with MNIST's four files"},
        {"--epochs", "N", CLI_INT, &o.epochs, 1, 1000, "passes over the training images"},
        {"--batch-size", "N", CLI_INT, &o.batch_size, 2, 60000, "images in a step"},
        {"--lr", "X", CLI_REAL, &o.lr, 1e-8, 10, "Adam's learning rate at its highest"},
        {"--seed", "N", CLI_INT, &o.seed, 0, 1e15, "of weights, order and dropout"},
        {"--threads", "N", CLI_INT, &o.threads, 0, 256, "0: OMP_NUM_THREADS, or one a processor"},
        {"--out", "DIR", CLI_TEXT, &o.out, 0, 0, "for training.svg, steps.csv, epochs.csv, mistakes.png"},
        {"--save", "FILE", CLI_TEXT, &o.save, 0, 0, "write the weights, as safetensors"},
        {"--load", "FILE", CLI_TEXT, &o.load, 0, 0, "read weights instead of training"},
        {"--predict", "IMAGE...", CLI_LIST, &o.predict, 0, 0, "say what is in PNG or JPEG files of any size"},
        {"--quiet", NULL, CLI_FLAG, &o.quiet, 0, 0, "print results only"},
    };
    const char *about = "Trains a small convolutional network on Fashion-MNIST, tests it, and draws what happened.\n"
                        "With --load and --predict no data is needed. The classes have the names of Fashion-MNIST's\n"
                        "if DIR contains 'fashion', and those of the digits otherwise.";
    const int status = cli_parse("cnn", about, options, sizeof options / sizeof *options, argc, argv);
    if (status >= 0)
        return status;
    run(&o);
    return cli_end("cnn");
}
