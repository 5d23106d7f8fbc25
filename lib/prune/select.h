/*
 * Radix selection, the engine of quantile.h: fed with blocks, pass by pass.
 *
 *	cop_select_new
 *	feed all blocks; cop_select_end        surveyed: summary and the first histogram
 *	cop_select_want                        the ranks, once the count is known
 *	while (cop_select_open)
 *		feed all blocks; cop_select_end
 *	cop_select_value                       by rank
 *
 * A key is an element's bits with the sign cleared. A rank that is open is known by its prefix, the key's bits that
 * were counted so far, and by how many elements lie below that prefix.
 */
#ifndef COP_PRUNE_SELECT_H
#define COP_PRUNE_SELECT_H

#include "prune/quantile.h"

struct cop_select;

int cop_select_new(struct cop_select **s, enum cop_float type, int threads, struct cop_err *err) COP_CHECKED;
void cop_select_free(struct cop_select *s); /* NULL is allowed */

/* Counts a block, its type no wider than the selection's. */
int cop_select_feed(struct cop_select *s, const struct cop_block *b, struct cop_err *err) COP_CHECKED;

/* The pass is over. COP_EINPUT where it held other data than the one before. */
int cop_select_end(struct cop_select *s, struct cop_err *err) COP_CHECKED;

/* After the first pass. */
struct cop_summary cop_select_summary(const struct cop_select *s);

/* Asks for `n` ranks, ascending, each below the count. Once, after the first pass. */
int cop_select_want(struct cop_select *s, const uint64_t *rank, size_t n, struct cop_err *err) COP_CHECKED;

/* Whether another pass is needed. */
bool cop_select_open(const struct cop_select *s);

/* The answer to rank[i]; *below: how many elements are smaller. */
double cop_select_value(const struct cop_select *s, size_t i, uint64_t *below);

#endif
