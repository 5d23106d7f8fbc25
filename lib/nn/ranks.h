/*
 * Ranks: a step whose batch is shared by several threads, as the GPUs of a node share one. Each rank has its part of
 * the images, activations, gradients and running statistics of its own; parameters are there once. A step:
 *
 *   each rank:  running statistics = the trainer's; forward and backward over its part, whose loss is a mean
 *   all:        gradients = (g0 + g1 + ...) / ranks in the ranks' order, running statistics likewise
 *   all:        the update, each rank for a slice of the parameters
 *
 * What a batch norm sees is the rank's part alone, as in data-parallel training elsewhere (Goyal et al. 2017,
 * "Accurate, large minibatch SGD", section 2.3). Since ranks begin each step with the same running statistics, the
 * state after a step is a function of the state before it: nothing but the trainer's arrays need be saved.
 */
#ifndef COP_NN_RANKS_H
#define COP_NN_RANKS_H

#include "compute/backend.h"
#include "nn/team.h"

enum { COP_RANKS_MAX = COP_TEAM_MAX };

struct cop_trainer;
struct cop_data;
struct cop_ranks;

/* COP_EINPUT, which names both numbers, where a batch cannot be shared evenly. */
int cop_ranks_check(int64_t batch, int64_t ranks, struct cop_err *err) COP_CHECKED;

/* Whether only one rank at a time may read its images: those that HDF5 alone can read. */
bool cop_ranks_in_turn(const struct cop_data *d);

/* Of the dropout: other images than those of the first rank drop other features. */
uint64_t cop_rank_seed(uint64_t seed, int rank);

/*
 * Of a trainer on the CPU whose work and loader are of a part of the batch: they are the first rank's, who works on the
 * thread that asks for a step. Starts a thread for each other. The threads of the process are shared out, one at least
 * to each rank. COP_EFAILED: no memory, no threads.
 */
int cop_ranks_open(struct cop_ranks **r, struct cop_trainer *t, int n, struct cop_err *err) COP_CHECKED;
void cop_ranks_free(struct cop_ranks *r); /* NULL is allowed; ends the threads */

/*
 * The trainer's step with its dials, by `threads` threads in all: updates its arrays and leaves the rest to the caller.
 * *loss: of the whole batch. *waited: seconds until the first rank's part of the batch was there. Where a rank fails
 * nothing is updated, and the first one's error is told.
 */
int cop_ranks_step(struct cop_ranks *r, int threads, struct cop_loss *loss, double *waited, struct cop_err *err)
	COP_CHECKED;

/* out[i] = (part[0][i] + part[1][i] + ...) / n in that order, for from <= i < to; out may be one of the parts. */
void cop_ranks_mean(float *const *part, int n, size_t from, size_t to, float *out);

#endif
