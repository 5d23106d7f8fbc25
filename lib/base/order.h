/* Ordering numbers. */
#ifndef COP_BASE_ORDER_H
#define COP_BASE_ORDER_H

#include <stddef.h>

/* For qsort and bsearch over doubles without NaN. */
int cop_compare_doubles(const void *a, const void *b);

/* The same over int64_t. */
int cop_compare_ints(const void *a, const void *b);

/* The upper median of v (n), n > 0, which becomes sorted. */
double cop_median(double *v, size_t n);

#endif
