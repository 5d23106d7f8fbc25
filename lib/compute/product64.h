/* Products of matrices in float64, by OpenBLAS with one thread: blocks of them are shared out by the caller. */
#ifndef COP_COMPUTE_PRODUCT64_H
#define COP_COMPUTE_PRODUCT64_H

#include <stdbool.h>

/* A matrix by rows, ld elements apart; `turned`: its transpose takes part in the product. */
struct cop_matrix64 {
	const double *at;
	int ld;
	bool turned;
};

/* c (m, n) = a (m, k) b (k, n), or c + that where `add`; rows of c are ldc apart. No size is 0. */
void cop_product64(int m, int n, int k, struct cop_matrix64 a, struct cop_matrix64 b, bool add, double *c, int ldc);

#endif
