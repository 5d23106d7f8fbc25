/* COP_CLONES, for the kernels; see base/clones.h. */
#ifndef COP_COMPUTE_CLONES_H
#define COP_COMPUTE_CLONES_H

#include "base/clones.h"

#endif
