/* Training steps of the networks, for 'coppice bench'. */
#include "base/cpu.h"
#include "bench.h"
#include "nn/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NETWORKS = 7 };

static int64_t lenet_hidden[] = {300, 100};

/* In the order of their names below. Images and batches are the papers', MobileNetV2's those of the study on 64x64. */
static const struct cop_bench_network networks[NETWORKS] = {
	{"LeNet-300-100", {.name = COP_MODEL_LENET, .hidden = {lenet_hidden, 2}}, {1, 28, 10}, 60},
	{"Conv-2", {.name = COP_MODEL_CONV2}, {3, 32, 10}, 60},
	{"Conv-4", {.name = COP_MODEL_CONV4}, {3, 32, 10}, 60},
	{"Conv-6", {.name = COP_MODEL_CONV6}, {3, 32, 10}, 60},
	{"ResNet-20", {.name = COP_MODEL_RESNET, .depth = 20}, {3, 32, 10}, 128},
	{"VGG-16", {.name = COP_MODEL_VGG, .depth = 16}, {3, 32, 10}, 128},
	{"MobileNetV2", {.name = COP_MODEL_MOBILENET_V2}, {3, 64, 1000}, 96},
};

const char *const cop_bench_network_names[] = {"lenet",    "conv2", "conv4",        "conv6",
					       "resnet20", "vgg16", "mobilenet_v2", NULL};

const struct cop_bench_network *cop_bench_find_network(const char *name)
{
	int i = 0;
	while (cop_bench_network_names[i] && strcmp(cop_bench_network_names[i], name) != 0)
		i++;
	if (i == NETWORKS)
		COP_BUG("a network that is not in the table");
	return &networks[i];
}

/* A GPU's floor is 8 passes over what the convolutions give, see docs/gpu.md. */
static double floor_of(const struct cop_bench_run *run, const struct cop_bench_step *s)
{
	enum { PASSES = 8 };
	if (run->args->device.kind != COP_DEVICE_CUDA)
		return s->flops / (run->peak.gflops * 1e9);
	return s->conv_bytes > 0 ? PASSES * s->conv_bytes / (run->gpu.copy_gbs * 1e9) : NAN;
}

static int open_device(const struct cop_bench_run *run, const struct cop_backend **b, struct cop_err *err)
{
	const struct cop_cuda_module *m;
	*b = &cop_cpu_backend;
	return run->args->device.kind == COP_DEVICE_CUDA ? cop_bench_open_gpu(run, &m, b, err) : 0;
}

struct cop_train_config cop_bench_training(const struct cop_bench_run *run, const struct cop_bench_network *n)
{
	static char none[] = "0ep";
	return (struct cop_train_config){.epochs = 1000000,
					 .batch = run->args->batch ? run->args->batch : n->batch,
					 .optimizer = COP_OPTIMIZER_SGD,
					 .lr = 0.01,
					 .momentum = 0.9,
					 .weight_decay = 1e-4,
					 .warmup = none,
					 .seed_order = 1};
}

/* SGD with momentum; the CPU's floor is the step's arithmetic at the rate of large products. */
int cop_bench_networks(struct cop_bench_run *run, struct cop_err *err)
{
	const struct cop_bench_network *n = cop_bench_find_network(run->name);
	struct cop_train_config train = cop_bench_training(run, n);
	struct cop_bench_step s;
	const struct cop_backend *b;
	int rc = open_device(run, &b, err);
	if (!rc)
		rc = cop_bench_train(&n->model, &train, &n->images, run->args->steps, b, &s, err);
	if (rc)
		return rc;
	struct cop_bench_row r = cop_bench_row(run, s.seconds, s.images_per_second, "images/s");
	snprintf(r.name, sizeof(r.name), "%s step, %dx%dx%d, batch %" PRId64, n->title, n->images.channels,
		 n->images.side, n->images.side, train.batch);
	r.floor = floor_of(run, &s);
	r.memory = b->queue ? (double)s.device_bytes : (double)cop_memory_peak();
	r.arena = (double)s.work_bytes;
	r.data_wait = s.data_wait;
	cop_bench_add(run, &r);
	return 0;
}
