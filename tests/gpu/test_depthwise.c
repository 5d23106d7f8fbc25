/* kernels/depthwise*.cu against the CPU backend. */
#include "gpu.h"

#include <math.h>
#include <string.h>

enum { WINDOWS = 5 };

/* A convolution with all that a case of it needs, on both sides. */
struct trial {
	const struct cop_launch *l;
	uint64_t r;
	struct cop_conv d;
	struct cop_shape in, out;
	bool shifted; /* activations on the device begin one element late: no pack can be accessed */
	int taps;
	float *w, *device_w, *space, *device_space;
};

static int extent(const struct cop_conv *d, int side, int axis)
{
	int seen = (d->kernel[axis] - 1) * d->dilation[axis] + 1;
	return (side + 2 * d->padding[axis] - seen) / d->stride[axis] + 1;
}

/* 0, 1: 3x3 at stride 1 and 2, padding 1; 2, 3: the same with any padding; 4: any window. */
static void draw_window(struct cop_conv *d, int window, uint64_t *r)
{
	for (int axis = 0; axis < 2; axis++) {
		bool any = window == 4;
		d->kernel[axis] = any ? gpu_between(r, 1, 5) : 3;
		d->stride[axis] = any ? gpu_between(r, 1, 3) : 1 + window % 2;
		d->dilation[axis] = any ? gpu_between(r, 1, 2) : 1;
		d->padding[axis] = any ? gpu_between(r, 0, 2) : window < 2 ? 1 : gpu_between(r, 0, 4);
	}
}

static void draw_trial(struct trial *t, uint64_t seed)
{
	static const int channels[] = {1, 3, 5, 8, 16, 20, 96, 132}, batches[] = {1, 3, 16, 33};
	*t = (struct trial){.l = &gpu_launches[seed / WINDOWS % GPU_ELEMENTS], .r = seed};
	struct cop_conv *d = &t->d;
	draw_window(d, (int)(seed % WINDOWS), &t->r);
	d->in_c = d->out_c = d->groups = gpu_one_of(&t->r, 8, channels);
	d->batch = gpu_one_of(&t->r, d->in_c > 16 ? 2 : 4, batches);
	d->ld = cop_leading(&cop_cpu_backend, d->batch);
	do {
		d->in_h = gpu_between(&t->r, 1, 13);
		d->in_w = gpu_between(&t->r, 1, 13);
		d->out_h = extent(d, d->in_h, 0);
		d->out_w = extent(d, d->in_w, 1);
	} while (d->out_h < 1 || d->out_w < 1 ||
		 d->in_h + 2 * d->padding[0] < (d->kernel[0] - 1) * d->dilation[0] + 1 ||
		 d->in_w + 2 * d->padding[1] < (d->kernel[1] - 1) * d->dilation[1] + 1);
	t->in = (struct cop_shape){d->in_c, d->in_h, d->in_w, d->batch, d->ld};
	t->out = (struct cop_shape){d->in_c, d->out_h, d->out_w, d->batch, d->ld};
	t->shifted = gpu_between(&t->r, 0, 7) == 0;
	t->taps = d->kernel[0] * d->kernel[1];
}

/* (C, taps) of a checkpoint as the device has them, (taps, C); and back. */
static float *turned(const struct trial *t, const float *w, bool back)
{
	int c = t->d.in_c;
	float *to = gpu_floats((size_t)(c * t->taps));
	for (int i = 0; i < c; i++)
		for (int k = 0; k < t->taps; k++)
			to[back ? i * t->taps + k : k * c + i] = w[back ? k * c + i : i * t->taps + k];
	return to;
}

static void begin_trial(struct trial *t, uint64_t seed, const char *what)
{
	draw_trial(t, seed);
	const struct cop_conv *d = &t->d;
	size_t weights = (size_t)(d->in_c * t->taps);
	gpu_case("depthwise %s: seed %d, element %d, %dx%d channels %d, batch %d, kernel %dx%d, stride %dx%d, padding "
		 "%dx%d, dilation %dx%d%s",
		 what, (int)seed, (int)t->l->element, d->in_h, d->in_w, d->in_c, d->batch, d->kernel[0], d->kernel[1],
		 d->stride[0], d->stride[1], d->padding[0], d->padding[1], d->dilation[0], d->dilation[1],
		 t->shifted ? ", shifted" : "");
	t->w = gpu_random(&t->r, weights, -1, 1);
	t->device_w = gpu_put(turned(t, t->w, false), weights * sizeof(float));
	struct cop_conv_use forwards = {.backward = false}, backwards = {.backward = true, .data = true};
	size_t most = cop_cpu_backend.conv_space(d, &forwards), back = cop_cpu_backend.conv_space(d, &backwards);
	t->space = gpu_floats(most > back ? most : back);
	t->device_space = gpu_alloc(cop_cuda_depthwise_space(d) * sizeof(float));
}

/* An activation of the device's; `from` NULL: nothing in it. */
static void *put(const struct trial *t, const struct cop_shape *s, const float *from)
{
	void *p = from ? gpu_put_activation(t->l, s, from) : gpu_alloc_activation(t->l, s);
	if (!t->shifted)
		return p;
	size_t one = gpu_bytes(t->l, 1), bytes = gpu_bytes(t->l, gpu_elements(s));
	char *late = gpu_alloc(bytes + one);
	gpu_copy(late + one, p, bytes, cudaMemcpyDeviceToDevice);
	return late + one;
}

static bool coin(struct trial *t)
{
	return gpu_between(&t->r, 0, 1) == 1;
}

/* A vector of one number a channel, on both sides. */
struct vector {
	float *host, *device;
};

static struct vector vector_of(struct trial *t, float low, float high)
{
	float *v = gpu_random(&t->r, (size_t)t->d.in_c, low, high);
	return (struct vector){v, gpu_put(v, (size_t)t->d.in_c * sizeof(float))};
}

/* How a value is read, with a batch norm or without, cut off or not. */
static void draw_reading(struct trial *t, struct cop_reading *host, struct cop_reading *device)
{
	*host = (struct cop_reading){NULL, NULL, -INFINITY, INFINITY};
	if (coin(t)) {
		host->lo = 0;
		host->hi = coin(t) ? 0.8f : INFINITY;
	}
	*device = *host;
	if (!coin(t))
		return;
	struct vector scale = vector_of(t, 0.5f, 1.5f), shift = vector_of(t, -0.5f, 0.5f);
	host->scale = scale.host;
	host->shift = shift.host;
	device->scale = scale.device;
	device->shift = shift.device;
}

static float *parts_alloc(int parts, int c)
{
	return gpu_floats((size_t)(parts * c * 2));
}

/* sums (C, 2) in float64 over the parts (parts, C, 2). */
static void add_parts(const struct trial *t, const float *part, int parts, double *sums)
{
	for (int i = 0; i < 2 * t->d.in_c; i++) {
		sums[i] = 0;
		for (int p = 0; p < parts; p++)
			sums[i] += (double)part[(size_t)p * 2 * (size_t)t->d.in_c + (size_t)i];
	}
}

/*
 * The device's sums are those of the numbers a that it has in memory, and of a times b (a itself where raw is NULL),
 * about `about`; off by no more than rounding lets them be.
 */
static void check_sums(const struct trial *t, const struct cop_shape *s, const struct cop_sums *sums, const float *a,
		       const float *raw, const float *about)
{
	int c = t->d.in_c, parts = sums->parts;
	if (parts < 1 || parts > COP_CUDA_PARTS)
		gpu_fail("%d parts", parts);
	float *part = parts_alloc(parts, c);
	gpu_get(part, sums->part, (size_t)(parts * c * 2) * sizeof(float));
	double *got = gpu_host((size_t)c * 2 * sizeof(double));
	add_parts(t, part, parts, got);
	for (int k = 0; k < c; k++) {
		double want[2] = {0}, size[2] = {0};
		for (int p = 0; p < s->h * s->w; p++)
			for (int n = 0; n < s->batch; n++) {
				size_t at = ((size_t)p * (size_t)c + (size_t)k) * (size_t)s->ld + (size_t)n;
				double middle = about ? (double)about[k] : 0;
				double x = raw ? (double)a[at] : (double)a[at] - middle;
				double y = raw ? (double)a[at] * ((double)raw[at] - middle) : x * x;
				want[0] += x;
				want[1] += y;
				size[0] += fabs(x);
				size[1] += fabs(y);
			}
		for (int i = 0; i < 2; i++)
			if (!(fabs(got[2 * k + i] - want[i]) <= 1e-5 * size[i] + 1e-30))
				gpu_fail("sum %d of channel %d is %.9g, expected %.9g", i, k, got[2 * k + i], want[i]);
	}
}

static void forward_case(uint64_t seed)
{
	struct trial t;
	begin_trial(&t, seed, "forward");
	const struct cop_launch *l = t.l;
	struct cop_activation x, device_x;
	draw_reading(&t, &x.as, &device_x.as);
	x.raw = gpu_random_activation(l, &t.in, &t.r, -1, 1);
	device_x.raw = put(&t, &t.in, x.raw);
	struct cop_output out = {.lo = -INFINITY, .hi = INFINITY}, device_out;
	if (coin(&t)) {
		out.lo = -0.3f;
		out.hi = coin(&t) ? 0.9f : INFINITY;
	}
	device_out = out;
	out.y = gpu_host_activation(&t.out);
	device_out.y = put(&t, &t.out, NULL);
	struct vector bias = vector_of(&t, -1, 1), about = vector_of(&t, -1, 1);
	if (coin(&t)) {
		out.bias = bias.host;
		device_out.bias = bias.device;
	}
	struct cop_sums sums = {parts_alloc(COP_PARTS, t.d.in_c), -1}, device_sums = {NULL, -1};
	if (coin(&t)) {
		device_sums.part = gpu_alloc((size_t)(COP_CUDA_PARTS * t.d.in_c * 2) * sizeof(float));
		out.sums = &sums;
		device_out.sums = &device_sums;
		out.about = about.host;
		device_out.about = about.device;
	}
	cop_cpu_backend.conv_forward(&t.d, &x, t.w, &out, t.space);
	gpu_ok(cop_cuda_depthwise_forward(l, &t.d, &device_x, t.device_w, &device_out));
	gpu_same_activation("y", l, &t.out, device_out.y, out.y, gpu_tolerance(l));
	if (out.sums)
		check_sums(&t, &t.out, &device_sums, gpu_get_activation(l, &t.out, device_out.y), NULL, about.host);
	gpu_end();
}

static void test_forward(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 20 * WINDOWS; seed++)
		forward_case(seed);
}

/* What goes into a backward case. */
struct back {
	struct cop_gradient dy, device_dy;
	struct cop_activation x, device_x;
	struct cop_sink dx, device_dx;
	struct cop_sums sums, device_sums;
	struct vector mean;
	float *dw, *db, *device_dw, *device_db;
	bool wanted; /* dx */
};

static void draw_gradient(struct trial *t, struct back *b)
{
	const struct cop_launch *l = t->l;
	b->dy.g = gpu_random_activation(l, &t->out, &t->r, -1, 1);
	b->device_dy.g = put(t, &t->out, b->dy.g);
	if (!coin(t))
		return;
	b->dy.raw = gpu_random_activation(l, &t->out, &t->r, -1, 1);
	b->device_dy.raw = put(t, &t->out, b->dy.raw);
	struct vector v[4];
	for (int i = 0; i < 4; i++)
		v[i] = vector_of(t, i ? -0.4f : 0.5f, i ? 0.4f : 1.5f);
	b->dy.slope = (struct cop_slope){v[0].host, v[1].host, v[2].host, v[3].host};
	b->device_dy.slope = (struct cop_slope){v[0].device, v[1].device, v[2].device, v[3].device};
}

static void draw_sink(struct trial *t, struct back *b)
{
	const struct cop_launch *l = t->l;
	struct cop_sink *dx = &b->dx;
	dx->add = coin(t);
	dx->last = coin(t) || coin(t);
	dx->cuts = coin(t);
	dx->of = b->x;
	if (!dx->cuts)
		dx->of.as.lo = -INFINITY, dx->of.as.hi = INFINITY;
	b->device_dx = *dx;
	b->device_dx.of.raw = b->device_x.raw;
	b->device_dx.of.as.scale = b->device_x.as.scale;
	b->device_dx.of.as.shift = b->device_x.as.shift;
	dx->g = dx->add ? gpu_random_activation(l, &t->in, &t->r, -1, 1) : gpu_host_activation(&t->in);
	b->device_dx.g = put(t, &t->in, dx->add ? dx->g : NULL);
	b->sums.part = parts_alloc(COP_PARTS, t->d.in_c);
	b->device_sums.part = gpu_alloc((size_t)(COP_CUDA_PARTS * t->d.in_c * 2) * sizeof(float));
	b->mean = vector_of(t, -1, 1);
	if (!dx->last || coin(t))
		return;
	dx->sums = &b->sums;
	b->device_dx.sums = &b->device_sums;
	dx->mean = b->mean.host;
	b->device_dx.mean = b->mean.device;
}

static void draw_back(struct trial *t, struct back *b)
{
	size_t weights = (size_t)(t->d.in_c * t->taps), c = (size_t)t->d.in_c;
	*b = (struct back){.wanted = coin(t) || coin(t)};
	draw_gradient(t, b);
	draw_reading(t, &b->x.as, &b->device_x.as);
	b->x.raw = gpu_random_activation(t->l, &t->in, &t->r, -1, 1);
	b->device_x.raw = put(t, &t->in, b->x.raw);
	if (b->wanted)
		draw_sink(t, b);
	b->dw = gpu_floats(weights);
	b->device_dw = gpu_alloc(weights * sizeof(float));
	if (coin(t)) {
		b->db = gpu_floats(c);
		b->device_db = gpu_alloc(c * sizeof(float));
	}
}

static void backward_case(uint64_t seed)
{
	struct trial t;
	struct back b;
	begin_trial(&t, seed, "backward");
	draw_back(&t, &b);
	const struct cop_launch *l = t.l;
	size_t weights = (size_t)(t.d.in_c * t.taps);
	cop_cpu_backend.conv_backward(&t.d, &b.dy, &b.x, t.w, b.wanted ? &b.dx : NULL, b.dw, b.db, t.space);
	gpu_ok(cop_cuda_depthwise_backward(l, &t.d, &b.device_dy, &b.device_x, t.device_w,
					   b.wanted ? &b.device_dx : NULL, b.device_dw, b.device_db, t.device_space));
	/* dw and db are float, of the very numbers that the CPU has */
	gpu_same_device("dw", weights, b.device_dw, turned(&t, b.dw, false), 1e-5);
	if (b.db)
		gpu_same_device("db", (size_t)t.d.in_c, b.device_db, b.db, 1e-5);
	if (b.wanted)
		gpu_same_activation("dx", l, &t.in, b.device_dx.g, b.dx.g, gpu_tolerance(l));
	if (b.wanted && b.dx.sums)
		check_sums(&t, &t.in, &b.device_sums, gpu_get_activation(l, &t.in, b.device_dx.g), b.x.raw,
			   b.mean.host);
	gpu_end();
}

static void test_backward(void **state)
{
	(void)state;
	for (uint64_t seed = 1000; seed < 1000 + 20 * WINDOWS; seed++)
		backward_case(seed);
}

/* The same bits twice, whatever the order in which threads and blocks come to run. */
static void test_same_bits(void **state)
{
	(void)state;
	for (uint64_t seed = 2000; seed < 2000 + 4 * WINDOWS; seed++) {
		struct trial t;
		struct back b;
		begin_trial(&t, seed, "twice");
		draw_back(&t, &b);
		size_t weights = (size_t)(t.d.in_c * t.taps);
		float *dw[2], *dx[2] = {NULL, NULL};
		if (b.wanted && b.dx.add)
			b.device_dx.add = false;
		for (int i = 0; i < 2; i++) {
			gpu_ok(cop_cuda_depthwise_backward(t.l, &t.d, &b.device_dy, &b.device_x, t.device_w,
							   b.wanted ? &b.device_dx : NULL, b.device_dw, b.device_db,
							   t.device_space));
			dw[i] = gpu_floats(weights);
			gpu_get(dw[i], b.device_dw, weights * sizeof(float));
			if (b.wanted)
				dx[i] = gpu_get_activation(t.l, &t.in, b.device_dx.g);
		}
		gpu_same("dw", weights, dw[1], dw[0], 0);
		if (b.wanted)
			gpu_same("dx", gpu_count(&t.in), dx[1], dx[0], 0);
		gpu_end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_backward),
		cmocka_unit_test(test_same_bits),
	};
	return cmocka_run_group_tests(tests, gpu_setup, gpu_teardown);
}
