/* The backend table on a GPU: our kernels, and cuDNN and cuBLASLt through products.h. See compute/backend.h. */
#include "device.h"

static struct cop_launch here(void)
{
	return cop_cuda_launch(cop_cuda_now());
}

static void note(cudaError_t e, const char *what)
{
	cop_cuda_note(cop_cuda_now(), e, what);
}

static size_t element_bytes(const struct cop_cuda_device *d)
{
	return d->element == COP_ELEMENT_BF16 ? 2 : 4;
}

static size_t aligned(size_t bytes)
{
	return (bytes + 255) & ~(size_t)255;
}

/* Weights as products read them. */
static const void *narrowed(const struct cop_cuda_device *d, const float *w)
{
	if (d->element == COP_ELEMENT_F32 || !w)
		return w;
	return d->narrow + (size_t)(w - d->full) * element_bytes(d);
}

static void table_narrow(size_t n, const float *weights, float *narrow)
{
	struct cop_cuda_device *d = cop_cuda_now();
	struct cop_launch l = here();
	d->full = weights;
	d->narrow = (const char *)narrow;
	note(cop_cuda_narrow(&l, n, weights, narrow), "narrow");
}

static bool is_depthwise(const struct cop_conv *d)
{
	return d->groups == d->in_c && d->groups == d->out_c;
}

/* From (out, in, height, width) to (out, height, width, in), which is (height, width, channels) where it is depthwise.
 */
static void reorder(const struct cop_conv *d, bool back, size_t size, const void *from, void *to)
{
	size_t in = (size_t)(d->in_c / d->groups), taps = (size_t)d->kernel[0] * (size_t)d->kernel[1];
	size_t out = (size_t)d->out_c, run = in;
	if (is_depthwise(d)) { /* (channels, taps) to (taps, channels) */
		run = out;
		out = 1;
	}
	const char *a = from;
	char *b = to;
	for (size_t o = 0; o < out; o++)
		for (size_t c = 0; c < run; c++)
			for (size_t t = 0; t < taps; t++) {
				size_t ours = (o * run + c) * taps + t, device = (o * taps + t) * run + c;
				for (size_t k = 0; k < size; k++)
					b[(back ? ours : device) * size + k] = a[(back ? device : ours) * size + k];
			}
}

/* convolutions */

static size_t in_bytes(const struct cop_cuda_device *dev, const struct cop_conv *d)
{
	return aligned((size_t)d->batch * (size_t)d->in_h * (size_t)d->in_w * (size_t)d->in_c * element_bytes(dev));
}

static size_t out_bytes(const struct cop_cuda_device *dev, const struct cop_conv *d)
{
	return aligned((size_t)d->batch * (size_t)d->out_h * (size_t)d->out_w * (size_t)d->out_c * element_bytes(dev));
}

static struct cop_shape in_shape(const struct cop_conv *d)
{
	return (struct cop_shape){d->in_c, d->in_h, d->in_w, d->batch, d->ld};
}

static struct cop_shape out_shape(const struct cop_conv *d)
{
	return (struct cop_shape){d->out_c, d->out_h, d->out_w, d->batch, d->ld};
}

/* NULL, and the error noted, where there is none. */
static const struct cop_conv_plan *plan_of(const struct cop_conv *d, enum cop_conv_way way, bool add)
{
	struct cop_cuda_device *dev = cop_cuda_now();
	const struct cop_conv_plan *plan = NULL;
	struct cop_err err = {0};
	if (cop_conv_plan(dev->products, d, way, add, &plan, &err)) {
		cop_cuda_note_error(dev, &err);
		return NULL;
	}
	return plan;
}

static size_t plan_space(const struct cop_conv *d, enum cop_conv_way way, bool add)
{
	const struct cop_conv_plan *plan = plan_of(d, way, add);
	return plan ? aligned(cop_conv_plan_space(plan)) : 0;
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Bytes that the plans of a backward pass share. */
static size_t backward_plans(const struct cop_conv *d, bool data)
{
	size_t most = plan_space(d, COP_CONV_WEIGHTS, false);
	if (!data)
		return most;
	most = larger(most, plan_space(d, COP_CONV_DATA, false));
	return larger(most, plan_space(d, COP_CONV_DATA, true));
}

/* convolutions with what is around them */

static size_t channel_bytes(const struct cop_conv *d)
{
	return aligned((size_t)d->out_c * sizeof(float));
}

/* The value that is read, an engine's sums, and then the plan's own. */
static size_t forward_bytes(const struct cop_conv *d, const struct cop_conv_use *use)
{
	size_t reading = in_bytes(cop_cuda_now(), d);
	struct cop_conv_fusion all = {use->scaled, use->from, use->to, use->bias, use->lo, use->hi, use->sums}, taken;
	const struct cop_conv_plan *plan = cop_cuda_fused_plan(d, &all, &taken);
	if (!plan)
		return reading + plan_space(d, COP_CONV_FORWARD, false);
	return (taken.read ? 0 : reading) + (taken.sums ? 2 * channel_bytes(d) : 0) +
	       aligned(cop_conv_plan_space(plan));
}

/* The gradient of what lies in memory and the value that is read, and then the plans' own. */
static size_t backward_bytes(const struct cop_conv *d, const struct cop_conv_use *use)
{
	const struct cop_cuda_device *dev = cop_cuda_now();
	return out_bytes(dev, d) + in_bytes(dev, d) + backward_plans(d, use->data);
}

static size_t conv_space(const struct cop_conv *d, const struct cop_conv_use *use)
{
	if (is_depthwise(d))
		return use->backward ? cop_cuda_depthwise_space(d) : 0;
	return (256 + (use->backward ? backward_bytes(d, use) : forward_bytes(d, use))) / sizeof(float);
}

static bool as_it_lies(const struct cop_reading *r)
{
	return !r->scale && !cop_cuda_cuts(r->lo, r->hi);
}

/* Where x lies as it is read: where it is, or in *room, which moves on. */
static const void *value_of(const struct cop_conv *d, const struct cop_activation *x, char **room)
{
	struct cop_launch l = here();
	struct cop_shape s = in_shape(d);
	if (as_it_lies(&x->as))
		return x->raw;
	void *y = *room;
	*room += in_bytes(cop_cuda_now(), d);
	note(cop_cuda_copy(&l, &s, x, y), "reading a convolution's input");
	return y;
}

static void run_plan(const struct cop_conv_plan *plan, const void *a, const void *b, void *out, void *space)
{
	struct cop_cuda_device *dev = cop_cuda_now();
	struct cop_err err = {0};
	if (plan && cop_conv_run(plan, dev->lane[dev->at], a, b, out, space, &err))
		cop_cuda_note_error(dev, &err);
}

/* The workspace's first byte that is aligned to 256. */
static char *room_of(float *space)
{
	return (char *)(((uintptr_t)space + 255) & ~(uintptr_t)255);
}

static void finish_output(const struct cop_launch *l, const struct cop_shape *s, const struct cop_output *out)
{
	if (out->bias || cop_cuda_cuts(out->lo, out->hi))
		note(cop_cuda_bias(l, s, out->bias, out->lo, out->hi, out->y), "bias");
	if (out->sums)
		note(cop_cuda_moments(l, s, out->y, out->about, out->sums), "moments");
}

/* What the plan takes with it, and kernels for the rest. */
static void run_fused(const struct cop_conv_plan *plan, const struct cop_conv_fusion *taken, const struct cop_conv *d,
		      const struct cop_activation *x, const float *w, const struct cop_output *out, char *room)
{
	struct cop_cuda_device *dev = cop_cuda_now();
	struct cop_launch l = here();
	struct cop_shape s = out_shape(d);
	struct cop_output rest = *out;
	struct cop_conv_operands o = {.x = taken->read ? x->raw : value_of(d, x, &room),
				      .w = narrowed(dev, w),
				      .y = out->y,
				      .scale = x->as.scale,
				      .shift = x->as.shift,
				      .bias = out->bias,
				      .sum = (float *)room,
				      .square = (float *)(room + channel_bytes(d))};
	struct cop_err err = {0};
	if (taken->sums)
		room += 2 * channel_bytes(d);
	if (cop_conv_run_fused(plan, dev->lane[dev->at], &o, room, &err))
		cop_cuda_note_error(dev, &err);
	if (taken->bias || cop_cuda_cuts(taken->lo, taken->hi)) {
		rest.bias = NULL;
		rest.lo = -__builtin_inff();
		rest.hi = __builtin_inff();
	}
	if (taken->sums) {
		double count = (double)d->batch * d->out_h * d->out_w;
		rest.sums = NULL;
		note(cop_cuda_sums_about(&l, d->out_c, count, o.sum, o.square, out->about, out->sums), "moments");
	}
	finish_output(&l, &s, &rest);
}

static void conv_forward(const struct cop_conv *d, const struct cop_activation *x, const float *w,
			 const struct cop_output *out, float *space)
{
	struct cop_cuda_device *dev = cop_cuda_now();
	struct cop_launch l = here();
	struct cop_shape s = out_shape(d);
	if (is_depthwise(d)) {
		note(cop_cuda_depthwise_forward(&l, d, x, w, out), "depthwise convolution");
		return;
	}
	char *room = room_of(space);
	struct cop_conv_fusion taken,
		all = {x->as.scale != NULL, x->as.lo, x->as.hi, out->bias != NULL, out->lo, out->hi, out->sums != NULL};
	const struct cop_conv_plan *plan = cop_cuda_fused_plan(d, &all, &taken);
	if (plan) {
		run_fused(plan, &taken, d, x, w, out, room);
		return;
	}
	const void *value = value_of(d, x, &room);
	run_plan(plan_of(d, COP_CONV_FORWARD, false), value, narrowed(dev, w), out->y, room);
	finish_output(&l, &s, out);
}

/* Sums of y's columns, in the device's scratch. */
static void column_sums(int64_t rows, int columns, const void *y, float *sum)
{
	struct cop_launch l = here();
	void *room = cop_cuda_scratch(cop_cuda_now(), (size_t)COP_CUDA_PARTS * (size_t)columns * sizeof(float));
	if (room)
		note(cop_cuda_column_sums(&l, (int)rows, columns, y, sum, room), "column sums");
}

/* What completes a gradient that is in its place already. */
static void complete(const struct cop_shape *s, const struct cop_sink *to)
{
	struct cop_launch l = here();
	struct cop_sink rest = *to;
	rest.add = false;
	if (to->last && (to->cuts || to->sums))
		note(cop_cuda_pass(&l, s, to->g, &rest), "completing a gradient");
}

static void conv_backward(const struct cop_conv *d, const struct cop_gradient *dy, const struct cop_activation *x,
			  const float *w, const struct cop_sink *dx, float *dw, float *db, float *space)
{
	struct cop_cuda_device *dev = cop_cuda_now();
	struct cop_launch l = here();
	struct cop_shape in = in_shape(d), out = out_shape(d);
	if (is_depthwise(d)) {
		note(cop_cuda_depthwise_backward(&l, d, dy, x, w, dx, dw, db, space), "depthwise gradients");
		return;
	}
	char *room = room_of(space);
	const void *g = dy->g;
	if (dy->slope.a) {
		note(cop_cuda_slope(&l, &out, dy, room), "the gradient of a batch norm's input");
		g = room;
		room += out_bytes(dev, d);
	}
	const void *value = value_of(d, x, &room);
	run_plan(plan_of(d, COP_CONV_WEIGHTS, false), value, g, dw, room);
	if (db)
		column_sums((int64_t)d->batch * d->out_h * d->out_w, d->out_c, g, db);
	if (!dx)
		return;
	run_plan(plan_of(d, COP_CONV_DATA, dx->add), g, narrowed(dev, w), dx->g, room);
	complete(&in, dx);
}

static size_t pool_space(const struct cop_pool *p)
{
	(void)p;
	return 0;
}

/* linear layers */

static void run_matrix(const struct cop_matrix_product *m, const void *a, const void *b, const void *bias, void *c)
{
	struct cop_cuda_device *dev = cop_cuda_now();
	const struct cop_matrix_plan *plan;
	struct cop_err err = {0};
	int rc = cop_matrix_plan(dev->products, m, &plan, &err);
	if (!rc) {
		size_t bytes = cop_matrix_plan_space(plan);
		void *room = bytes ? cop_cuda_scratch(dev, bytes) : NULL;
		if (!bytes || room)
			rc = cop_matrix_run(plan, dev->lane[dev->at], a, b, bias, c, room, &err);
	}
	if (rc)
		cop_cuda_note_error(dev, &err);
}

static void linear_forward(const struct cop_linear *d, const float *w, const float *b, const float *x, float *y)
{
	const struct cop_cuda_device *dev = cop_cuda_now();
	struct cop_matrix_product m = {
		.m = d->ld, .n = d->out, .k = d->in, .b_turned = true, .bias = b, .relu = d->relu};
	run_matrix(&m, x, narrowed(dev, w), narrowed(dev, b), y);
}

static void linear_backward_data(const struct cop_linear *d, const float *w, const float *dy, const float *x, float *dx)
{
	struct cop_launch l = here();
	struct cop_matrix_product m = {.m = d->ld, .n = d->in, .k = d->out, .add = d->add};
	run_matrix(&m, dy, narrowed(cop_cuda_now(), w), NULL, dx);
	if (d->from_relu)
		note(cop_cuda_cut(&l, (size_t)d->ld * (size_t)d->in, x, dx), "cut");
}

static void linear_backward_weights(const struct cop_linear *d, const float *dy, const float *x, float *dw, float *db)
{
	struct cop_matrix_product m = {.m = d->out, .n = d->in, .k = d->ld, .a_turned = true, .wide = true};
	run_matrix(&m, dy, x, NULL, dw);
	if (db)
		column_sums(d->ld, d->out, dy, db);
}

static void softmax_xent(int classes, int batch, int ld, const float *logits, const int32_t *label, float *dy,
			 struct cop_loss *loss)
{
	struct cop_launch l = here();
	void *room = cop_cuda_scratch(cop_cuda_now(), (size_t)batch * 2 * sizeof(double));
	(void)ld;
	if (room)
		note(cop_cuda_softmax_xent(&l, classes, batch, logits, label, dy, loss, room), "softmax");
}

/* what kernels alone do */

static void gather(const struct cop_image_source *s, const struct cop_pick *pick, int batch, int ld, float *x)
{
	struct cop_launch l = here();
	note(cop_cuda_gather(&l, s, pick, batch, ld, x), "gather");
}

static void norm_train(const struct cop_norm *n, const struct cop_sums *sums, const float *weight, const float *bias,
		       float *running_mean, float *running_var, const struct cop_normed *out)
{
	struct cop_launch l = here();
	note(cop_cuda_norm_train(&l, n, sums, weight, bias, running_mean, running_var, out), "batch norm");
}

static void norm_evaluate(const struct cop_norm *n, const float *weight, const float *bias, const float *running_mean,
			  const float *running_var, const struct cop_normed *out)
{
	struct cop_launch l = here();
	note(cop_cuda_norm_evaluate(&l, n, weight, bias, running_mean, running_var, out), "batch norm");
}

static void norm_backward(const struct cop_norm *n, const struct cop_sums *sums, const float *weight,
			  const struct cop_normed *of, float *dweight, float *dbias, const struct cop_slopes *out)
{
	struct cop_launch l = here();
	note(cop_cuda_norm_backward(&l, n, sums, weight, of, dweight, dbias, out), "a batch norm's gradient");
}

static void moments(const struct cop_shape *s, const float *y, const float *about, struct cop_sums *sums)
{
	struct cop_launch l = here();
	note(cop_cuda_moments(&l, s, y, about, sums), "moments");
}

static void clamp(const struct cop_shape *s, float lo, float hi, float *y)
{
	struct cop_launch l = here();
	note(cop_cuda_bias(&l, s, NULL, lo, hi, y), "clamp");
}

static void copy(const struct cop_shape *s, const struct cop_activation *x, float *y)
{
	struct cop_launch l = here();
	note(cop_cuda_copy(&l, s, x, y), "copy");
}

static void add(const struct cop_shape *s, const struct cop_activation *a, const struct cop_activation *b, float lo,
		float hi, float *y)
{
	struct cop_launch l = here();
	note(cop_cuda_add(&l, s, a, b, lo, hi, y), "add");
}

static void slope(const struct cop_shape *s, const struct cop_slope *by, const float *raw, float *g)
{
	struct cop_launch l = here();
	struct cop_gradient d = {.g = g, .raw = raw, .slope = *by};
	note(cop_cuda_slope(&l, s, &d, g), "slope");
}

static void pass(const struct cop_shape *s, const float *g, const struct cop_sink *to)
{
	struct cop_launch l = here();
	if (to->g == g)
		complete(s, to);
	else
		note(cop_cuda_pass(&l, s, g, to), "pass");
}

static void flatten(const struct cop_shape *s, const struct cop_activation *x, float *y)
{
	struct cop_launch l = here();
	note(cop_cuda_flatten(&l, s, x, y), "flatten");
}

static void flatten_backward(const struct cop_shape *s, const float *dy, const struct cop_sink *dx)
{
	struct cop_launch l = here();
	note(cop_cuda_flatten_backward(&l, s, dy, dx), "flatten's gradient");
}

static void dropout(const struct cop_shape *s, const struct cop_drop *d, const struct cop_activation *x, float *y)
{
	struct cop_launch l = here();
	note(cop_cuda_dropout(&l, s, d, x, y), "dropout");
}

static void dropout_backward(const struct cop_shape *s, const struct cop_drop *d, float *dy, const struct cop_sink *dx)
{
	struct cop_launch l = here();
	note(cop_cuda_dropout_backward(&l, s, d, dy, dx), "dropout's gradient");
}

static void pool(const struct cop_pool *p, const struct cop_activation *x, float *y, float *space)
{
	struct cop_launch l = here();
	(void)space;
	note(cop_cuda_pool(&l, p, x, y), "pool");
}

static void pool_backward(const struct cop_pool *p, const struct cop_activation *x, const float *dy,
			  const struct cop_sink *dx, float *space)
{
	struct cop_launch l = here();
	(void)space;
	note(cop_cuda_pool_backward(&l, p, x, dy, dx), "a pool's gradient");
}

static void global_pool(const struct cop_shape *in, const struct cop_activation *x, float *y)
{
	struct cop_launch l = here();
	note(cop_cuda_global_pool(&l, in, x, y), "global pool");
}

static void global_pool_backward(const struct cop_shape *in, const float *dy, const struct cop_sink *dx)
{
	struct cop_launch l = here();
	note(cop_cuda_global_pool_backward(&l, in, dy, dx), "a global pool's gradient");
}

static void sgd(const struct cop_sgd *o, const struct cop_dials *dials, size_t n, const float *g, const uint8_t *mask,
		float *w, float *v)
{
	struct cop_launch l = here();
	note(cop_cuda_sgd(&l, o, dials, n, g, mask, w, v), "update");
}

static void adam(const struct cop_adam *o, const struct cop_dials *dials, size_t n, const float *g, const uint8_t *mask,
		 float *w, float *m, float *v)
{
	struct cop_launch l = here();
	note(cop_cuda_adam(&l, o, dials, n, g, mask, w, m, v), "update");
}

void cop_cuda_fill_table(struct cop_backend *b)
{
	b->narrow = b->element == 2 ? table_narrow : NULL;
	b->reorder = reorder;
	b->gather = gather;
	b->conv_space = conv_space;
	b->pool_space = pool_space;
	b->conv_forward = conv_forward;
	b->conv_backward = conv_backward;
	b->norm_train = norm_train;
	b->norm_evaluate = norm_evaluate;
	b->norm_backward = norm_backward;
	b->moments = moments;
	b->clamp = clamp;
	b->copy = copy;
	b->add = add;
	b->slope = slope;
	b->pass = pass;
	b->flatten = flatten;
	b->flatten_backward = flatten_backward;
	b->dropout = dropout;
	b->dropout_backward = dropout_backward;
	b->pool = pool;
	b->pool_backward = pool_backward;
	b->global_pool = global_pool;
	b->global_pool_backward = global_pool_backward;
	b->linear_forward = linear_forward;
	b->linear_backward_data = linear_backward_data;
	b->linear_backward_weights = linear_backward_weights;
	b->softmax_xent = softmax_xent;
	b->sgd = sgd;
	b->adam = adam;
}
