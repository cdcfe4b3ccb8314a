/* tensor/assertion.h (internal): what the library holds true of itself, never of what a caller passes. Built with
 * TARN__ASSERTS, as with sanitizers, the program stops where it is not so; otherwise nothing is looked at. */
#ifndef TARN__ASSERTION_H
#define TARN__ASSERTION_H

#ifdef TARN__ASSERTS
#undef NDEBUG
#include <assert.h>
#define tarn__assert(condition) assert(condition)
#else
#define tarn__assert(condition) ((void)sizeof(condition))
#endif

#endif
