/*
 * One network on the engine and in float64 (graph64.h), with numbers drawn from a seed: parameters, statistics, labels,
 * and images that keep what goes into a ReLU or a maximum away from where a gradient jumps.
 */
#ifndef COP_TESTS_TRIAL_H
#define COP_TESTS_TRIAL_H

#include "base/rng.h"
#include "engine.h"
#include "graph64.h"

struct trial {
	struct cop_graph g; /* the caller's to build, between trial_begin and trial_set_up */
	struct cop_stream s;
	struct graph64 r;
	struct engine e;
	int batch, classes; /* the caller's to set */
	int32_t *label;
	double most, worst; /* the largest error that passes; the largest that was met */
	bool fresh;         /* running statistics in training are those of a network that begins */
	double lift;        /* the mean of what batch norms add */
	double thinnest;    /* no batch norm may see a smaller variance; else there is nothing to compare */
	/*
	 * What goes into a ReLU or wins a maximum stays this far from where the gradient jumps: else a rounding more or
	 * less decides, and no bound holds.
	 */
	double margin;
	/*
	 * Below 1: so much is kept of the weights that can be pruned, of each tensor for itself, and the engine's net
	 * is reduced to it. whole: as cop_reduced_init's.
	 */
	double density;
	const bool *whole;
	uint8_t *mask; /* then */
	uint32_t seed;
	char name[80];
};

void trial_begin(struct trial *t, uint32_t seed, double most, const char *name);

/* Finishes the graph and draws all numbers; images at most `turns` times. Both sides have them, and nothing was run on
   the engine. Fails the test where no images will do. */
void trial_set_up(struct trial *t, bool training, int turns);
void trial_tear_down(struct trial *t);

/*
 * Whether a channel is as good as constant where a batch norm sees it: dividing by its deviation leaves nothing but the
 * rounding of the mean.
 */
bool trial_is_degenerate(const struct trial *t);

/* Fail the test, by name, where the norm of the differences is more than `most` of the norm of what is wanted. */
void trial_compare_outputs(struct trial *t, double loss);
/* gross: what the terms of each number add up to without their signs; NULL: not known. */
void trial_compare_arenas(struct trial *t, const struct cop_layout *l, const float *got, const double *wanted,
			  const double *gross);

#endif
