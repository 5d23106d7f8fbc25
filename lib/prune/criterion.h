/*
 * Criteria: by which weights are chosen to be cut. Each gives every prunable weight a score, a double; the lowest go,
 * equal ones in tensor order, then index order. w_0 is a weight at initialisation, w_T at the end of training.
 *
 *	magnitude            |w_T|
 *	change               |w_T - w_0|                                                   (Zhou et al. 2019)
 *	magnitude-same-sign  |w_T| where w_T has the sign of w_0, else 0                    (Zhou et al. 2019)
 *	random               uniform in [0,1)
 *	random-layerwise     the same, but as many of each tensor go as magnitude takes from it
 *	snip                 |w_0 g|, g = dL/dw at initialisation                           (Lee et al. 2019)
 *	grasp                w_0 (H g), H the loss's second derivatives at initialisation   (Wang et al. 2020)
 *	synflow              w_0 dR/dw, R the flow through the network without signs        (Tanaka et al. 2020)
 *	gradient-weight      |w_T g|, g = dL/dw at the end                                  (Molchanov et al. 2017)
 */
#ifndef COP_PRUNE_CRITERION_H
#define COP_PRUNE_CRITERION_H

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

#endif
