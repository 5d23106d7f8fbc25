/*
 * Whether batches are made ahead of the step, by threads of their own, or in it. That depends on what else the
 * processors have to do, so it is tried: steps of either kind in turn, a few windows each, and the faster kind stays.
 * Where making batches takes a small share of the steps there is nothing to win, and nothing is tried.
 */
#ifndef COP_NN_AHEAD_H
#define COP_NN_AHEAD_H

#include <stdbool.h>

enum { COP_AHEAD_WINDOWS = 6 }; /* of a trial: in the step, ahead, in the step, ... */

struct cop_ahead {
	bool settled;                   /* the choice is made */
	bool ahead;                     /* what it is now */
	bool trying;                    /* windows are being measured */
	int steps;                      /* in the window under way, the first ones among them, which do not count */
	double sum, waited;             /* seconds of those that count; of them, waiting for the batch */
	int window;                     /* its number */
	double mean[COP_AHEAD_WINDOWS]; /* seconds a step */
};

/* Begins in the step. */
void cop_ahead_init(struct cop_ahead *a);

/* A step took `seconds`, `waited` of them for its batch. Returns whether the next ones are to be made ahead. */
bool cop_ahead_step(struct cop_ahead *a, double seconds, double waited);

#endif
