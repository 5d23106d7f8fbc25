/*
 * Training: the state at a step, and the loop that takes it further. The state after a step is a pure function of the
 * configuration and the state before it, so a run that was saved and loaded ends with the same bits.
 */
#ifndef COP_NN_TRAINER_H
#define COP_NN_TRAINER_H

#include "base/energy.h"
#include "compute/pace.h"
#include "nn/loader.h"
#include "nn/net.h"
#include "nn/schedule.h"
#include "store/cell.h"
#include "store/checkpoint.h"

#include <signal.h>

struct cop_measure {
	double loss, top1, top5; /* mean loss, fractions; NaN where there are no images */
};

struct cop_trainer {
	const struct cop_train_config *config;
	const struct cop_data *data;
	const struct cop_backend *backend;
	const char *experiment, *hash; /* go into checkpoints; the caller's */
	struct cop_net net;
	struct cop_schedule schedule;
	struct cop_loader *loader, *eval_loader; /* make their batches */
	struct cop_work work, eval; /* of a training batch or the first rank's part; of an evaluating one */
	int eval_batch;
	float *param, *grad, *slot[COP_SLOTS_MAX];
	float *buffer; /* running statistics */
	size_t nslots;
	uint8_t *mask;                /* (params.total), NULL: dense. Owned */
	struct cop_on_device *device; /* the same on a device that works beside the program; NULL: there is none */
	struct cop_device_ranks *device_ranks; /* that share each batch, on devices; NULL: there is one */
	struct cop_ranks *ranks;               /* the same on the CPU */
	struct cop_on_survivors *survivors;    /* what a mask leaves; NULL: steps are on the arrays above */
	bool *whole; /* (nodes) layers that are computed whole then (nn/engine.h); NULL: not decided. Owned */

	int64_t step, steps_per_epoch, total_steps;
	int64_t fresh; /* the step at which the optimizer's state was zero: what it corrects for is counted from there
			*/
	struct cop_dials dials; /* of the step under way */
	struct cop_pace pace;   /* how many threads the steps have */
	struct cop_loss sums;   /* since the last row of the history */
	double seconds;         /* of training, over all restarts */
	double stepping;        /* of them, inside steps */
	double waiting;         /* of them, until the batch was there */
	int64_t images;         /* trained on within `stepping` */
	/* of attempts before this one, up to where they were saved */
	double joules;
	struct cop_gpu_time gpu_time;
	double gpu_memory; /* the most bytes; 0: none */
	struct cop_history history;

	struct cop_energy *energy;         /* of this attempt; NULL: nobody counts. The caller's */
	const char *progress_path;         /* where the state is kept while under way; NULL: nowhere */
	const char *identity;              /* of the work: a progress file of another is not taken up */
	double checkpoint_seconds;         /* how often, at most */
	const volatile sig_atomic_t *stop; /* asked for every step: save and return COP_ESTOPPED */
	const char *what;                  /* for progress: "dense 0", "cell 42" */
	/* after the first row of the history since an epoch ended; may be NULL */
	void (*epoch_ended)(const struct cop_trainer *t, void *user);
	/* after each batch, of measuring too; what it returns other than 0 ends the training; may be NULL */
	int (*heartbeat)(const struct cop_trainer *t, void *user, struct cop_err *err);
	void *user;
};

/* The caller fills experiment, hash, progress_path and what follows it afterwards. */
int cop_trainer_init(struct cop_trainer *t, const struct cop_model_config *model, const struct cop_train_config *train,
		     const struct cop_data *data, const struct cop_backend *backend, struct cop_err *err) COP_CHECKED;

/*
 * A trainer whose batches are those of `lead`, on a device that works beside the program: the same network, data and
 * seeds, with weights of its own. It reads lead's batches, so it must go before lead does.
 */
int cop_trainer_init_beside(struct cop_trainer *t, const struct cop_model_config *model, struct cop_trainer *lead,
			    struct cop_err *err) COP_CHECKED;
void cop_trainer_release(struct cop_trainer *t);

/*
 * How many further trainers like this lead, initialised and on a device, that device has room for beside it; at most
 * `wanted`. *each: bytes that one takes. A step on nothing is tried for it: what the trainer is stays as it was.
 */
int cop_trainer_room(struct cop_trainer *t, int wanted, size_t *each, struct cop_err *err) COP_CHECKED;

/* Back to step 0 with zero optimizer state and no history; weights are whatever they were. */
void cop_trainer_restart(struct cop_trainer *t);

/* Fresh weights. */
void cop_trainer_draw(struct cop_trainer *t, int init, uint64_t seed);

/*
 * Takes over parameters, running statistics, optimizer state and step. A checkpoint of another network is COP_EINPUT,
 * and so is a mask that lets nothing of an image through (nn/survival.h).
 * `mask` (the params' layout; copied; NULL: dense) is applied to parameters and optimizer state: rewinding with a
 * ticket's mask.
 */
int cop_trainer_rewind(struct cop_trainer *t, const struct cop_checkpoint *c, const uint8_t *mask, struct cop_err *err)
	COP_CHECKED;

/* Whatever the weights are, they are those of `step` now, and the optimizer's state is zero. */
void cop_trainer_begin_at(struct cop_trainer *t, int64_t step);

/* Other weights, in the layout `l`, and running statistics. COP_EINPUT where they are of another network. */
int cop_trainer_put(struct cop_trainer *t, const struct cop_layout *l, const float *param, const float *buffer,
		    struct cop_err *err) COP_CHECKED;

/* From now on the mask's weights are 0; as for cop_trainer_rewind. */
int cop_trainer_cut(struct cop_trainer *t, const uint8_t *mask, struct cop_err *err) COP_CHECKED;

/* Where a device, or the network reduced to its mask, has gone on from the arrays above, they become what it has.
   Before they are read. */
int cop_trainer_sync(struct cop_trainer *t, struct cop_err *err) COP_CHECKED;

/* The state as a checkpoint whose arenas stay the trainer's: write it, do not release it. Sync first. */
struct cop_checkpoint cop_trainer_checkpoint(const struct cop_trainer *t);

/* Trains until `step`. COP_ESTOPPED when asked to stop; COP_EFAILED where the loss is not finite. */
int cop_trainer_run(struct cop_trainer *t, int64_t step, struct cop_err *err) COP_CHECKED;

/*
 * The same for a lead and those beside it, COP_LANES_MAX at most, whose steps of the same number are done side by side.
 * rc (n), err (n): how each ended; one that fails leaves the others alone. What is 0 already in rc takes part.
 */
void cop_trainers_run(struct cop_trainer *const *t, int n, int64_t step, int *rc, struct cop_err *err);

/* Saves to progress_path, and takes up from there: *found says whether there was something to take up. A file that
   cannot be read is passed over with a warning: the run starts again. The mask is not saved; give the same one before.
 */
int cop_trainer_save(struct cop_trainer *t, struct cop_err *err) COP_CHECKED;
void cop_trainer_resume(struct cop_trainer *t, bool *found);

/* The measures of a part with the weights as they are. Fails where its images cannot be read. */
int cop_trainer_measure(struct cop_trainer *t, const struct cop_part *part, struct cop_measure *m, struct cop_err *err)
	COP_CHECKED;

/* Whether node i's weights are computed as a list of survivors (nn/reduced.h); after steps, or measures. */
bool cop_trainer_lists(const struct cop_trainer *t, int i);

/* How many they are, and how many could be. */
int cop_trainer_count_lists(const struct cop_trainer *t, int *could);

/* "dense", or "sparse 45 of 53 layers": as many of those whose weights could be listed; into buf, returns buf. */
const char *cop_trainer_engine(const struct cop_trainer *t, char *buf, size_t size);

/* Images a second within steps; NaN where there were none. */
double cop_trainer_speed(const struct cop_trainer *t);

/* What all attempts took in joules; NaN where it is not known. */
double cop_trainer_joules(const struct cop_trainer *t);

/*
 * Of all attempts: the GPUs' mean utilisation, 0 to 1, while it was told, and the most bytes of a GPU's memory that
 * were allocated at once (of the first, where several share each batch). NaN where they are not known, or there is no
 * GPU.
 */
double cop_trainer_utilisation(const struct cop_trainer *t);
double cop_trainer_memory(const struct cop_trainer *t);

/* The share of the time within steps that goes to waiting for the batch, or to making it; NaN where there was none. */
double cop_trainer_data_wait(const struct cop_trainer *t);

/* ", 5% waiting for data" into buf where it is more than 1%, else ""; returns buf. */
enum { COP_DATA_NOTE = 40 };
const char *cop_trainer_data_note(const struct cop_trainer *t, char buf[COP_DATA_NOTE]);

#endif
