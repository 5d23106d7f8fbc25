/* See product64.h. */
#include "compute/product64.h"

#include <cblas.h>

void cop_product64(int m, int n, int k, struct cop_matrix64 a, struct cop_matrix64 b, bool add, double *c, int ldc)
{
	cblas_dgemm(CblasRowMajor, a.turned ? CblasTrans : CblasNoTrans, b.turned ? CblasTrans : CblasNoTrans, m, n, k,
		    1.0, a.at, a.ld, b.at, b.ld, add ? 1.0 : 0.0, c, ldc);
}
