/*
 * near_tensors TOLERANCE A B: whether two files of coppice's are near each other: every dataset below /params and
 * /buffers, and the losses of /history. The largest difference of two values of a dataset, as a part of the dataset's
 * largest magnitude, must be below TOLERANCE in each; NaN is near NaN alone. Prints "near" or "far", with the worst
 * dataset; exits 0 where they are near and there was something to compare.
 */
#include "base/layout.h"
#include "base/mem.h"
#include "store/h5.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct worst {
	struct cop_h5 *other;
	double far;
	char path[256];
	int n;
};

static bool wanted(const char *path)
{
	return strncmp(path, "params/", 7) == 0 || strncmp(path, "buffers/", 8) == 0 ||
	       strcmp(path, "history/train_loss") == 0 || strcmp(path, "history/val_loss") == 0;
}

/* The caller frees; NULL where it cannot be read. */
static double *read_set(struct cop_h5 *f, const char *path, size_t *n, struct cop_err *err)
{
	int rank;
	int64_t dim[COP_RANK_MAX];
	if (cop_h5_shape(f, path, &rank, dim, err))
		return NULL;
	*n = 1;
	for (int i = 0; i < rank; i++)
		*n *= (size_t)dim[i];
	double *v = cop_xcalloc(*n + 1, sizeof(*v));
	if (cop_h5_read(f, path, COP_H5_F64, *n, v, err) == 0)
		return v;
	free(v);
	return NULL;
}

static double distance(const double *a, const double *b, size_t n)
{
	double most = 0, largest = 0;
	for (size_t i = 0; i < n; i++) {
		if (isnan(a[i]) && isnan(b[i]))
			continue;
		if (isnan(a[i]) || isnan(b[i]))
			return INFINITY;
		most = fmax(most, fabs(a[i] - b[i]));
		largest = fmax(largest, fmax(fabs(a[i]), fabs(b[i])));
	}
	return largest > 0 ? most / largest : 0;
}

static int compare(struct cop_h5 *f, const char *path, void *user, struct cop_err *err)
{
	struct worst *w = user;
	size_t n = 0, m = 0;
	if (!wanted(path))
		return 0;
	double *a = read_set(f, path, &n, err), *b = a ? read_set(w->other, path, &m, err) : NULL;
	int rc = a && b ? 0 : COP_EFAILED;
	double far = rc ? 0 : n == m ? distance(a, b, n) : INFINITY;
	if (!rc && (w->n++ == 0 || far > w->far)) {
		w->far = far;
		snprintf(w->path, sizeof(w->path), "%s", path);
	}
	free(a);
	free(b);
	return rc;
}

int main(int argc, char **argv)
{
	struct worst w = {0};
	struct cop_h5 *f;
	struct cop_err err = {0};
	if (argc != 4)
		return 2;
	double tolerance = strtod(argv[1], NULL);
	if (cop_h5_open(&f, argv[2], NULL, &err) || cop_h5_open(&w.other, argv[3], NULL, &err) ||
	    cop_h5_visit(f, "/", compare, &w, &err)) {
		printf("%s\n", err.msg);
		return 2;
	}
	cop_h5_close(f);
	cop_h5_close(w.other);
	bool near = w.n > 0 && w.far < tolerance;
	printf("%s: %d datasets, the worst is off by %.3g in '%s'\n", near ? "near" : "far", w.n, w.far, w.path);
	return !near;
}
