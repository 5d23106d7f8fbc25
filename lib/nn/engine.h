/*
 * Which layers of a masked network are computed from a list of their survivors, and which whole, as if nothing were
 * masked. A rule says so from what is left of a layer, the same everywhere, so that equal work has equal bits; or a
 * trial of each layer at the start. The function computed is the same, but its sums are added up in another order: what
 * was chosen belongs to a result.
 */
#ifndef COP_NN_ENGINE_H
#define COP_NN_ENGINE_H

#include "nn/net.h"

/*
 * whole (nodes): true where a layer with weights is computed whole. `timed`: where that was faster on the CPU, tried
 * with as many threads as are in use and batches of `batch` images, which takes a few steps' time; else by the rule.
 * COP_EFAILED: no memory.
 */
int cop_engine_choose(const struct cop_net *net, const uint8_t *mask, int batch, bool timed, bool *whole,
		      struct cop_err *err) COP_CHECKED;

/* The names of the nodes that are whole and could be listed, with a blank between; the caller frees it. */
char *cop_engine_text(const struct cop_graph *g, const bool *whole);

/* Back again: false where it names what is no such layer. */
bool cop_engine_parse(const struct cop_graph *g, const char *text, bool *whole);

#endif
