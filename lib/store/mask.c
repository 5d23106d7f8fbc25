/* Mask files; see mask.h. */
#include "store/mask.h"

#include "base/mem.h"
#include "store/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The prunable tensors' names, in the network's order, which HDF5's order of names would lose. */
static int store_order(struct cop_h5 *f, const struct cop_layout *l, struct cop_err *err)
{
	const char **name = cop_xcalloc(l->n, sizeof(*name));
	size_t n = 0;
	for (size_t i = 0; i < l->n; i++)
		if (l->tensor[i].prunable)
			name[n++] = l->tensor[i].name;
	int rc = cop_h5_write_strings(f, "order/masks", name, n, err);
	free(name);
	return rc;
}

static int store_root(struct cop_h5 *f, const struct cop_mask_file *m, int64_t total, int64_t nnz, struct cop_err *err)
{
	int rc = cop_h5_put_f64(f, "/", "quantile", m->quantile, err);
	if (!rc)
		rc = cop_h5_put_f64(f, "/", "threshold", m->threshold, err);
	if (!rc)
		rc = cop_h5_put_str(f, "/", "scope", m->scope, err);
	if (!rc)
		rc = cop_h5_put_str(f, "/", "criterion", m->criterion, err);
	if (!rc)
		rc = cop_h5_put_i64(f, "/", "total", total, err);
	return rc ? rc : cop_h5_put_i64(f, "/", "nnz", nnz, err);
}

static int64_t count_kept(const struct cop_layout *l, const uint8_t *mask)
{
	int64_t kept = 0;
	for (size_t i = 0; i < l->n; i++)
		for (size_t j = 0; l->tensor[i].prunable && j < l->tensor[i].count; j++)
			kept += mask[l->tensor[i].offset + j];
	return kept;
}

int cop_mask_file_write(const char *path, const struct cop_layout *l, const uint8_t *mask,
			const struct cop_mask_file *m, struct cop_err *err)
{
	struct cop_h5 *f;
	int rc = cop_h5_create(&f, path, COP_MASK_FORMAT, err);
	if (rc)
		return rc;
	rc = store_order(f, l, err);
	if (!rc)
		rc = cop_store_masks(f, l, mask, err);
	if (!rc)
		rc = store_root(f, m, (int64_t)cop_layout_count(l, true), count_kept(l, mask), err);
	if (rc) {
		cop_h5_abandon(f);
		return rc;
	}
	return cop_h5_commit(f, err);
}

static int add_tensor(struct cop_h5 *f, const char *name, struct cop_layout *l, struct cop_err *err)
{
	int rank = 0;
	int64_t dim[COP_RANK_MAX] = {0};
	if (strlen(name) >= COP_TENSOR_NAME)
		return cop_fail(err, COP_EINPUT, "'%s': the name '%.40s...' is too long", cop_h5_path(f), name);
	if (cop_layout_find(l, name))
		return cop_fail(err, COP_EINPUT, "'%s' lists the mask '%s' twice", cop_h5_path(f), name);
	char *path = cop_xasprintf("masks/%s", name);
	int rc = cop_h5_shape(f, path, &rank, dim, err);
	int64_t count = 1;
	for (int d = 0; d < rank && !rc; d++)
		if (__builtin_mul_overflow(count, dim[d], &count))
			rc = cop_fail(err, COP_EINPUT, "the size of '%s' in '%s' overflows", path, cop_h5_path(f));
	if (!rc)
		cop_layout_add(l, name, rank, dim, true);
	free(path);
	return rc;
}

static int add_visited(struct cop_h5 *f, const char *path, void *user, struct cop_err *err)
{
	return add_tensor(f, path, user, err);
}

/* In the order that the file gives for the masks or, in a cell's, for the parameters. */
static int load_layout(struct cop_h5 *f, struct cop_layout *l, struct cop_err *err)
{
	const char *order = cop_h5_has(f, "order/masks") ? "order/masks" : "order/params";
	char **name = NULL;
	size_t n = 0;
	if (!cop_h5_has(f, "masks"))
		return cop_fail(err, COP_EINPUT, "'%s' holds no masks", cop_h5_path(f));
	if (!cop_h5_has(f, order))
		return cop_h5_visit(f, "masks", add_visited, l, err);
	int rc = cop_h5_read_strings(f, order, &name, &n, err);
	for (size_t i = 0; i < n && !rc; i++) {
		char *path = cop_xasprintf("masks/%s", name[i]);
		if (strcmp(order, "order/masks") == 0 || cop_h5_has(f, path))
			rc = add_tensor(f, name[i], l, err);
		free(path);
	}
	for (size_t i = 0; i < n; i++)
		free(name[i]);
	free(name);
	return rc;
}

static int check_bytes(const char *path, const struct cop_mask_file *m, struct cop_err *err)
{
	for (size_t i = 0; i < m->layout.n; i++) {
		const struct cop_tensor *t = &m->layout.tensor[i];
		for (size_t j = 0; j < t->count; j++)
			if (m->mask[t->offset + j] > 1)
				return cop_fail(err, COP_EINPUT, "mask '%s' in '%s' holds %d at [%zu], not 0 or 1",
						t->name, path, m->mask[t->offset + j], j);
	}
	int64_t total = (int64_t)cop_layout_count(&m->layout, true), nnz = count_kept(&m->layout, m->mask);
	if (total != m->total || nnz != m->nnz)
		return cop_fail(err, COP_EINPUT,
				"'%s' says that it keeps %lld of %lld weights, its masks keep %lld of %lld", path,
				(long long)m->nnz, (long long)m->total, (long long)nnz, (long long)total);
	return 0;
}

/* An attribute that may be missing. */
static int load_word(struct cop_h5 *f, const char *name, char word[COP_MASK_WORD], struct cop_err *err)
{
	char *text = NULL;
	if (!cop_h5_has_attr(f, "/", name))
		return 0;
	int rc = cop_h5_get_str(f, "/", name, &text, err);
	if (!rc)
		snprintf(word, COP_MASK_WORD, "%s", text);
	free(text);
	return rc;
}

static int load_root(struct cop_h5 *f, struct cop_mask_file *m, struct cop_err *err)
{
	int rc = cop_h5_get_f64(f, "/", "quantile", &m->quantile, err);
	if (!rc)
		rc = cop_h5_get_f64(f, "/", "threshold", &m->threshold, err);
	if (!rc)
		rc = cop_h5_get_i64(f, "/", "total", &m->total, err);
	if (!rc)
		rc = cop_h5_get_i64(f, "/", "nnz", &m->nnz, err);
	if (!rc)
		rc = load_word(f, "scope", m->scope, err);
	return rc ? rc : load_word(f, "criterion", m->criterion, err);
}

static int load(struct cop_h5 *f, struct cop_mask_file *m, struct cop_err *err)
{
	int rc = load_root(f, m, err);
	if (!rc)
		rc = load_layout(f, &m->layout, err);
	if (!rc)
		rc = cop_alloc(&m->mask, m->layout.total, 1, "masks", err);
	if (!rc)
		rc = cop_load_masks(f, &m->layout, m->mask, err);
	return rc ? rc : check_bytes(cop_h5_path(f), m, err);
}

/* "coppice-cell" where the file is a cell's, else the masks' own format, which opening then insists on. */
static int choose_format(const char *path, const char **format, struct cop_err *err)
{
	struct cop_h5 *f;
	int rc = cop_h5_open(&f, path, NULL, err);
	if (rc)
		return rc;
	*format = strcmp(cop_h5_format(f), "coppice-cell") == 0 ? "coppice-cell" : COP_MASK_FORMAT;
	cop_h5_close(f);
	return 0;
}

int cop_mask_file_read(const char *path, struct cop_mask_file *m, struct cop_err *err)
{
	struct cop_h5 *f;
	const char *format;
	*m = (struct cop_mask_file){.quantile = NAN, .threshold = NAN};
	int rc = choose_format(path, &format, err);
	if (!rc)
		rc = cop_h5_open(&f, path, format, err);
	if (rc)
		return rc;
	rc = load(f, m, err);
	cop_h5_close(f);
	if (rc)
		cop_mask_file_release(m);
	return rc;
}

int cop_mask_file_has(const char *path, bool *has, struct cop_err *err)
{
	struct cop_h5 *f;
	*has = false;
	int rc = cop_h5_open(&f, path, NULL, err);
	if (!rc) {
		*has = cop_h5_has(f, "masks");
		cop_h5_close(f);
	}
	return rc;
}

void cop_mask_file_release(struct cop_mask_file *m)
{
	cop_layout_release(&m->layout);
	free(m->mask);
	*m = (struct cop_mask_file){0};
}
