/*
 * quantile_memory FILE REPEATS Q...: reads raw float32 into memory, computes the quantiles REPEATS times, prints the
 * median seconds of one, then a line a quantile.
 */
#include "base/log.h"
#include "prune/quantile.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST = 64 };

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	double q[MOST], value[MOST], took[MOST];
	size_t nq = argc > 3 && argc - 3 <= MOST ? (size_t)argc - 3 : 0, n = 0;
	FILE *f = nq ? fopen(argv[1], "rb") : NULL;
	if (!f || fseek(f, 0, SEEK_END) || ftell(f) <= 0)
		return 2;
	n = (size_t)ftell(f) / sizeof(float);
	rewind(f);
	float *x = malloc(n * sizeof(*x));
	if (!x || fread(x, sizeof(*x), n, f) != n)
		return 1;
	fclose(f);
	for (size_t i = 0; i < nq; i++)
		q[i] = strtod(argv[3 + i], NULL);
	struct cop_array array = {"numbers", x, n, 0, NULL};
	struct cop_arrays all = {&array, 1};
	struct cop_source source = cop_source_arrays(&all);
	struct cop_err err = {0};
	int repeats = (int)strtol(argv[2], NULL, 10);
	if (repeats < 1 || repeats > MOST)
		return 2;
	for (int r = 0; r < repeats; r++) {
		double started = cop_now();
		if (cop_quantile(&source, q, nq, 0, NULL, value, &err)) {
			fprintf(stderr, "%s\n", err.msg);
			return 1;
		}
		took[r] = cop_now() - started;
	}
	qsort(took, (size_t)repeats, sizeof(*took), compare);
	printf("%.6f\n", took[repeats / 2]);
	for (size_t i = 0; i < nq; i++)
		printf("%.17g\n", value[i]);
	free(x);
	return 0;
}
