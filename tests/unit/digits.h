/* What tests train on: the built-in digits as a file, and a run of them whose dense network is trained. */
#ifndef COP_TESTS_DIGITS_H
#define COP_TESTS_DIGITS_H

#include "nn/batches.h"
#include "sweep/run.h"

/* A folder of its own below the working folder. */
struct digits {
	char folder[32], path[64];
	char progress[64]; /* a file that the test may write */
	struct cop_data data;
};

/* So many images, opened as `config` says; its path becomes theirs. -1 where that fails. */
int digits_make(struct digits *d, int64_t train, int64_t test, struct cop_data_config *config);
/* rmdir's status: what else the test has left in the folder makes it fail. */
int digits_remove(struct digits *d);

/* SGD with momentum 0.9 and rate 0.05, no schedule, and seeds of the test's. */
struct cop_train_config digits_training(int64_t epochs, int64_t batch);

/* Plans an experiment with one thread in a folder below /tmp, and trains its dense network. Fails the test. */
void digits_run(struct cop_run *r, struct cop_data *data, const char *experiment);
int digits_run_remove(struct cop_run *r, struct cop_data *data);

/* Fails the test with the error's message where rc is not 0. */
void must(int rc, const struct cop_err *err);

#endif
