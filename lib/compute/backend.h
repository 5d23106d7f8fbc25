/*
 * The backend table: what a device does for a network. On the CPU, activations are (H,W,C,ld) with the images
 * innermost: `ld` is the batch rounded up to a multiple of 16, every (y,x,c) is a contiguous vector over the batch, and
 * all channels of a pixel are one contiguous panel, the right-hand side of a product. The columns from `batch` to `ld`
 * belong to nobody: they may hold anything finite and are never read into a result. On a GPU they are (N,H,W,C) with
 * the channels innermost, and ld is the batch; what is said of shapes below is the CPU's, a GPU's has the images first.
 *
 * What a batch norm and an activation make of a convolution's output is not written to memory: a value is what the
 * convolution left (raw) and how it is to be read, and its readers compute the rest as they load it. Backward likewise:
 * the gradient of what lies in memory is computed from that of the value as it is loaded.
 *
 * Work is cut into blocks whose number depends on the shapes alone. Each block is done by one thread, and sums over
 * blocks are added in the order of the blocks, so the bits do not depend on how many threads there are. The CPU backend
 * is the reference for every other.
 */
#ifndef COP_COMPUTE_BACKEND_H
#define COP_COMPUTE_BACKEND_H

#include "base/err.h"
#include "compute/gather.h"
#include "compute/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cop_sparse; /* compute/sparse.h */

/* A linear layer over a batch: y (out, ld) = w (out, in) x (in, ld) + b (out). */
struct cop_linear {
	int in, out, ld;
	bool relu;                       /* y = max(y, 0) after the bias */
	bool from_relu;                  /* x came out of a ReLU: the data gradient is 0 where x is 0 */
	bool add;                        /* the data gradient has a part in it already */
	const struct cop_sparse *sparse; /* as struct cop_conv's */
};

/* What a batch's loss amounts to; sums over its images. */
struct cop_loss {
	double loss;
	int64_t top1, top5, images;
};

/* What changes from step to step. In the device's memory: a step that was recorded reads it anew each time. */
struct cop_dials {
	int64_t step;    /* from 0 */
	int64_t updates; /* made before, since the optimizer's state was zero */
	float lr;
};

struct cop_sgd {
	float momentum, weight_decay;
	bool nesterov;
};

struct cop_adam {
	float beta1, beta2, epsilon, weight_decay;
};

enum { COP_PARTS = 64 /* the most blocks that the CPU takes sums over */ };

/* Sums over batch, height and width, in parts that a batch norm adds up: part (parts, C, 2). */
struct cop_sums {
	float *part; /* room for the backend's most */
	int parts;   /* set by whoever fills it */
};

/* A value: what lies in memory, (H,W,C,ld), and how it is read. */
struct cop_activation {
	const float *raw;
	struct cop_reading as;
};

/* The gradient of what lies in memory: g of the value, already 0 where it was cut off, and the batch norm's slope. */
struct cop_gradient {
	const float *g, *raw; /* raw: used with a slope only */
	struct cop_slope slope;
};

/*
 * Where the gradient of a value goes. The one that completes it (`last`) also puts it to 0 where the value was cut off
 * (where `cuts`), and with `sums` adds up g and g (raw - mean) for the batch norm.
 */
struct cop_sink {
	float *g;
	bool add, last, cuts; /* add: g has a part in it already */
	struct cop_activation of;
	const float *mean;
	struct cop_sums *sums; /* NULL: none wanted */
};

/*
 * Where a convolution's output goes, and what is done to it on the way: bias (out_c; NULL: none) added, cut off to
 * lo..hi; with `sums`, those of y - about and its square are taken. A list that watches rows beyond out_c has sums for
 * all of them.
 */
struct cop_output {
	float *y;
	const float *bias;
	float lo, hi;
	const float *about;
	struct cop_sums *sums;
	const float *base; /* (out_h, out_w, out_c and watched rows): in place of the bias; NULL: none. The CPU's */
};

enum { COP_WINDOW_MAX = 4096 /* the most pixels that a window joins */ };

/*
 * A convolution: out(o,y,x) = sum over c,i,j of w(o,c,i,j) in(c, y stride - padding + i dilation, ...) with w
 * (out_c, in_c/groups, kernel). [0]: height, [1]: width.
 */
struct cop_conv {
	int in_c, in_h, in_w, out_c, out_h, out_w;
	int kernel[2], stride[2], padding[2], dilation[2], groups;
	int batch, ld;
	/*
	 * NULL: all weights are there. Else these alone are, in w and in dw: the survivors of a mask, in its order. The
	 * CPU's; not for depthwise convolutions.
	 */
	const struct cop_sparse *sparse;
};

/* Whether each channel sees itself alone; the CPU has kernels of their own for these. */
bool cop_conv_depthwise(const struct cop_conv *d);

/* What is known of the calls on a convolution when memory is planned; struct cop_activation and cop_output tell it. */
struct cop_conv_use {
	bool backward;
	/* backward: */
	bool data; /* dx is wanted */
	/* forward: */
	bool scaled; /* x is read with a scale and a shift, and cut off to from..to */
	float from, to;
	bool bias, sums; /* bias is added, sums are taken */
	float lo, hi;
};

/* A pool: the window of a convolution of one channel. */
struct cop_pool {
	struct cop_conv window; /* in_c == out_c */
	bool max;               /* else the mean over the whole window, padding counting as 0 */
};

/* Activations (H,W,C,ld) of a batch. */
struct cop_shape {
	int c, h, w, batch, ld;
};

/* A batch norm over `count` numbers a channel: value = weight (raw - mean) / sqrt(var + epsilon) + bias. */
struct cop_norm {
	int c;
	double count, momentum, epsilon;
};

/* What it comes to, (C) each: inv = 1 / sqrt(var + epsilon), value = scale raw + shift. */
struct cop_normed {
	float *mean, *inv, *scale, *shift;
};

/* What its gradient comes to, (C) each: see struct cop_slope. */
struct cop_slopes {
	float *a, *b, *c;
};

/* A dropout: an element is kept, and scaled by 1/(1-rate), or put to 0; drawn for (seed, node, the dials' step). */
struct cop_drop {
	double rate;
	uint64_t seed;
	uint32_t node;
	const struct cop_dials *dials;
};

/*
 * What a device has that works beside the program: a queue of its own, which takes calls and does them in order. Calls
 * that only add to the queue report nothing; check() tells the first error of all that came before.
 */
struct cop_backend;
struct cop_group;  /* devices that take means of their numbers */
struct cop_record; /* calls that were recorded, to be done again */
struct cop_queue {
	/* Host memory that the device can read and write at any time. */
	int (*alloc_pinned)(void **p, size_t bytes, const char *what, struct cop_err *err);
	void (*release_pinned)(void *p);
	/* Copies, in the queue; the host's side is pinned and stays as it is until a mark after the copy is reached. */
	void (*send)(void *device, const void *pinned, size_t bytes);
	void (*fetch)(void *pinned, const void *device, size_t bytes);
	/* The same beside the queue: what is queued after join_copies() finds the copies done. */
	void (*send_ahead)(void *device, const void *pinned, size_t bytes);
	void (*join_copies)(void);
	/* Marks `slot` (up to COP_MARKS) of the queue; waits until it was reached. A mark never made is reached. */
	void (*mark)(int slot);
	int (*wait)(int slot, struct cop_err *err);
	/* Waits for all that is queued; the first error since the device was opened. */
	int (*check)(struct cop_err *err);

	/*
	 * From begin_record() on, calls are kept instead of done, until end_record(). Those of lane k > 0 may be done
	 * beside those of others: fork(n) opens lanes 1..n-1, lane(k) says where calls go, join(n) waits for all in
	 * lane 0. Outside of a record all lanes are lane 0.
	 */
	int (*begin_record)(struct cop_err *err);
	int (*end_record)(struct cop_record **r, struct cop_err *err);
	void (*fork)(int lanes);
	void (*lane)(int k);
	void (*join)(int lanes);
	void (*replay)(struct cop_record *r);
	void (*release_record)(struct cop_record *r);

	/* Bytes that are free on the device, and all it has. */
	int (*memory)(size_t *free, size_t *total, struct cop_err *err);
	/*
	 * The most bytes that were allocated at once, on the thread's device, since it was asked `anew`, or else since
	 * it was opened; workspace counts, what the device's libraries take for themselves does not.
	 */
	size_t (*most)(bool anew);

	/*
	 * Ranks; NULL where the device cannot. Rank 0 is some device, and rank k the k-th after it: beside() opens it
	 * like b, rank 0's backend, for the calling thread. open_group() is called by rank 0 when all are open.
	 */
	int (*beside)(const struct cop_backend *b, int rank, const struct cop_backend **other, struct cop_err *err);
	int (*open_group)(struct cop_group **g, int ranks, struct cop_err *err);
	void (*close_group)(struct cop_group *g);
	/*
	 * x (n) becomes its mean over the ranks, the same bits on each, the same from run to run on one machine. Every
	 * rank's thread calls it, outside of records. It may wait for the others.
	 */
	int (*mean)(struct cop_group *g, int rank, float *x, size_t n, struct cop_err *err);
	/* For who has failed: the others' means fail, and what waits for them goes on. */
	void (*abandon)(struct cop_group *g);
};
enum { COP_MARKS = 16, COP_LANES_MAX = 64 };

/*
 * All pointers to numbers are into the backend's memory. Where its `element` is not four bytes, activations and their
 * gradients are of that size, and pointers to them stand for addresses.
 */
struct cop_backend {
	const char *name;
	size_t element; /* bytes of an activation's number */
	int leading;    /* `ld` is the batch rounded up to a multiple of it */
	int parts;      /* the most blocks that sums are taken over */
	/* *p becomes zeroed bytes, aligned to 64. put and get copy, after all that is queued, and wait. */
	int (*alloc)(void **p, size_t bytes, const char *what, struct cop_err *err);
	void (*release)(void *p);
	int (*put)(void *to, const void *host, size_t bytes, struct cop_err *err);
	int (*get)(void *host, const void *from, size_t bytes, struct cop_err *err);
	const char *(*describe)(char *buf, size_t size);
	const struct cop_queue *queue; /* NULL: memory is the program's, and a call has done its work when it returns */
	/*
	 * The order in which the device keeps a convolution's weights (out_c, in_c/groups, kernel): `from` in the order
	 * of checkpoints into `to` in the device's, or back; numbers of `size` bytes, both in the program's memory.
	 * NULL: the same order.
	 */
	void (*reorder)(const struct cop_conv *d, bool back, size_t size, const void *from, void *to);
	/*
	 * `narrow` (n elements) becomes the n weights as products read them; until the next call, products that are
	 * given any of these weights read it there. NULL: they read the weights.
	 */
	void (*narrow)(size_t n, const float *weights, float *narrow);

	/*
	 * x (height*width*channels, ld) from `batch` picks, feature (y*width + x)*channels + c, which is the order of a
	 * dataset's pixels; the columns from batch on become 0.
	 */
	void (*gather)(const struct cop_image_source *s, const struct cop_pick *pick, int batch, int ld, float *x);

	/*
	 * Floats of workspace that such a call on a convolution, or one on a pool, may use. A device may choose here
	 * how it will do it.
	 */
	size_t (*conv_space)(const struct cop_conv *d, const struct cop_conv_use *use);
	size_t (*pool_space)(const struct cop_pool *p);
	void (*conv_forward)(const struct cop_conv *d, const struct cop_activation *x, const float *w,
			     const struct cop_output *out, float *space);
	/* dw, db (NULL: none) and dx (NULL: not wanted) from dy. */
	void (*conv_backward)(const struct cop_conv *d, const struct cop_gradient *dy, const struct cop_activation *x,
			      const float *w, const struct cop_sink *dx, float *dw, float *db, float *space);

	/* The batch's statistics from sums about running_mean; the running ones move on (their variance is unbiased).
	 */
	void (*norm_train)(const struct cop_norm *n, const struct cop_sums *sums, const float *weight,
			   const float *bias, float *running_mean, float *running_var, const struct cop_normed *out);
	void (*norm_evaluate)(const struct cop_norm *n, const float *weight, const float *bias,
			      const float *running_mean, const float *running_var, const struct cop_normed *out);
	/* From the sums of a complete gradient (struct cop_sink). */
	void (*norm_backward)(const struct cop_norm *n, const struct cop_sums *sums, const float *weight,
			      const struct cop_normed *of, float *dweight, float *dbias, const struct cop_slopes *out);

	/* What conv_forward does on the way, for other layers: sums of y - about and its square; y cut off to lo..hi.
	 */
	void (*moments)(const struct cop_shape *s, const float *y, const float *about, struct cop_sums *sums);
	void (*clamp)(const struct cop_shape *s, float lo, float hi, float *y);
	/* y = x as it is read. */
	void (*copy)(const struct cop_shape *s, const struct cop_activation *x, float *y);
	/* y = a + b as they are read, cut off to lo..hi. */
	void (*add)(const struct cop_shape *s, const struct cop_activation *a, const struct cop_activation *b, float lo,
		    float hi, float *y);
	/* g, of a value, becomes that of the raw value, in place. */
	void (*slope)(const struct cop_shape *s, const struct cop_slope *slope, const float *raw, float *g);
	/* Hands g on; to->g may be g itself, then only what completes it is done. */
	void (*pass)(const struct cop_shape *s, const float *g, const struct cop_sink *to);
	/* y: (C,H,W,ld). Shape of x. */
	void (*flatten)(const struct cop_shape *s, const struct cop_activation *x, float *y);
	void (*flatten_backward)(const struct cop_shape *s, const float *dy, const struct cop_sink *dx);
	void (*dropout)(const struct cop_shape *s, const struct cop_drop *d, const struct cop_activation *x, float *y);
	/* dy is used up. */
	void (*dropout_backward)(const struct cop_shape *s, const struct cop_drop *d, float *dy,
				 const struct cop_sink *dx);
	/* Of several that are the maximum of a window, the first takes the gradient. */
	void (*pool)(const struct cop_pool *p, const struct cop_activation *x, float *y, float *space);
	void (*pool_backward)(const struct cop_pool *p, const struct cop_activation *x, const float *dy,
			      const struct cop_sink *dx, float *space);
	/* Means over height and width; shape of x. */
	void (*global_pool)(const struct cop_shape *in, const struct cop_activation *x, float *y);
	void (*global_pool_backward)(const struct cop_shape *in, const float *dy, const struct cop_sink *dx);

	/* b may be NULL. */
	void (*linear_forward)(const struct cop_linear *d, const float *w, const float *b, const float *x, float *y);
	/* dx (in, ld) [+]= w^T dy, cut off where x is 0 if d->from_relu. */
	void (*linear_backward_data)(const struct cop_linear *d, const float *w, const float *dy, const float *x,
				     float *dx);
	/* dw (out, in) = dy x^T, db (out; NULL: none) = sum of dy over the batch. Columns of dy from the batch on must
	 * be 0. */
	void (*linear_backward_weights)(const struct cop_linear *d, const float *dy, const float *x, float *dw,
					float *db);
	/*
	 * Softmax cross-entropy of logits (classes, ld) against label (batch), added to *loss. dy (classes, ld), which
	 * may be NULL, becomes the gradient of the mean loss: (softmax - onehot) / batch, and 0 beyond the batch. Equal
	 * logits rank by class.
	 */
	void (*softmax_xent)(int classes, int batch, int ld, const float *logits, const int32_t *label, float *dy,
			     struct cop_loss *loss);
	/*
	 * One pass over n weights: gradient, optimizer state and mask (1 keep, 0 pruned; NULL: all kept). A pruned
	 * weight's gradient counts as 0, so what starts at 0 stays 0.0f. SGD: g += decay w; v = momentum v + g; w -= lr
	 * (nesterov ? g + momentum v : v). Adam (Kingma & Ba 2015): m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; w -= lr
	 * m^ / (sqrt(v^) + epsilon). A backend with a queue has the mask as bits, weight i's being bit i % 8 of byte
	 * i / 8.
	 */
	void (*sgd)(const struct cop_sgd *o, const struct cop_dials *dials, size_t n, const float *g,
		    const uint8_t *mask, float *w, float *v);
	void (*adam)(const struct cop_adam *o, const struct cop_dials *dials, size_t n, const float *g,
		     const uint8_t *mask, float *w, float *m, float *v);
};

extern const struct cop_backend cop_cpu_backend;

/* "auto", "cpu" or "cuda"; "fp32", "tf32" or "bf16", by their numbers in those lists. */
enum cop_device_kind { COP_DEVICE_AUTO, COP_DEVICE_CPU, COP_DEVICE_CUDA };
enum cop_precision { COP_FP32, COP_TF32, COP_BF16 };

struct cop_device_choice {
	int kind, precision;
	bool deterministic; /* the same bits from run to run, where that costs speed */
	int index;          /* of the GPU, from 0 */
};

/*
 * The backend of a choice. CUDA where it cannot be had is COP_EMISSING, and says what lacks; "auto" is the CPU then. A
 * precision that the backend has not is COP_EINPUT. What is opened stays open until the program ends.
 */
int cop_backend_open(const struct cop_device_choice *c, const struct cop_backend **b, struct cop_err *err) COP_CHECKED;

/*
 * Whether a choice can be had here, found out by a child process: one that has opened a GPU cannot fork children that
 * use it. *gpu: whether it is one.
 */
int cop_backend_probe(const struct cop_device_choice *c, bool *gpu, struct cop_err *err) COP_CHECKED;

/* The backend's alloc(), into the pointer, of whatever type, that `pointer` points to. */
int cop_backend_alloc(const struct cop_backend *b, void *pointer, size_t bytes, const char *what, struct cop_err *err)
	COP_CHECKED;

/* "NVIDIA H200, CUDA 13.0, cuDNN 9.19.0, TF32 off", or what the CPU's bits depend on, into buf; returns buf. */
const char *cop_backend_describe(const struct cop_backend *b, char *buf, size_t size);

/*
 * Threads that the CPU backend uses; 0: all that this process may use. Returns the number that was set. Workspace is
 * planned for as many as are set by then: it is no longer enough once more are.
 */
int cop_cpu_set_threads(int threads);

/*
 * The number that was set; and for now, how many of them to use (1 to that number). Both are of the calling thread: one
 * that was confined has `threads` in place of the number that was set.
 */
int cop_cpu_threads(void);
void cop_cpu_use(int threads);
void cop_cpu_confine(int threads);

/* What the machine gives now, to hold figures against, by all threads. Takes about a second and 128 MiB. */
struct cop_cpu_peak {
	double gflops;                        /* of large products: the better of */
	double library_gflops, kernel_gflops; /* OpenBLAS's, and the kernels' of the convolutions */
	double memory_gbs;                    /* the better of */
	double read_gbs, copy_gbs;            /* reading, and copying: read and written counted */
};
int cop_cpu_measure(struct cop_cpu_peak *p, struct cop_err *err) COP_CHECKED;

/* The library behind the products: version and the kernels that it chose for this processor; into buf, returns buf. */
const char *cop_cpu_library(char *buf, size_t size);

/* What the bits of a result depend on: "AMD EPYC, kernels avx512, OpenBLAS Cooperlake" into buf; returns buf. */
const char *cop_cpu_describe(char *buf, size_t size);

/* The batch rounded up as the backend's `ld` wants it. */
int cop_leading(const struct cop_backend *b, int batch);

#endif
