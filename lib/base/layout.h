/*
 * A layout names the tensors that lie one after another in a flat arena. A network's parameters, the optimizer's
 * slots, a checkpoint and a mask all speak of the same layout, so one offset is good for all of them.
 */
#ifndef COP_BASE_LAYOUT_H
#define COP_BASE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COP_RANK_MAX = 5, COP_TENSOR_NAME = 96 };

struct cop_tensor {
	char name[COP_TENSOR_NAME]; /* "LAYER/TENSOR", as in the files */
	int rank;
	int64_t dim[COP_RANK_MAX];
	size_t count;  /* product of dim */
	size_t offset; /* of its first element in the arena, in elements; a multiple of 16 */
	bool prunable;
};

struct cop_layout {
	struct cop_tensor *tensor;
	size_t n, cap;
	size_t total; /* elements of an arena, padding included; padding is kept zero */
};

void cop_layout_add(struct cop_layout *l, const char *name, int rank, const int64_t *dim, bool prunable);
void cop_layout_copy(struct cop_layout *to, const struct cop_layout *from); /* `to` starts as {0} */
void cop_layout_release(struct cop_layout *l);
const struct cop_tensor *cop_layout_find(const struct cop_layout *l, const char *name); /* NULL: not there */
size_t cop_layout_count(const struct cop_layout *l, bool prunable_only);                /* elements, no padding */
bool cop_layout_same(const struct cop_layout *a, const struct cop_layout *b);           /* names, shapes, offsets */

/* "300x784" into buf; returns buf. */
char *cop_shape_text(const struct cop_tensor *t, char *buf, size_t size);

#endif
