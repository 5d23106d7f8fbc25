/*
 * What was measured on the straight line between the weights of two cells, RUN/connect/AAAAAA-BBBBBB.h5: the linear
 * mode connectivity of Frankle, Dziugaite, Roy & Carbin (2020). See "Connectivity" in docs/method.md.
 */
#ifndef COP_STORE_CONNECT_H
#define COP_STORE_CONNECT_H

#include "store/cell.h"

#define COP_CONNECT_FORMAT "coppice-connect"

/* Instability below it counts as stable: 2 points (Frankle et al. 2020). */
#define COP_CONNECT_STABLE 0.02

/* One value a point of the line: alpha, the second cell's part of the weights; errors (fractions) and mean losses. */
enum cop_connect_column {
	COP_CONNECT_ALPHA,
	COP_CONNECT_TEST_ERROR,
	COP_CONNECT_TEST_LOSS,
	COP_CONNECT_TRAIN_ERROR, /* this and the next: NaN, and in no file, where train_images is 0 */
	COP_CONNECT_TRAIN_LOSS,
	COP_CONNECT_COLUMNS
};
extern const char *const cop_connect_names[COP_CONNECT_COLUMNS];
extern const char *const cop_connect_instabilities[COP_CONNECT_COLUMNS]; /* of each; NULL: alpha has none */

/* Of one column. */
struct cop_barrier {
	double ends;        /* the mean of the first and the last value */
	double highest;     /* of all */
	double instability; /* highest - ends */
};

struct cop_connection {
	int64_t first, second;                                /* the cells' indices */
	char first_digest[COP_TEXT], second_digest[COP_TEXT]; /* of their weights, by cop_connect_digest */
	/* the cells' place in the grid, as in struct cop_row; they differ in the child */
	int64_t replicate, round, reset_step, first_child, second_child;
	double quantile;
	char reset[COP_TEXT], criterion[COP_TEXT], retrain[COP_TEXT];
	int64_t total, nnz;
	/* how it was measured */
	char statistics[COP_TEXT]; /* running statistics: "estimated", "interpolated", or "none" */
	int64_t batches;           /* from which they were estimated; 0: they were not */
	int64_t train_images;      /* that the training error is of; 0: it was not measured */
	int64_t points;
	double *column[COP_CONNECT_COLUMNS]; /* (points) each */
	char *hash;                          /* experiment_hash */
};

/* Makes the columns for c->points, alpha filled: i / (points - 1), the others NaN. */
void cop_connection_make(struct cop_connection *c);
void cop_connection_release(struct cop_connection *c); /* {0} is allowed */

/* All NaN where a value is no finite number; n >= 2. */
struct cop_barrier cop_barrier_of(const double *v, int64_t n);

/* Below COP_CONNECT_STABLE; not so where the instability is NaN. */
bool cop_connect_is_stable(double instability);

/* The digests of the weights and running statistics in an open cell's file. COP_EINPUT where it holds no weights. */
int cop_connect_digest(struct cop_h5 *f, char digest[COP_TEXT], struct cop_err *err) COP_CHECKED;

int cop_connection_write(const char *path, const struct cop_connection *c, struct cop_err *err) COP_CHECKED;
/* COP_EINPUT where it is no complete file, or is damaged; *c is empty then. Release it. */
int cop_connection_read(const char *path, struct cop_connection *c, struct cop_err *err) COP_CHECKED;

#endif
