/* See order.h. */
#include "base/order.h"

#include <stdlib.h>

int cop_compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double cop_median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), cop_compare_doubles);
	return v[n / 2];
}
