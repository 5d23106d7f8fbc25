/*
 * A graph as it is run. A stage is a node that does work, together with the batch norm and the activation that follow
 * it where nobody else reads what lies between: these cost no pass over memory, since the stage's readers do them as
 * they load. Where they cannot be joined so, a stage of its own copies.
 *
 * A stage leaves an activation (H,W,C,ld) in memory, `raw`, and is read through its batch norm (scale and shift of the
 * step) and cut off at lo and hi. A stage without a batch norm cuts off before it writes.
 */
#ifndef COP_NN_STAGE_H
#define COP_NN_STAGE_H

#include "nn/graph.h"

enum cop_stage_kind {
	COP_STAGE_INPUT,
	COP_STAGE_CONV,
	COP_STAGE_LINEAR,
	COP_STAGE_ADD,
	COP_STAGE_COPY,
	COP_STAGE_POOL,
	COP_STAGE_GLOBAL_POOL,
	COP_STAGE_FLATTEN,
	COP_STAGE_DROPOUT
};

struct cop_stage {
	enum cop_stage_kind kind;
	int node;              /* of the graph, whose weights and window these are; a copy's: -1 */
	int norm;              /* the batch norm's node; -1: none */
	float lo, hi;          /* the activation; -inf and inf: none */
	int input[2], ninputs; /* stages */
	int c, h, w;           /* what it gives */
	int watched;           /* further channels, of which nothing is kept but their batch norm's statistics */
	int first, last;       /* the stages that read it: the one furthest on gives its gradient's first part */
	int readers;           /* how often it is read: x + x reads x twice */
	/*
	 * Additions and copies: input k's gradient is this stage's, in the same memory (after what completes it).
	 * Decided where that overwrites nothing that is still wanted.
	 */
	bool shares[2];
};

struct cop_stages {
	struct cop_stage *stage;
	int n;
	size_t cap;
};

/* Starts as {0}. */
void cop_stages_make(struct cop_stages *s, const struct cop_graph *g);
void cop_stages_release(struct cop_stages *s);

/* Whether the stage's gradient is put to 0 somewhere before it can be used. */
bool cop_stage_cuts(const struct cop_stage *s);

#endif
