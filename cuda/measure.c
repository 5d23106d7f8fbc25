/*
 * How long the kernels take, for 'coppice bench': each family by itself, on activations that are larger than the
 * device's caches, queued many times between two events. The bytes beside it are those that the call must read and
 * write at the least.
 */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 16, CHANNELS = 96, PIXELS = SIDE * SIDE * CHANNELS, TURNS = 5, MOST = 200, ARRAYS = 8, RANKS = 9 };
static const double ENOUGH = 0.02; /* seconds of a turn */

struct bench {
	struct cop_launch l;
	double element; /* bytes of an activation's number */
	size_t n;       /* numbers of an activation, or floats */
	struct cop_shape s;
	struct cop_conv conv; /* 3x3, depthwise */
	struct cop_pool pool; /* 2x2 */
	/* on the device: n floats each, 0 or random; channels' numbers; sums; workspace */
	float *array[4], *channel, *parts, *space;
	uint8_t *bits;
	struct cop_pick *pick;
	struct cop_dials *dials;
	struct cop_sums sums;
	void *held[ARRAYS + 8];
	int nheld;
	cudaEvent_t begun, ended;
};

static int check(cudaError_t e, const char *what, struct cop_err *err)
{
	if (e == cudaSuccess)
		return 0;
	return cop_cuda_fail(err, COP_EFAILED, "the GPU failed at '%s': %s (%s)", what, cudaGetErrorString(e),
			     cudaGetErrorName(e));
}

/* Zeroed bytes of the device until the benchmark ends. */
static int hold(struct bench *b, void *p, size_t bytes, struct cop_err *err)
{
	void *got = NULL;
	int rc = cop_cuda_alloc(&got, bytes, "a benchmark", err);
	if (!rc)
		b->held[b->nheld++] = got;
	memcpy(p, &got, sizeof(got));
	return rc;
}

static void let_go(struct bench *b)
{
	while (b->nheld > 0)
		cop_cuda_release(b->held[--b->nheld]);
	if (b->begun)
		cudaEventDestroy(b->begun);
	if (b->ended)
		cudaEventDestroy(b->ended);
}

static int begin(struct bench *b, size_t numbers, struct cop_err *err)
{
	struct cop_cuda_device *d = cop_cuda_now();
	*b = (struct bench){.l = cop_cuda_launch(d), .n = numbers, .element = d->table.element};
	int rc = check(cudaEventCreateWithFlags(&b->begun, cudaEventDefault), "cudaEventCreate", err);
	return rc ? rc : check(cudaEventCreateWithFlags(&b->ended, cudaEventDefault), "cudaEventCreate", err);
}

/* About normally distributed numbers: the sum of four that are uniform. A few million of them, again and again. */
static int fill_random(float *to, size_t n, struct cop_err *err)
{
	enum { BLOCK = 1 << 22 };
	size_t block = n < BLOCK ? n : BLOCK;
	uint64_t r = 0x9e3779b97f4a7c15u;
	float *x = malloc(block * sizeof(*x));
	if (!x)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	for (size_t i = 0; i < block; i++) {
		r ^= r << 13; /* Marsaglia's xorshift (2003) */
		r ^= r >> 7;
		r ^= r << 17;
		float sum = 0;
		for (int k = 0; k < 64; k += 16)
			sum += (float)(r >> k & 0xffff);
		x[i] = sum / 65536 - 2;
	}
	int rc = 0;
	for (size_t at = 0; at < n && !rc; at += block)
		rc = cop_cuda_put(to + at, x, (n - at < block ? n - at : block) * sizeof(*x), err);
	free(x);
	return rc;
}

/* Seconds of `calls` calls. */
static int time_calls(struct bench *b, cudaError_t (*call)(struct bench *b), int calls, double *seconds,
		      struct cop_err *err)
{
	float ms = 0;
	cudaError_t e = cudaEventRecord(b->begun, b->l.stream);
	for (int i = 0; i < calls && e == cudaSuccess; i++)
		e = call(b);
	if (e == cudaSuccess)
		e = cudaEventRecord(b->ended, b->l.stream);
	if (e == cudaSuccess)
		e = cudaEventSynchronize(b->ended);
	if (e == cudaSuccess)
		e = cudaEventElapsedTime(&ms, b->begun, b->ended);
	*seconds = ms / 1e3;
	return check(e, "a benchmark", err);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* The median of a few turns, each long enough to be timed; once before, which is not. */
static int time_one(struct bench *b, const char *name, double bytes, cudaError_t (*call)(struct bench *b),
		    struct cop_cuda_timing *t, struct cop_err *err)
{
	double turn[TURNS], once = 0;
	int rc = time_calls(b, call, 1, &once, err);
	if (!rc)
		rc = time_calls(b, call, 1, &once, err);
	int calls = once * MOST < ENOUGH ? MOST : once < ENOUGH ? (int)(ENOUGH / once) : 1;
	for (int i = 0; i < TURNS && !rc; i++)
		rc = time_calls(b, call, calls, &turn[i], err);
	if (rc)
		return rc;
	qsort(turn, TURNS, sizeof(*turn), by_size);
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->seconds = turn[TURNS / 2] / calls;
	t->bytes = bytes;
	return 0;
}

/* the kernels */

static struct cop_activation as_read(const struct bench *b)
{
	return (struct cop_activation){b->array[0], {b->channel, b->channel + CHANNELS, 0, 6}};
}

static struct cop_activation as_it_lies(const struct bench *b)
{
	return (struct cop_activation){b->array[0], {NULL, NULL, -__builtin_inff(), __builtin_inff()}};
}

static struct cop_gradient gradient(const struct bench *b)
{
	const float *c = b->channel;
	return (struct cop_gradient){b->array[1], b->array[2], {c, c + CHANNELS, c + 2 * CHANNELS, c + 3 * CHANNELS}};
}

static struct cop_sink sink(struct bench *b)
{
	return (struct cop_sink){.g = b->array[3],
				 .last = true,
				 .cuts = true,
				 .of = as_read(b),
				 .mean = b->channel + 3 * CHANNELS,
				 .sums = &b->sums};
}

static cudaError_t call_gather(struct bench *b)
{
	struct cop_image_source s = {.images = (uint8_t *)b->array[2],
				     .height = SIDE,
				     .width = SIDE,
				     .channels = CHANNELS / 32,
				     .scale = b->channel,
				     .shift = b->channel + CHANNELS};
	return cop_cuda_gather(&b->l, &s, b->pick, b->s.batch, b->s.batch, b->array[1]);
}

static cudaError_t call_copy(struct bench *b)
{
	struct cop_activation x = as_read(b);
	return cop_cuda_copy(&b->l, &b->s, &x, b->array[1]);
}

static cudaError_t call_add(struct bench *b)
{
	struct cop_activation x = as_read(b), y = {b->array[1], x.as};
	return cop_cuda_add(&b->l, &b->s, &x, &y, 0, 6, b->array[2]);
}

static cudaError_t call_moments(struct bench *b)
{
	return cop_cuda_moments(&b->l, &b->s, b->array[0], b->channel, &b->sums);
}

static cudaError_t call_slope(struct bench *b)
{
	struct cop_gradient g = gradient(b);
	return cop_cuda_slope(&b->l, &b->s, &g, b->array[3]);
}

static cudaError_t call_pass(struct bench *b)
{
	struct cop_sink to = sink(b);
	return cop_cuda_pass(&b->l, &b->s, b->array[1], &to);
}

static cudaError_t call_depthwise(struct bench *b)
{
	struct cop_activation x = as_read(b);
	struct cop_output out = {.y = b->array[1],
				 .lo = -__builtin_inff(),
				 .hi = __builtin_inff(),
				 .about = b->channel,
				 .sums = &b->sums};
	return cop_cuda_depthwise_forward(&b->l, &b->conv, &x, b->channel, &out);
}

static cudaError_t call_depthwise_backward(struct bench *b)
{
	struct cop_activation x = as_read(b);
	struct cop_gradient dy = gradient(b);
	struct cop_sink dx = sink(b);
	return cop_cuda_depthwise_backward(&b->l, &b->conv, &dy, &x, b->channel, &dx, b->parts, NULL, b->space);
}

static cudaError_t call_pool(struct bench *b)
{
	struct cop_activation x = as_it_lies(b);
	return cop_cuda_pool(&b->l, &b->pool, &x, b->array[1]);
}

static cudaError_t call_pool_backward(struct bench *b)
{
	struct cop_activation x = as_it_lies(b);
	struct cop_sink dx = {.g = b->array[3], .last = true, .of = x};
	return cop_cuda_pool_backward(&b->l, &b->pool, &x, b->array[1], &dx);
}

static cudaError_t call_global_pool(struct bench *b)
{
	struct cop_activation x = as_read(b);
	return cop_cuda_global_pool(&b->l, &b->s, &x, b->array[1]);
}

static cudaError_t call_sgd(struct bench *b)
{
	struct cop_sgd o = {.momentum = 0.9f, .weight_decay = 1e-4f};
	return cop_cuda_sgd(&b->l, &o, b->dials, b->n, b->array[0], b->bits, b->array[1], b->array[2]);
}

static cudaError_t call_adam(struct bench *b)
{
	struct cop_adam o = {.beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f};
	return cop_cuda_adam(&b->l, &o, b->dials, b->n, b->array[0], b->bits, b->array[1], b->array[2], b->array[3]);
}

/* Numbers of an activation that are read or written, of its element; bytes a number beside them. */
static const struct piece {
	const char *name;
	cudaError_t (*call)(struct bench *b);
	double numbers, bytes;
} pieces[] = {
	{"crops and flips", call_gather, 1. / 32, 1. / 32},
	{"normalise and ReLU6", call_copy, 2, 0},
	{"add and ReLU6", call_add, 3, 0},
	{"batch norm's sums", call_moments, 1, 0},
	{"batch norm's gradient", call_slope, 3, 0},
	{"ReLU6's gradient and its sums", call_pass, 3, 0},
	{"depthwise 3x3 with sums", call_depthwise, 2, 0},
	{"gradients of depthwise 3x3", call_depthwise_backward, 4, 0},
	{"2x2 maximum", call_pool, 1.25, 0},
	{"2x2 maximum's gradient", call_pool_backward, 2.25, 0},
	{"global mean", call_global_pool, 1, 0},
	{"masked SGD", call_sgd, 0, 20.125},
	{"masked Adam", call_adam, 0, 28.125},
};
enum { PIECES = sizeof(pieces) / sizeof(pieces[0]) };

static void shape(struct bench *b)
{
	int images = b->n > PIXELS ? (int)(b->n / PIXELS) : 1;
	b->n = (size_t)images * PIXELS;
	b->s = (struct cop_shape){CHANNELS, SIDE, SIDE, images, images};
	b->conv = (struct cop_conv){.in_c = CHANNELS,
				    .in_h = SIDE,
				    .in_w = SIDE,
				    .out_c = CHANNELS,
				    .out_h = SIDE,
				    .out_w = SIDE,
				    .kernel = {3, 3},
				    .stride = {1, 1},
				    .padding = {1, 1},
				    .dilation = {1, 1},
				    .groups = CHANNELS,
				    .batch = images,
				    .ld = images};
	b->pool = (struct cop_pool){.window = b->conv, .max = true};
	b->pool.window.out_h = b->pool.window.out_w = SIDE / 2;
	for (int i = 0; i < 2; i++) {
		b->pool.window.kernel[i] = b->pool.window.stride[i] = 2;
		b->pool.window.padding[i] = 0;
	}
}

static int number_picks(struct bench *b, struct cop_err *err)
{
	size_t n = (size_t)b->s.batch;
	struct cop_pick *pick = calloc(n, sizeof(*pick));
	if (!pick)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	for (size_t i = 0; i < n; i++)
		pick[i] = (struct cop_pick){.index = (uint32_t)i, .dy = 1, .dx = -1, .flip = i % 2};
	int rc = cop_cuda_put(b->pick, pick, n * sizeof(*pick), err);
	free(pick);
	return rc;
}

static int prepare(struct bench *b, struct cop_err *err)
{
	struct cop_dials dials = {.lr = 1e-3f};
	int rc = 0;
	shape(b);
	for (int i = 0; i < 4 && !rc; i++)
		rc = hold(b, &b->array[i], b->n * sizeof(float), err);
	if (!rc)
		rc = hold(b, &b->channel, 16 * CHANNELS * sizeof(float), err);
	if (!rc)
		rc = hold(b, &b->parts, (size_t)COP_CUDA_PARTS * CHANNELS * 2 * sizeof(float), err);
	if (!rc)
		rc = hold(b, &b->space, cop_cuda_depthwise_space(&b->conv) * sizeof(float) + 256, err);
	if (!rc)
		rc = hold(b, &b->bits, b->n / 8 + 1, err);
	if (!rc)
		rc = hold(b, &b->pick, (size_t)b->s.batch * sizeof(*b->pick), err);
	if (!rc)
		rc = hold(b, &b->dials, sizeof(dials), err);
	if (!rc)
		rc = hold(b, &b->sums.part, (size_t)COP_CUDA_PARTS * CHANNELS * 2 * sizeof(float), err);
	if (!rc)
		rc = cop_cuda_put(b->dials, &dials, sizeof(dials), err);
	if (!rc)
		rc = number_picks(b, err);
	return rc ? rc : fill_random(b->channel, 16 * CHANNELS, err);
}

static int measure_kernels(struct bench *b, struct cop_cuda_timing *t, int *n, struct cop_err *err)
{
	int rc = prepare(b, err);
	for (int i = 0; i < PIECES && !rc; i++) {
		double bytes = (double)b->n * (pieces[i].numbers * b->element + pieces[i].bytes);
		rc = time_one(b, pieces[i].name, bytes, pieces[i].call, &t[(*n)++], err);
	}
	return rc;
}

static cudaError_t call_memcpy(struct bench *b)
{
	return cudaMemcpyAsync(b->array[1], b->array[0], b->n * sizeof(float), cudaMemcpyDeviceToDevice, b->l.stream);
}

static int measure_copy(struct bench *b, struct cop_cuda_timing *t, int *n, struct cop_err *err)
{
	int rc = hold(b, &b->array[0], b->n * sizeof(float), err);
	if (!rc)
		rc = hold(b, &b->array[1], b->n * sizeof(float), err);
	if (rc)
		return rc;
	return time_one(b, "copying memory", 8.0 * (double)b->n, call_memcpy, &t[(*n)++], err);
}

/* array[1]: the ranks, and behind them what comes of it. */
static cudaError_t call_select(struct bench *b)
{
	uint64_t *rank = (uint64_t *)b->array[1], *count = rank + RANKS;
	return cop_cuda_select(&b->l, b->n, b->array[0], RANKS, rank, (uint32_t *)(count + RANKS), count, b->space);
}

static int measure_select(struct bench *b, struct cop_cuda_timing *t, int *n, struct cop_err *err)
{
	uint64_t rank[RANKS];
	for (size_t i = 0; i < RANKS; i++)
		rank[i] = (uint64_t)((double)b->n * (double)(i + 1) / (RANKS + 1));
	int rc = hold(b, &b->array[0], b->n * sizeof(float), err);
	if (!rc)
		rc = hold(b, &b->array[1], RANKS * (2 * sizeof(uint64_t) + sizeof(uint32_t)), err);
	if (!rc)
		rc = hold(b, &b->space, cop_cuda_select_space(RANKS), err);
	if (!rc)
		rc = cop_cuda_put(b->array[1], rank, sizeof(rank), err);
	if (!rc)
		rc = fill_random(b->array[0], b->n, err);
	return rc ? rc : time_one(b, "nine quantiles", 8.0 * (double)b->n, call_select, &t[(*n)++], err);
}

int cop_cuda_measure(enum cop_cuda_work work, size_t numbers, struct cop_cuda_timing *t, int *n, struct cop_err *err)
{
	struct bench b;
	*n = 0;
	int rc = begin(&b, numbers, err);
	if (!rc)
		rc = work == COP_CUDA_COPY      ? measure_copy(&b, t, n, err)
		     : work == COP_CUDA_KERNELS ? measure_kernels(&b, t, n, err)
						: measure_select(&b, t, n, err);
	let_go(&b);
	return rc ? rc : cop_cuda_queue.check(err);
}
