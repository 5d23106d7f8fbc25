/*
 * same_tensors A B: whether two files of coppice's hold the same bits: every dataset below /params, /buffers,
 * /optimizer, /masks and /history (but for the seconds), and the figures at the root that are computed. Prints what
 * differs; exits 0 where nothing does and there was something to compare.
 */
#include "base/layout.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct side {
	struct cop_h5 *f;
	char **name;
	size_t n, cap;
};

static const char *const groups[] = {"params/", "buffers/", "optimizer/", "masks/", "history/"};
static const char *const figures[] = {
	"step",      "total",     "nnz",      "quantile",        "threshold",           "test_top1",
	"test_top5", "test_loss", "val_top1", "early_stop_step", "early_stop_val_top1", "early_stop_test_top1"};

static int note(struct cop_h5 *f, const char *path, void *user, struct cop_err *err)
{
	struct side *s = user;
	(void)f;
	(void)err;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (strncmp(path, groups[i], strlen(groups[i])) == 0 && !cop_str_ends(path, "/seconds")) {
			s->name = cop_grow(s->name, &s->cap, s->n + 1, sizeof(*s->name));
			s->name[s->n++] = cop_xstrdup(path);
		}
	return 0;
}

/* A dataset as bytes; all that is compared fits doubles exactly. NULL where it cannot be read. */
static double *read_set(struct cop_h5 *f, const char *path, size_t *n, struct cop_err *err)
{
	int rank;
	int64_t dim[COP_RANK_MAX];
	if (cop_h5_shape(f, path, &rank, dim, err))
		return NULL;
	*n = 1;
	for (int i = 0; i < rank; i++)
		*n *= (size_t)dim[i];
	double *v = cop_xcalloc(*n, sizeof(*v));
	if (cop_h5_read(f, path, COP_H5_F64, *n, v, err) == 0)
		return v;
	free(v);
	return NULL;
}

static int differs(struct side s[2], const char *path)
{
	struct cop_err err = {0};
	size_t n[2] = {0, 0};
	double *v[2];
	for (int i = 0; i < 2; i++)
		if (!(v[i] = read_set(s[i].f, path, &n[i], &err))) {
			printf("%s\n", err.msg);
			return 1;
		}
	int bad = n[0] != n[1] || memcmp(v[0], v[1], n[0] * sizeof(double)) != 0;
	if (bad)
		printf("'%s' differs (%zu and %zu values)\n", path, n[0], n[1]);
	free(v[0]);
	free(v[1]);
	return bad;
}

static int figure_differs(struct side s[2], const char *name)
{
	double v[2] = {0, 0};
	bool there[2];
	for (int i = 0; i < 2; i++) {
		there[i] = cop_h5_has_attr(s[i].f, "/", name);
		if (there[i] && cop_h5_get_f64(s[i].f, "/", name, &v[i], NULL))
			return 1;
	}
	if (there[0] == there[1] && memcmp(&v[0], &v[1], sizeof(v[0])) == 0)
		return 0;
	printf("'%s' differs: %.17g and %.17g\n", name, v[0], v[1]);
	return 1;
}

int main(int argc, char **argv)
{
	struct side s[2] = {{0}};
	struct cop_err err = {0};
	int bad = 0;
	if (argc != 3)
		return 2;
	for (int i = 0; i < 2; i++)
		if (cop_h5_open(&s[i].f, argv[1 + i], NULL, &err) || cop_h5_visit(s[i].f, "/", note, &s[i], &err)) {
			printf("%s\n", err.msg);
			return 2;
		}
	if (s[0].n == 0 || s[0].n != s[1].n) {
		printf("%zu and %zu tensors\n", s[0].n, s[1].n);
		return 1;
	}
	for (size_t i = 0; i < s[0].n; i++)
		bad += strcmp(s[0].name[i], s[1].name[i]) != 0 || differs(s, s[0].name[i]);
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		bad += figure_differs(s, figures[i]);
	for (int i = 0; i < 2; i++) {
		for (size_t k = 0; k < s[i].n; k++)
			free(s[i].name[k]);
		free(s[i].name);
		cop_h5_close(s[i].f);
	}
	if (!bad)
		printf("%zu tensors are the same\n", s[0].n);
	return bad != 0;
}
