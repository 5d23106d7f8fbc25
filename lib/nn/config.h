/* What an experiment says of network, data and training. Filled by the table in sweep/experiment.c. */
#ifndef COP_NN_CONFIG_H
#define COP_NN_CONFIG_H

#include "base/param.h"

enum cop_model_name {
	COP_MODEL_LENET,
	COP_MODEL_CONV2,
	COP_MODEL_CONV4,
	COP_MODEL_CONV6,
	COP_MODEL_RESNET,
	COP_MODEL_VGG,
	COP_MODEL_MOBILENET_V2,
	COP_MODEL_GRAPH
};
#define COP_MODEL_CHOICES "lenet|conv2|conv4|conv6|resnet|vgg|mobilenet_v2|graph"

enum cop_init { COP_INIT_KAIMING_NORMAL, COP_INIT_GLOROT_NORMAL, COP_INIT_GLOROT_UNIFORM };
#define COP_INIT_CHOICES "kaiming_normal|glorot_normal|glorot_uniform"

struct cop_model_config {
	int name, init; /* of the enums above */
	struct cop_ints hidden;
	int64_t depth; /* 0: the network's own */
	double width;  /* multiplies the channels; 0 stands for 1 */
	double dropout;
	char *layers; /* graph: a list in JSON; NULL stands for [] */
};

enum cop_normalize { COP_NORMALIZE_STANDARD, COP_NORMALIZE_UNIT };
#define COP_NORMALIZE_CHOICES "standard|unit"

/* Where images are while they are trained on; auto: in memory, if they take at most half of the process's share. */
enum cop_storage { COP_STORAGE_AUTO, COP_STORAGE_MEMORY, COP_STORAGE_STREAM };
#define COP_STORAGE_CHOICES "auto|memory|stream"

struct cop_data_config {
	char *path, *fingerprint; /* fingerprint: "" until a plan fills it in */
	int64_t validation;       /* images split off the training set */
	int normalize;            /* standard: (pixel/255 - mean) / std of the channel; unit: pixel/255 */
	int64_t crop_padding;
	bool flip, resized_crop;
	double scale_min; /* resized_crop: the smallest area, as a part of the image's */
	int storage;
	int64_t loader_threads; /* 0: automatic; -1: in the step */
};

enum cop_optimizer_name { COP_OPTIMIZER_SGD, COP_OPTIMIZER_ADAM };
#define COP_OPTIMIZER_CHOICES "sgd|adam"

enum cop_schedule_name {
	COP_SCHEDULE_CONSTANT,
	COP_SCHEDULE_STEP,
	COP_SCHEDULE_COSINE,
	COP_SCHEDULE_LINEAR,
	COP_SCHEDULE_EXPONENTIAL
};
#define COP_SCHEDULE_CHOICES "constant|step|cosine|linear|exponential"

/* How masked networks are computed on the CPU: each layer by a rule (auto) or as a trial at the start has it (timed).
 */
enum cop_engine { COP_ENGINE_AUTO, COP_ENGINE_DENSE, COP_ENGINE_SPARSE, COP_ENGINE_TIMED };
#define COP_ENGINE_CHOICES "auto|dense|sparse|timed"

struct cop_train_config {
	int64_t epochs, batch;
	int optimizer;
	double lr, momentum, weight_decay, beta1, beta2, epsilon;
	bool nesterov;
	int schedule;
	char *warmup; /* "3ep" or "500it" */
	struct cop_strings milestones;
	double gamma, final_lr;
	int64_t seed_init, seed_order, seed_augment;
	char *validate_every; /* a point, as of warmup; NULL stands for an epoch */
	bool test_early_stop; /* the test split as well, whenever the validation loss is a new minimum */
	int engine;           /* of the enum above */
	int64_t ranks;        /* that share each batch; 0 stands for 1 */
	bool scale_lr;        /* the rates are for one rank's images; false by the time that someone trains */
	/* not of the file: steps that follow the schedule's last one, and their rate */
	int64_t more_steps;
	double more_lr; /* 0: that of the schedule's last step */
};

#endif
