/*
 * Linear mode connectivity (Frankle, Dziugaite, Roy & Carbin 2020): the error on the line between the weights of each
 * two children of a cell, which tells how stable training is to the order of the data. One file a pair,
 * RUN/connect/AAAAAA-BBBBBB.h5; what is measured already is not measured again.
 */
#ifndef COP_SWEEP_CONNECT_H
#define COP_SWEEP_CONNECT_H

#include "base/statistics.h"
#include "store/connect.h"
#include "sweep/run.h"

#include <signal.h>

struct cop_connect_options {
	int threads;                       /* 0: what the experiment says */
	int64_t points;                    /* of each line, its ends included; 2 at least */
	int64_t batches;                   /* that running statistics are estimated from; 0: they are interpolated */
	bool train;                        /* measure training images as well: */
	int64_t train_images;              /* the first so many; 0: all */
	const volatile sig_atomic_t *stop; /* set: return COP_ESTOPPED; may be NULL */
};

struct cop_connected {
	struct cop_connection *pair; /* whose cells are done; by criterion, retrain, round, quantile, reset point,
					replicate and children */
	size_t n, computed;          /* pairs; those of them that were measured now */
	int64_t *missing;            /* cells that pairs want and that are not done, in the order of their numbers */
	size_t nmissing, lacking;    /* cells; pairs that want them */
};

/*
 * COP_EINPUT where no cell has children, or cells keep no weights. A cell's file that is damaged counts as missing,
 * with a warning. Release *out, which is empty after an error.
 */
int cop_connect(const struct cop_run *r, const struct cop_connect_options *o, struct cop_connected *out,
		struct cop_err *err) COP_CHECKED;
void cop_connected_release(struct cop_connected *c);

/*
 * A place of the grid over its replicates, of each of which the mean over its pairs counts as one value: pairs of one
 * replicate have children in common.
 */
struct cop_connect_place {
	const struct cop_connection *pair;              /* (pairs), in `pair` of cop_connected */
	size_t pairs, stable;                           /* how many; how many of them are stable */
	struct cop_estimate ends, highest, instability; /* of the test error */
};

/* The caller frees *place. */
void cop_connect_places(const struct cop_connected *c, struct cop_connect_place **place, size_t *n);

#endif
