/*
 * Layer collapse: prunable layers of which a mask leaves nothing (Tanaka et al. 2020). Where a shortcut goes past such
 * a layer the network still trains, only not as the one it was; where none does the cell has no result, and its failure
 * names the layer.
 */
#ifndef COP_REPORT_COLLAPSE_H
#define COP_REPORT_COLLAPSE_H

#include "base/str.h"
#include "report/grid.h"

#include <stdio.h>

struct cJSON;

/* A layer that is gone in cells of one variant and quantile. */
struct cop_collapsed {
	char layer[COP_TENSOR_NAME];
	size_t order;             /* of the layer among the prunable ones */
	size_t variant, quantile; /* of the grid's */
	size_t cells, of;         /* in how many it is gone, of those that are finished */
};

struct cop_collapse {
	const struct cop_grid *g; /* the caller's */
	struct cop_collapsed *v;  /* by variant, quantile and layer */
	size_t n, cap;
};

/* Children are left out, for they have the masks of their first. n is 0 where every layer keeps something. */
void cop_collapse_init(struct cop_collapse *c, const struct cop_results *r, const struct cop_grid *g);
void cop_collapse_release(struct cop_collapse *c);

/* A line each, a section of the page, a list; nothing, or an empty list, where n is 0. */
void cop_collapse_print(const struct cop_collapse *c, FILE *out);
void cop_collapse_html(struct cop_str *b, const struct cop_collapse *c);
struct cJSON *cop_collapse_json(const struct cop_collapse *c);

#endif
