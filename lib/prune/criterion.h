/*
 * Criteria: by which weights are chosen to be cut. Each gives every prunable weight a score, a double; the lowest go,
 * equal ones in tensor order, then index order. w_0 is a weight at initialisation, w_T at the end of training, L the
 * mean loss of some training batches, batch norms going by the batch.
 *
 *	magnitude            |w_T|
 *	change               |w_T - w_0|                                                   (Zhou et al. 2019)
 *	magnitude-same-sign  |w_T| where w_T has the sign of w_0, else 0                    (Zhou et al. 2019)
 *	random               uniform in [0,1)
 *	random-layerwise     the same, but as many of each tensor go as magnitude takes from it
 *	snip                 |w_0 g|, g = dL/dw at initialisation                           (Lee et al. 2019)
 *	grasp                w_0 (H g), H the second derivatives of L at initialisation     (Wang et al. 2020)
 *	synflow              |w_0| dR/d|w|, R the flow through the network without signs    (Tanaka et al. 2020)
 *	gradient-weight      |w_T g|, g = dL/dw at the end                                  (Molchanov et al. 2019)
 *
 * docs/method.md says what they take from where, and where the literature differs. Derivatives are in float64
 * (nn/gradient64.h). In a later round weights that were cut before are 0 in all of this, and only the others are cut.
 */
#ifndef COP_PRUNE_CRITERION_H
#define COP_PRUNE_CRITERION_H

#include "nn/graph.h"
#include "nn/samples.h"
#include "prune/allocation.h"

enum cop_criterion {
	COP_CRITERION_MAGNITUDE,
	COP_CRITERION_CHANGE,
	COP_CRITERION_SAME_SIGN,
	COP_CRITERION_RANDOM,
	COP_CRITERION_RANDOM_LAYERWISE,
	COP_CRITERION_SNIP,
	COP_CRITERION_GRASP,
	COP_CRITERION_SYNFLOW,
	COP_CRITERION_GRADIENT_WEIGHT,
	COP_CRITERIA
};

/* Their names, as an experiment file has them. */
#define COP_CRITERION_CHOICES \
	"magnitude|change|magnitude-same-sign|random|random-layerwise|snip|grasp|synflow|gradient-weight"

/* What a criterion looks at; all else of struct cop_scoring may be NULL. */
struct cop_criterion_needs {
	bool first, last, samples;
};
struct cop_criterion_needs cop_criterion_needs(enum cop_criterion c);

/* About how many multiply-accumulates in float64 the scores take, of a network with `macs` of them in one image's
   forward pass; where they need samples, of so many images. */
double cop_criterion_macs(enum cop_criterion c, double macs, double images);

/* What there is to look at. Everything is the caller's. */
struct cop_scoring {
	const struct cop_graph *graph;
	const float *first,
		*first_buffer; /* at initialisation: (params.total) and running statistics (buffers.total) */
	const float *last;     /* (params.total): at the end of training, or of the round before */
	const uint8_t *before; /* (params.total): what the round before kept; NULL: everything is there */
	const struct cop_samples *samples; /* the batches of L */
	uint64_t seed;                     /* of random draws */
	/* Before each batch, and each turn of synflow: what it returns other than 0 ends it. May be NULL. */
	int (*watch)(void *user, struct cop_err *err);
	void *user;
};

/*
 * score: (params.total), 0 where nothing can be cut. Of synflow those of its first turn, of random-layerwise the draws.
 * COP_EINPUT: a parameter that is looked at is NaN, or a score; the message names tensor and place. COP_EFAILED: no
 * memory, or images that cannot be read.
 */
int cop_criterion_scores(const struct cop_scoring *s, enum cop_criterion c, double *score, struct cop_err *err)
	COP_CHECKED;

/*
 * mask: (params.total): cuts what the allocation says of each of its groups, those that `before` cuts among them.
 * *threshold: the largest score that was cut (of synflow: in its last turn that cuts), 0 where none was. Errors as
 * above and as cop_prune_scores's.
 */
int cop_criterion_mask(const struct cop_scoring *s, enum cop_criterion c, const struct cop_allocation *a, uint8_t *mask,
		       double *threshold, struct cop_err *err) COP_CHECKED;

#endif
