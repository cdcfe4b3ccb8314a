/* tensor/poison.h (internal): under AddressSanitizer, a read of memory that was given back is reported where it
 * happens. */
#ifndef TARN__POISON_H
#define TARN__POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define TARN__POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TARN__POISONS 1
#endif
#endif

#ifdef TARN__POISONS
#include <sanitizer/asan_interface.h>
#define tarn__poison(start, bytes)   ASAN_POISON_MEMORY_REGION(start, bytes)
#define tarn__unpoison(start, bytes) ASAN_UNPOISON_MEMORY_REGION(start, bytes)
#else
#define tarn__poison(start, bytes)   ((void)(start), (void)(bytes))
#define tarn__unpoison(start, bytes) ((void)(start), (void)(bytes))
#endif

#endif
