#include "tests/api_world.h"
#include "tests/check.h"
#include "tests/files.h"

#include <stdio.h>

static tarn_tensor *filled(tarn_dtype dtype, int ndim, const int64_t *shape, double first, double step, int period)
{
    tarn_tensor *x = tarn_tensor_new(dtype, ndim, shape);
    for (int64_t i = 0; x && i < tarn_numel(x); i++) {
        double value = first + step * (double)(i % period);
        switch (dtype) {
        case TARN_F32:
            ((float *)tarn_mutable_data(x))[i] = (float)value;
            break;
        case TARN_F64:
            ((double *)tarn_mutable_data(x))[i] = value;
            break;
        case TARN_I32:
            ((int32_t *)tarn_mutable_data(x))[i] = (int32_t)value;
            break;
        default:
            ((uint8_t *)tarn_mutable_data(x))[i] = (uint8_t)value;
        }
    }
    return x;
}

/* ---- files ---- */

/* u8 IDX: [6,3,3] and [6]. */
static void write_idx(void)
{
    unsigned char images[16 + 54] = {0, 0, 8, 3, 0, 0, 0, 6, 0, 0, 0, 3, 0, 0, 0, 3};
    unsigned char labels[8 + 6] = {0, 0, 8, 1, 0, 0, 0, 6, 0, 1, 2, 3, 0, 1};
    for (int i = 0; i < 54; i++)
        images[16 + i] = (unsigned char)(4 * i);
    files_write(files_path("train-images-idx3-ubyte"), images, sizeof images);
    files_write(files_path("train-labels-idx1-ubyte"), labels, sizeof labels);
    files_write(files_path("broken"), images, 40);
}

static unsigned char *png;
static size_t png_bytes;
static char folder[512];

bool world_files(void)
{
    world w;
    snprintf(folder, sizeof folder, "%s", files_path(""));
    write_idx();
    tarn_tensor *picture = filled(TARN_U8, TARN_SHAPE(5, 4, 3), 0, 4, 60);
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_params_add(p, "w", TARN_SHAPE(6, 3));
    bool ok = tarn_image_save_png(files_path("picture.png"), picture) &&
              tarn_params_save(p, files_path("w.safetensors")) &&
              tarn_safetensors_save_with(files_path("tagged.safetensors"), 0, NULL, NULL, 1, (const char *[]){"key"},
                                         (const char *[]){"value"});
    if (ok)
        png = files_read(files_path("picture.png"), &png_bytes);
    tarn_tensor_free(picture);
    tarn_params_free(p);
    if (!ok)
        return false;
    world_new(&w);
    ok = tarn_params_save(w.p, files_path("all.safetensors"));
    world_free(&w);
    return ok;
}

void world_files_free(void)
{
    free(png);
}

/* ---- the world ---- */

static void tensors_new(world *w)
{
    w->x = filled(TARN_F32, TARN_SHAPE(4, 6), 0.1, 0.03, 24);
    w->y = filled(TARN_F32, TARN_SHAPE(4, 6), 0.8, -0.02, 24);
    w->z = filled(TARN_F32, TARN_SHAPE(5, 7), 0.1, 0.01, 35);
    w->d = filled(TARN_F64, TARN_SHAPE(4, 6), 0.1, 0.03, 24);
    w->i = filled(TARN_I32, TARN_SHAPE(4, 6), 0, 1, 4);
    w->u = filled(TARN_U8, TARN_SHAPE(4, 6), 0, 1, 2);
    w->s = filled(TARN_F32, 0, NULL, 0.5, 0, 1);
    w->row = filled(TARN_F32, TARN_SHAPE(6), 0.5, 0.1, 6);
    w->label = filled(TARN_I32, TARN_SHAPE(4), 0, 1, 4);
    w->index = filled(TARN_I32, TARN_SHAPE(3), 0, 1, 2);
    w->image = filled(TARN_F32, TARN_SHAPE(1, 4, 4, 4), 0, 0.01, 61);
    w->kernel = filled(TARN_F32, TARN_SHAPE(3, 3, 4, 2), -0.3, 0.05, 13);
    w->gamma = filled(TARN_F32, TARN_SHAPE(4), 1, 0.1, 4);
    w->beta = filled(TARN_F32, TARN_SHAPE(4), 0, 0.1, 4);
    w->stats.mean = filled(TARN_F32, TARN_SHAPE(4), 0, 0.1, 4);
    w->stats.var = filled(TARN_F32, TARN_SHAPE(4), 1, 0.1, 4);
    w->stats.batches = filled(TARN_F32, 0, NULL, 0, 0, 1);
    w->pictures = filled(TARN_U8, TARN_SHAPE(6, 3, 3), 0, 4, 54);
    w->classes = filled(TARN_U8, TARN_SHAPE(6), 0, 1, 4);
    w->picture = filled(TARN_U8, TARN_SHAPE(5, 4, 3), 0, 4, 60);
}

static void layers_new(world *w)
{
    w->p = tarn_params_new(TARN_F32);
    w->w = tarn_params_add(w->p, "w", TARN_SHAPE(6, 3));
    tarn_fill(w->w, 0.1);
    tarn_params_add(w->p, "b", TARN_SHAPE(3));
    tarn_params_add_buffer(w->p, "buffer", 0, NULL);
    tarn_linear_init(&w->linear, w->p, "linear", &w->rng, 6, 3, NULL);
    tarn_conv2d_init(&w->conv, w->p, "conv", &w->rng, 4, 2, 3, NULL);
    tarn_batchnorm_init(&w->norm, w->p, "norm", 4, NULL);
    tarn_batch_renorm_init(&w->renorm, w->p, "renorm", 4, NULL);
    w->renorm_stats = w->renorm.running;
    tarn_layernorm_init(&w->layernorm, w->p, "layernorm", 4, NULL);
    tarn_rmsnorm_init(&w->rmsnorm, w->p, "rmsnorm", 4, NULL);
    tarn_groupnorm_init(&w->groupnorm, w->p, "groupnorm", 2, 4, NULL);
    tarn_instancenorm_init(&w->instancenorm, w->p, "instancenorm", 4, NULL);
    tarn_weightnorm_linear_init(&w->weight_linear, w->p, "weight_linear", &w->rng, 6, 3, NULL);
    tarn_weightnorm_conv2d_init(&w->weight_conv, w->p, "weight_conv", &w->rng, 4, 2, 3, NULL);
    tarn_spectralnorm_linear_init(&w->spectral_linear, w->p, "spectral_linear", &w->rng, 6, 3, NULL, NULL);
    tarn_spectralnorm_conv2d_init(&w->spectral_conv, w->p, "spectral_conv", &w->rng, 4, 2, 3, NULL, NULL);
    tarn_dropout_init(&w->drop, 0.5, &w->rng);
    tarn_flatten_init(&w->flat, 1);
    tarn_activation_init(&w->act, TARN_RELU, 0);
    tarn_max_pool2d_init(&w->max, 2, NULL);
    tarn_avg_pool2d_init(&w->avg, 2, NULL);
    w->part = tarn_activation_as_layer(&w->act);
    tarn_sequential_init(&w->chain, 1, &w->part);
    w->o = tarn_adam_new(w->p, NULL);
    w->plateau = tarn_plateau_new(0.1, NULL);
    tarn_tape *t = tarn_tape_new(); /* a gradient for w, that a step can take */
    tarn_backward(t, tarn_sum(t, tarn_square(t, tarn_matmul(t, w->x, w->w)), TARN_ALL_AXES, false));
    tarn_tape_free(t);
}

static void files_open(world *w)
{
    w->data = tarn_dataset_new(w->pictures, w->classes);
    w->loader = tarn_loader_new(w->data, &(tarn_loader_opts){.batch_size = 4, .shuffle = true});
    w->idx = tarn_idx_open(files_path("train-images-idx3-ubyte"));
    w->file = tarn_safetensors_open(files_path("w.safetensors"));
    w->tagged = tarn_safetensors_open(files_path("tagged.safetensors"));
    w->named = tarn_dataset_new(w->pictures, w->classes);
    tarn_dataset_set_classes(w->named, 4, (const char *[]){"a", "b", "c", "d"});
    w->png = png, w->png_bytes = png_bytes, w->folder = folder;
    w->sink = fopen("/dev/null", "w");
    assert_non_null(w->sink);
}

void world_new(world *w)
{
    *w = (world){.rng = tarn_rng_seed(1)};
    tensors_new(w);
    layers_new(w);
    files_open(w);
    w->modes = tarn_tape_new();
    tarn_tape_set_eager(w->modes, true);
    tarn_exp(w->modes, w->s);
    w->empty = tarn_params_new(TARN_F32);
    w->point = tarn_params_vector_new(w->p);
    w->t = tarn_tape_new();
    w->other = tarn_tape_new();
    w->foreign = tarn_ones(w->other, TARN_F32, TARN_SHAPE(4, 6));
    expect_no_error();
}

void world_free(world *w)
{
    tarn_tape_free(w->t), tarn_tape_free(w->other), tarn_tape_free(w->modes);
    while (w->n_kept > 0) {
        w->n_kept--;
        w->kept_free[w->n_kept](w->kept[w->n_kept]);
    }
    fclose(w->sink);
    tarn_safetensors_close(w->file), tarn_safetensors_close(w->tagged);
    tarn_idx_close(w->idx);
    tarn_loader_free(w->loader);
    tarn_dataset_free(w->data), tarn_dataset_free(w->named);
    tarn_optim_free(w->o);
    tarn_plateau_free(w->plateau);
    tarn_params_free(w->p), tarn_params_free(w->empty);
    tarn_tensor *const own[] = {w->x,
                                w->y,
                                w->z,
                                w->d,
                                w->i,
                                w->u,
                                w->s,
                                w->row,
                                w->label,
                                w->index,
                                w->image,
                                w->kernel,
                                w->gamma,
                                w->beta,
                                w->stats.mean,
                                w->stats.var,
                                w->stats.batches,
                                w->pictures,
                                w->classes,
                                w->picture,
                                w->point};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        tarn_tensor_free(own[i]);
    *w = (world){0};
}

/* ---- what calls return ---- */

static bool keep(world *w, void *it, void (*free_it)(void *))
{
    if (!it)
        return false;
    assert_true(w->n_kept < WORLD_KEPT);
    w->kept[w->n_kept] = it;
    w->kept_free[w->n_kept++] = free_it;
    return true;
}

#define KEPT(name, type, free_function)                                                                                \
    static void free_##name(void *it)                                                                                  \
    {                                                                                                                  \
        free_function(it);                                                                                             \
    }                                                                                                                  \
    bool kept_##name(world *w, type *it)                                                                               \
    {                                                                                                                  \
        return keep(w, it, free_##name);                                                                               \
    }
KEPT(tensor, tarn_tensor, tarn_tensor_free)
KEPT(tape, tarn_tape, tarn_tape_free)
KEPT(params, tarn_params, tarn_params_free)
KEPT(optim, tarn_optim, tarn_optim_free)
KEPT(plateau, tarn_plateau, tarn_plateau_free)
KEPT(dataset, tarn_dataset, tarn_dataset_free)
KEPT(loader, tarn_loader, tarn_loader_free)
KEPT(idx, tarn_idx_reader, tarn_idx_close)
KEPT(file, tarn_safetensors, tarn_safetensors_close)

tarn_tensor *bomb(world *w)
{
    return tarn_index_select(w->t, w->x, 0, tarn_full(w->t, TARN_I32, TARN_SHAPE(1), 1000));
}

tarn_tensor *stale(world *w)
{
    tarn_tensor *y = tarn_exp(w->t, w->x);
    tarn_mutable_data(w->x);
    return y;
}

tarn_tensor *loss(world *w)
{
    return tarn_sum(w->t, tarn_square(w->t, tarn_matmul(w->t, w->x, w->w)), TARN_ALL_AXES, false);
}

tarn_tensor *tall(world *w, int64_t size)
{
    return tarn_expand(w->t, w->s, TARN_SHAPE(size, 1));
}

tarn_tensor *wide(world *w, int64_t size)
{
    return tarn_expand(w->t, w->s, TARN_SHAPE(1, size));
}

bool used(world *w, tarn_tensor *y, tarn_tensor *x)
{
    tarn_tensor *g;
    if (!y || !tarn_run(y))
        return false;
    tarn_dtype dtype = tarn_tensor_dtype(y);
    if (dtype != TARN_F32 && dtype != TARN_F64)
        return true;
    return tarn_grad(w->t, 1, &y, NULL, 1, &x, &g) && tarn_run(g);
}
