/* tensor/range.h (internal): whether a function's parameter is a number that it may be. Each check of them says otherwise
 * "who: what VALUE, expected ..." and returns false. */
#ifndef TARN__RANGE_H
#define TARN__RANGE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* value lies between low and high; '[' and ']' include them, '(' and ')' do not. A NaN never does. */
bool tarn__is_in(const char *who, const char *what, double value, char left, double low, double high, char right);

/* The range as arguments: any finite number, from 0, from above 0. */
#define TARN__FINITE       '(', -(double)INFINITY, (double)INFINITY, ')'
#define TARN__NOT_NEGATIVE '[', 0, (double)INFINITY, ')'
#define TARN__POSITIVE     '(', 0, (double)INFINITY, ')'

/* least <= value <= most; INT64_MAX: no limit. */
bool tarn__is_count(const char *who, const char *what, int64_t value, int64_t least, int64_t most);

/* low <= high, the parameters of these names. */
bool tarn__are_in_order(const char *who, double low, double high);

/* The limits of a uniform distribution, and a normal one's mean and standard deviation, for elements of f32 or f64. */
bool tarn__is_uniform(const char *who, bool f64, double low, double high);
bool tarn__is_normal(const char *who, bool f64, double mean, double std);

#endif
