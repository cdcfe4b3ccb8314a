/* two_outputs.h: the error surfaces of squared error and of cross-entropy, and gradient descent on them. */
#ifndef EXAMPLES_TWO_OUTPUTS_H
#define EXAMPLES_TWO_OUTPUTS_H

#include "examples/common/study.h"

/* Three classes, the third output held at -1000, the first class being right: the loss over the other two outputs on
 * grid x grid points of -10 to 10, for both losses, and paths of `steps` steps from the upper left corner. Writes
 * OUT/NAME_surfaces.svg and .csv, and prints the table. False with tarn's error set. */
bool two_outputs_show(const study *s, int64_t grid, int64_t steps);

#endif
