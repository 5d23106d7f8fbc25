/* The benchmark of convolutions; see bench.h. */
#include "compute/bench.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/order.h"

#include <math.h>
#include <stdlib.h>

/* Floats that are read and written in turn: more than a processor's caches hold. */
enum { SOURCE_FLOATS = 32 << 20, SINK_FLOATS = 16 << 20, PASSES_MIN = 5, PASSES_MAX = 2000 };
static const double SECONDS = 0.06;

static size_t in_floats(const struct cop_conv *d)
{
	return (size_t)d->in_c * (size_t)d->in_h * (size_t)d->in_w * (size_t)d->ld;
}

static size_t out_floats(const struct cop_conv *d)
{
	return (size_t)d->out_c * (size_t)d->out_h * (size_t)d->out_w * (size_t)d->ld;
}

static size_t weight_floats(const struct cop_conv *d)
{
	return (size_t)d->out_c * (size_t)(d->in_c / d->groups) * (size_t)d->kernel[0] * (size_t)d->kernel[1];
}

static size_t widest(const struct cop_conv *d)
{
	return (size_t)(d->in_c > d->out_c ? d->in_c : d->out_c);
}

/* The input, the output and its gradient; the output or the input's gradient. */
static size_t source_floats(const struct cop_conv *d)
{
	return in_floats(d) + 2 * out_floats(d);
}

static size_t sink_floats(const struct cop_conv *d)
{
	return in_floats(d) > out_floats(d) ? in_floats(d) : out_floats(d);
}

static void keep_most(size_t *most, size_t n)
{
	if (n > *most)
		*most = n;
}

/* -1..1, by Knuth's multiplicative generator (MMIX). */
static void fill(float *x, size_t n)
{
	uint64_t state = 1;
	for (size_t i = 0; i < n; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		x[i] = (float)(int32_t)(state >> 32) * 0x1p-31f;
	}
}

int cop_conv_bench_init(struct cop_conv_bench *b, const struct cop_conv *d, size_t n, struct cop_err *err)
{
	size_t weights = 0, channels = 0, space = 0;
	*b = (struct cop_conv_bench){.sources = SOURCE_FLOATS, .sinks = SINK_FLOATS};
	for (size_t i = 0; i < n; i++) {
		keep_most(&b->sources, source_floats(&d[i]));
		keep_most(&b->sinks, sink_floats(&d[i]));
		keep_most(&weights, weight_floats(&d[i]));
		keep_most(&channels, widest(&d[i]));
		for (int backward = 0; backward < 2; backward++)
			keep_most(&space, cop_cpu_backend.conv_space(
						  &d[i], &(struct cop_conv_use){.backward = backward, .data = true}));
	}
	int rc = cop_alloc(&b->source, b->sources, sizeof(float), "activations", err);
	if (!rc)
		rc = cop_alloc(&b->sink, b->sinks, sizeof(float), "results", err);
	if (!rc)
		rc = cop_alloc(&b->weights, 2 * weights, sizeof(float), "weights", err);
	if (!rc)
		rc = cop_alloc(&b->channels, (2 + 2 * COP_PARTS) * channels, sizeof(float), "statistics", err);
	if (!rc)
		rc = cop_alloc(&b->space, space, sizeof(float), "workspace", err);
	if (rc) {
		cop_conv_bench_release(b);
		return rc;
	}
	fill(b->source, b->sources);
	fill(b->weights, weights);
	for (size_t c = 0; c < channels; c++)
		b->channels[c] = 1;
	return 0;
}

void cop_conv_bench_release(struct cop_conv_bench *b)
{
	free(b->source);
	free(b->sink);
	free(b->weights);
	free(b->channels);
	free(b->space);
	*b = (struct cop_conv_bench){0};
}

/* What a pass works on. */
struct pass {
	const struct cop_conv *d;
	struct cop_activation x;
	const float *y, *dy, *zero, *one;
	float *out, *dw, *space;
	const float *w;
	struct cop_sums sums;
	bool image;
};

static void forward(struct pass *p)
{
	struct cop_output out = {.y = p->out, .lo = -INFINITY, .hi = INFINITY, .about = p->zero, .sums = &p->sums};
	cop_cpu_backend.conv_forward(p->d, &p->x, p->w, &out, p->space);
}

static void backward(struct pass *p)
{
	struct cop_gradient dy = {.g = p->dy, .raw = p->y, .slope = {p->one, p->zero, p->zero, p->zero}};
	struct cop_sink dx = {.g = p->out, .last = true, .cuts = true, .of = p->x, .mean = p->zero, .sums = &p->sums};
	cop_cpu_backend.conv_backward(p->d, &dy, &p->x, p->w, p->image ? NULL : &dx, p->dw, NULL, p->space);
}

/* The pass number `at`: its numbers lie behind those of the one before, until the memory ends. */
static struct pass pass_at(const struct cop_conv_bench *b, const struct cop_conv *d, bool image, size_t at)
{
	size_t sets = b->sources / source_floats(d), sinks = b->sinks / sink_floats(d), wide = widest(d);
	const float *x = b->source + at % sets * source_floats(d);
	struct pass p = {.d = d, .image = image, .w = b->weights, .dw = b->weights + weight_floats(d)};
	p.one = b->channels;
	p.zero = b->channels + wide;
	p.sums.part = b->channels + 2 * wide;
	p.x = (struct cop_activation){x, {p.one, p.zero, 0, 6}};
	if (image)
		p.x.as = (struct cop_reading){NULL, NULL, -INFINITY, INFINITY};
	p.y = x + in_floats(d);
	p.dy = p.y + out_floats(d);
	p.out = b->sink + at % sinks * sink_floats(d);
	p.space = b->space;
	return p;
}

/* The median, after one that is not counted. */
static double time_passes(const struct cop_conv_bench *b, const struct cop_conv *d, bool image,
			  void (*run)(struct pass *p))
{
	double took[PASSES_MAX], all = 0;
	int n = -1;
	while (n < PASSES_MIN || (n < PASSES_MAX && all < SECONDS)) {
		struct pass p = pass_at(b, d, image, (size_t)(n + 1));
		double begun = cop_now();
		run(&p);
		double now = cop_now() - begun;
		if (n >= 0) {
			took[n] = now;
			all += now;
		}
		n++;
	}
	return cop_median(took, (size_t)n);
}

void cop_conv_bench_time(const struct cop_conv_bench *b, const struct cop_conv *d, bool image,
			 struct cop_bench_pass *there, struct cop_bench_pass *back)
{
	double pixels = (double)d->out_h * d->out_w * d->batch, images = (double)d->batch / d->ld;
	double flops = 2 * pixels * (double)weight_floats(d);
	double in = 4 * images * (double)in_floats(d), out = 4 * images * (double)out_floats(d);
	*there = (struct cop_bench_pass){time_passes(b, d, image, forward), flops, in + out};
	*back = (struct cop_bench_pass){time_passes(b, d, image, backward), (image ? 1 : 2) * flops,
					(image ? 1 : 2) * in + 2 * out};
}
