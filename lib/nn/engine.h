/*
 * Which layers of a masked network are computed from a list of their survivors, and which whole, as if nothing were
 * masked: what is faster. A rule says so, and a trial of each layer at the start may overrule it where the other way is
 * clearly faster; so the same work is done alike wherever processors are alike. The function computed is the same, but
 * its sums are added up in another order: what was chosen belongs to a result.
 */
#ifndef COP_NN_ENGINE_H
#define COP_NN_ENGINE_H

#include "nn/net.h"

/*
 * whole (nodes): true where a layer with weights is faster whole, on the CPU, with as many threads as are in use and
 * batches of `batch` images. Takes a few steps' time. COP_EFAILED: no memory.
 */
int cop_engine_choose(const struct cop_net *net, const uint8_t *mask, int batch, bool *whole, struct cop_err *err)
	COP_CHECKED;

/* The names of the nodes that are whole and could be listed, with a blank between; the caller frees it. */
char *cop_engine_text(const struct cop_graph *g, const bool *whole);

/* Back again: false where it names what is no such layer. */
bool cop_engine_parse(const struct cop_graph *g, const char *text, bool *whole);

#endif
