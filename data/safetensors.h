/* data/safetensors.h: weights in files.
 *
 * The format is safetensors (https://github.com/huggingface/safetensors): the header's length as a 64-bit
 * little-endian number, a JSON header that gives each tensor's name, dtype, shape and place, and the
 * elements, little-endian and row-major. Files are written as the reference library writes them, byte for
 * byte: by dtype (f64, f32, i32, u8), then by name.
 *
 * Reading is strict. Refused are: a file longer or shorter than its header says, holes and overlaps between
 * tensors, a name or key given twice, a key that the format does not have, a header beyond 100,000,000 bytes
 * or that is not the restricted JSON which the format allows, text that is not UTF-8 or holds a NUL, sizes that
 * overflow. No part of a file is trusted to be in range.
 *
 * Writing is all or nothing: a file that was there before stays whole until the new one is on disk, and is
 * then replaced at once (a symbolic link at `path` is replaced, not followed). A limit on the size of files (RLIMIT_FSIZE) is
 * an error like a full disk, whatever the program does about SIGXFSZ. */
#ifndef TARN_SAFETENSORS_H
#define TARN_SAFETENSORS_H

#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a model's store */

/* Writes every parameter and buffer of the store under its name. */
TARN_API bool tarn_params_save(const tarn_params *params, const char *path);

/* Reads every parameter and buffer of the store. The file must have exactly the store's names, each with the
 * same shape and a dtype that tarn_safetensors_load makes the store's: the error names the first that is
 * missing, extra or different. On error nothing in the store is changed. Gradients are left alone.
 *
 * So a file that PyTorch wrote is read tensor by tensor instead: its names, the order of its axes, and its
 * num_batches_tracked (I64, a scalar: what tarn's BatchNorm keeps in NAME.batches) are PyTorch's own. */
TARN_API bool tarn_params_load(tarn_params *params, const char *path);

/* ---- any tensors */

/* Writes n tensors (pending ones are computed, views are packed) under n distinct names: UTF-8 and not
 * "__metadata__". */
TARN_API bool tarn_safetensors_save(const char *path, size_t n, const char *const *names, tarn_tensor *const *tensors);

/* The same, with the header's `__metadata__`: texts under distinct keys, all UTF-8. */
TARN_API bool tarn_safetensors_save_with(const char *path, size_t n, const char *const *names,
                                         tarn_tensor *const *tensors, size_t n_metadata, const char *const *keys,
                                         const char *const *values);

/* A file whose header has been read and checked. */
typedef struct tarn_safetensors tarn_safetensors;

/* NULL with an error that names the file. */
TARN_API tarn_safetensors *tarn_safetensors_open(const char *path);

/* Closes the file; tensors that were loaded stay. NULL is fine. */
TARN_API void tarn_safetensors_close(tarn_safetensors *file);

/* How many tensors there are; and of the i-th, in the order of their data: its name, its dtype as the file
 * spells it ("F32", "BF16", ...), its number of axes, and their sizes (NULL beyond TARN_MAX_DIMS axes). Out
 * of range, or of NULL: 0 or NULL. Texts and shapes live as long as the file is open. */
TARN_API size_t tarn_safetensors_count(const tarn_safetensors *file);
TARN_API const char *tarn_safetensors_name(const tarn_safetensors *file, size_t i);
TARN_API const char *tarn_safetensors_dtype(const tarn_safetensors *file, size_t i);
TARN_API int tarn_safetensors_ndim(const tarn_safetensors *file, size_t i);
TARN_API const int64_t *tarn_safetensors_shape(const tarn_safetensors *file, size_t i);

/* The text under `key` in `__metadata__`; NULL without an error when there is none. */
TARN_API const char *tarn_safetensors_metadata(const tarn_safetensors *file, const char *key);

/* The number of `__metadata__` entries, and the i-th key in the file's order. */
TARN_API size_t tarn_safetensors_metadata_count(const tarn_safetensors *file);
TARN_API const char *tarn_safetensors_metadata_key(const tarn_safetensors *file, size_t i);

/* The tensor of that name; the caller's to free. It becomes, with every value as it was (NaN stays NaN):
 *
 *     F64                               f64
 *     F32, F16, BF16                    f32
 *     I32, I8, I16, U16, I64, U32, U64  i32
 *     U8, BOOL                          u8
 *
 * NULL with an error: no such name, another dtype (C64, F8_E4M3, ...), an I64, U32 or U64 beyond the range of
 * i32 or a BOOL byte that is neither 0 nor 1 (the error says which element), more than TARN_MAX_DIMS axes, a read
 * that fails, no memory. */
TARN_API tarn_tensor *tarn_safetensors_load(const tarn_safetensors *file, const char *name);

#ifdef __cplusplus
}
#endif
#endif
