/* The benchmark of the quantiles, for 'coppice bench'. */
#ifndef COP_PRUNE_BENCH_H
#define COP_PRUNE_BENCH_H

#include "base/err.h"

#include <stddef.h>

/*
 * Nine quantiles (0.1 to 0.9) of `n` normally distributed float32 in memory, `repeats` times on all threads: *seconds
 * becomes the median of one. The floor is two readings of 4 * n bytes.
 */
int cop_bench_quantile(size_t n, int repeats, double *seconds, struct cop_err *err) COP_CHECKED;

#endif
