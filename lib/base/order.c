/* See order.h. */
#include "base/order.h"

#include <stdint.h>
#include <stdlib.h>

int cop_compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int cop_compare_ints(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

double cop_median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), cop_compare_doubles);
	return v[n / 2];
}
