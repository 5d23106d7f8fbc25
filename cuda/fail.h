/* How the module's files fail: cop_fail() is the library's, which a module does not link. Not for other folders. */
#ifndef COP_CUDA_FAIL_H
#define COP_CUDA_FAIL_H

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Like cop_fail(). */
int cop_cuda_fail(struct cop_err *err, int code, const char *fmt, ...) COP_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif

#endif
