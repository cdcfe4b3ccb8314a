/* ball.h: a ball that rolls from a height gets past flat places and small hollows; so does momentum. */
#ifndef EXAMPLES_BALL_H
#define EXAMPLES_BALL_H

#include "examples/common/study.h"

/* Gradient descent and Momentum near a saddle, and on a slope with a plateau and a hollow. Writes
 * OUT/NAME_momentum.svg and .csv, and prints the table; the surface is known on grid x grid points. False with tarn's
 * error set. */
bool ball_show(const study *s, int64_t grid);

#endif
