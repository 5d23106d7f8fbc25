/*
 * The experiment: everything that an experiment file can say, in one struct and one table. The keys that change what a
 * cell computes make up its hash; the rest says where and how.
 */
#ifndef COP_SWEEP_EXPERIMENT_H
#define COP_SWEEP_EXPERIMENT_H

#include "compute/backend.h"
#include "nn/config.h"
#include "prune/criterion.h"

/* What is retrained from what; see docs/method.md. */
enum cop_retrain {
	COP_RETRAIN_REWIND,      /* the reset point's weights, and the schedule from there */
	COP_RETRAIN_LR_REWIND,   /* the trained weights, and the schedule from the reset point on */
	COP_RETRAIN_FINE_TUNE,   /* the trained weights, as many steps with the last learning rate */
	COP_RETRAIN_REINIT,      /* the mask on new weights, and the whole schedule */
	COP_RETRAIN_REINIT_SIGN, /* the same, with the signs of the initial weights */
	COP_RETRAIN_SHUFFLE,     /* as rewind, with the mask shuffled within each tensor */
	COP_RETRAIN_RANDOM       /* as rewind, with any mask that keeps as many weights */
};
#define COP_RETRAIN_CHOICES "rewind|lr-rewind|fine-tune|reinit|reinit-sign|shuffle|random"

/* Of a way to retrain: begins with new weights; goes on with trained ones; has another mask than its criterion's. */
bool cop_retrain_is_anew(int retrain);
bool cop_retrain_goes_on(int retrain);
bool cop_retrain_moves_mask(int retrain);

/* The seeds that a replicate changes. */
enum cop_seed { COP_SEED_INIT, COP_SEED_ORDER, COP_SEED_AUGMENT };
#define COP_SEED_CHOICES "init|order|augment"

struct cop_glyphs_config {
	int64_t train, test, seed;
};

struct cop_sweep_config {
	struct cop_reals quantiles;
	struct cop_strings reset;
	int64_t replicates, rounds, children;
	int scope;
	char *rates;                       /* JSON, for cop_rates_parse */
	struct cop_ints criterion;         /* of enum cop_criterion */
	int64_t score_batches;             /* that criteria take gradients from */
	struct cop_ints retrain, controls; /* of enum cop_retrain; controls take the masks of retrain's first */
	struct cop_ints vary;              /* of enum cop_seed */
	double fine_tune_lr;               /* 0: the schedule's last */
	bool keep_weights;
};

struct cop_device_config {
	struct cop_device_choice choice;
	int64_t threads;
	double checkpoint_minutes;
	char *stage;
};

struct cop_cost_config {
	double ask_hours, carbon_g_per_kwh;
};

struct cop_slurm_config {
	char *time, *mem, *partition, *account;
	int64_t cpus, gpus, max_running, max_submitted, cells_per_task, max_attempts;
	bool concurrent;
	struct cop_strings extra, prologue;
};

struct cop_experiment {
	char *name;
	struct cop_model_config model;
	struct cop_data_config data;
	struct cop_glyphs_config glyphs;
	struct cop_train_config train;
	struct cop_sweep_config sweep;
	struct cop_device_config device;
	struct cop_slurm_config slurm;
	struct cop_cost_config cost;
};

/* data.path that stands for the built-in digits: `plan` draws them into the run's folder. */
#define COP_DATA_GLYPHS "glyphs"

extern const struct cop_params cop_experiment_params;

/* From a file's text and --set pairs; checks what the table alone cannot. COP_EINPUT. Release it. */
int cop_experiment_load(struct cop_experiment *e, const char *text, const char *name, const char *const *sets,
			size_t nsets, struct cop_err *err) COP_CHECKED;
void cop_experiment_release(struct cop_experiment *e);

/* Whose work it is that trains: its seeds follow from it. */
struct cop_worker {
	bool dense;
	int64_t replicate;
	int64_t child; /* of a cell: 0 has the dense run's order of images, each other one its own */
};

/*
 * How a dense run trains, or a cell: with the rates that are meant and the seeds of its replicate and child, and a cell
 * by one rank, whatever the dense run had. Lists and texts stay the experiment's.
 */
struct cop_train_config cop_experiment_training(const struct cop_experiment *e, const struct cop_worker *w);

/* GPUs of a dense run's task: as many as it has ranks, where tasks have any. */
int64_t cop_experiment_dense_gpus(const struct cop_experiment *e);

/*
 * What a cell of quantile `q` cuts of the tensors of `l`, all rounds up to it together. COP_EINPUT as cop_allocate.
 * Release *a.
 */
int cop_experiment_allocate(const struct cop_experiment *e, const struct cop_layout *l, double q,
			    struct cop_allocation *a, struct cop_err *err) COP_CHECKED;

/* The resolved experiment as JSON; the caller frees. */
char *cop_experiment_text(const struct cop_experiment *e);

/* 16 hex digits over all that changes what a cell of given quantile, reset point and replicate computes. */
enum { COP_HASH_TEXT = 17 };
void cop_experiment_hash(const struct cop_experiment *e, char hash[COP_HASH_TEXT]);

#endif
