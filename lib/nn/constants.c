/* Channels that are the same for every image; see constants.h. */
#include "nn/constants.h"

#include "base/mem.h"
#include "compute/terms.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void cop_constants_release(struct cop_constants *c)
{
	for (int i = 0; c && i < c->n; i++) {
		free(c->stage[i].own);
		free(c->stage[i].base);
		free(c->stage[i].summed);
		free(c->stage[i].sum_of);
		free(c->stage[i].row);
		free(c->stage[i].varying);
	}
	if (c)
		free(c->stage);
	free(c);
}

/* A stage's numbers. */
struct constant_planes {
	float *raw, *value, *grad;         /* (n, h, w): before batch norm and cutting off, after it; the value's */
	float *mean, *inv, *scale, *shift; /* (n) */
	float *rows, *base;                /* (rows, h, w), (h, w, rows) */
	float *sums; /* (nsummed, h, w): gradients of rows, over the images; (n, h, w) where sums are read */
};

struct cop_constants_work {
	float *memory;
	struct constant_planes *stage; /* (n) */
	bool training;
};

static size_t pixels(const struct cop_stage *s)
{
	return (size_t)s->h * (size_t)s->w;
}

/* Hands out a stage's planes from *at on, which moves on; NULL: they are only counted. */
static size_t share_out(const struct cop_constant_stage *k, const struct cop_stage *s, struct constant_planes *p,
			float *at)
{
	size_t n = (size_t)k->n, all = n * pixels(s), rows = k->nbase ? (size_t)k->rows * pixels(s) : 0;
	const size_t size[] = {all, all, all,  n,    n,
			       n,   n,   rows, rows, (size_t)(k->nsummed > k->n ? k->nsummed : k->n) * pixels(s)};
	float **to[] = {&p->raw,   &p->value, &p->grad, &p->mean, &p->inv,
			&p->scale, &p->shift, &p->rows, &p->base, &p->sums};
	size_t used = 0;
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		*to[i] = at ? at + used : NULL;
		used += (size[i] + 15) & ~(size_t)15;
	}
	return used;
}

int cop_constants_begin(struct cop_constants_work **out, const struct cop_net *net, bool training, struct cop_err *err)
{
	struct cop_constants_work *w = cop_xcalloc(1, sizeof(*w));
	const struct cop_constants *c = net->constants;
	size_t all = 0;
	w->training = training;
	w->stage = cop_xcalloc((size_t)c->n, sizeof(*w->stage));
	for (int i = 0; i < c->n; i++)
		all += share_out(&c->stage[i], &net->stages.stage[i], &w->stage[i], NULL);
	int rc = cop_alloc(&w->memory, all + 1, sizeof(float), "constant channels", err);
	if (rc) {
		cop_constants_end(w);
		return rc;
	}
	for (size_t i = 0, at = 0; i < (size_t)c->n; i++)
		at += share_out(&c->stage[i], &net->stages.stage[i], &w->stage[i], w->memory + at);
	*out = w;
	return 0;
}

void cop_constants_end(struct cop_constants_work *w)
{
	if (!w)
		return;
	free(w->memory);
	free(w->stage);
	free(w);
}

/* The outputs [from, to) of one side whose tap lies inside of the image, and the input of the first. */
struct span {
	int from, to, in, stride;
};

static struct span span_of(const struct cop_conv *d, int side, int tap)
{
	int stride = d->stride[side], off = tap * d->dilation[side] - d->padding[side];
	int in = side ? d->in_w : d->in_h, out = side ? d->out_w : d->out_h;
	struct span s = {.from = off < 0 ? (-off + stride - 1) / stride : 0, .stride = stride};
	s.to = in - 1 - off < 0 ? 0 : (in - 1 - off) / stride + 1;
	s.to = s.to < out ? s.to : out;
	s.in = s.from * stride + off;
	return s;
}

/* out += weight * in, one tap of one pair of planes. */
static void add_tap(const struct cop_conv *d, int tap, float weight, const float *in, float *out)
{
	struct span y = span_of(d, 0, tap / d->kernel[1]), x = span_of(d, 1, tap % d->kernel[1]);
	for (int oy = y.from, iy = y.in; oy < y.to; oy++, iy += y.stride) {
		const float *from = in + (size_t)iy * (size_t)d->in_w + x.in;
		float *to = out + (size_t)oy * (size_t)d->out_w;
		for (int ox = x.from; ox < x.to; ox++)
			to[ox] += weight * from[(ox - x.from) * x.stride];
	}
}

/* The weight's gradient, from the output's g; the input's gradient += weight * g. */
static float take_tap(const struct cop_conv *d, int tap, float weight, const float *in, const float *g, float *in_grad)
{
	struct span y = span_of(d, 0, tap / d->kernel[1]), x = span_of(d, 1, tap % d->kernel[1]);
	double sum = 0;
	for (int oy = y.from, iy = y.in; oy < y.to; oy++, iy += y.stride) {
		size_t at = (size_t)iy * (size_t)d->in_w + (size_t)x.in;
		const float *own = g + (size_t)oy * (size_t)d->out_w;
		for (int ox = x.from; ox < x.to; ox++) {
			size_t i = at + (size_t)((ox - x.from) * x.stride);
			sum += (double)own[ox] * (double)in[i];
			in_grad[i] += weight * own[ox];
		}
	}
	return (float)sum;
}

/* The norm's numbers of each channel; statistics of one image are those of the batch. */
static void normalise(struct constant_planes *p, const struct cop_constant_stage *k, const struct cop_node *norm,
		      size_t n, double count, bool training, const float *param, float *buffer)
{
	for (size_t c = 0; c < (size_t)k->n; c++) {
		size_t at = (size_t)k->rows + c;
		float *running_mean = buffer + norm->running_mean + at, *running_var = buffer + norm->running_var + at;
		double mean = (double)*running_mean, var = (double)*running_var;
		if (training) {
			double sum = 0, squares = 0, unbiased;
			for (size_t i = 0; i < n; i++)
				sum += (double)p->raw[c * n + i];
			mean = sum / (double)n;
			for (size_t i = 0; i < n; i++)
				squares += ((double)p->raw[c * n + i] - mean) * ((double)p->raw[c * n + i] - mean);
			var = squares / (double)n;
			unbiased = count > 1 ? var * count / (count - 1) : var;
			*running_mean = (float)((1 - norm->momentum) * (double)*running_mean + norm->momentum * mean);
			*running_var = (float)((1 - norm->momentum) * (double)*running_var + norm->momentum * unbiased);
		}
		double inv = 1 / sqrt(var + norm->epsilon), scale = (double)param[norm->weight + at] * inv;
		p->mean[c] = (float)mean;
		p->inv[c] = (float)inv;
		p->scale[c] = (float)scale;
		p->shift[c] = (float)((double)param[norm->bias_at + at] - mean * scale);
	}
}

/* Written so that NaN passes through. */
static float cut(float v, float lo, float hi)
{
	v = v < lo ? lo : v;
	return v > hi ? hi : v;
}

/* A layer's bias, or 0, all over the planes of channels from `first` on. */
static void spread_bias(const struct cop_node *d, size_t first, size_t channels, size_t n, const float *param,
			float *to)
{
	for (size_t c = 0; c < channels; c++)
		for (size_t i = 0; i < n; i++)
			to[c * n + i] = d->bias ? param[d->bias_at + first + c] : 0;
}

static void own_forward(struct constant_planes *p, const float *in, const struct cop_net *net, int i, double count,
			bool training, const float *param, float *buffer)
{
	const struct cop_constant_stage *k = &net->constants->stage[i];
	const struct cop_stage *s = &net->stages.stage[i];
	const struct cop_node *d = &net->graph.node[s->node];
	size_t n = pixels(s), from = (size_t)s->input[0];
	size_t in_pixels = pixels(&net->stages.stage[from]);
	spread_bias(d, (size_t)k->rows, (size_t)k->n, n, param, p->raw);
	for (size_t e = 0; e < k->nown; e++)
		add_tap(&k->window, k->own[e].tap, param[k->own[e].at], in + (size_t)k->own[e].in * in_pixels,
			p->raw + (size_t)k->own[e].out * n);
	if (s->norm >= 0)
		normalise(p, k, &net->graph.node[s->norm], n, count, training, param, buffer);
	for (size_t c = 0; c < (size_t)k->n; c++)
		for (size_t j = c * n; j < (c + 1) * n; j++) {
			float z = s->norm >= 0 ? p->raw[j] * p->scale[c] + p->shift[c] : p->raw[j];
			p->value[j] = cut(z, s->lo, s->hi);
		}
	if (training)
		memset(p->grad, 0, (size_t)k->n * n * sizeof(float));
}

const float *cop_constants_forward(struct cop_constants_work *w, const struct cop_net *net, int i, int batch,
				   const float *param, float *buffer)
{
	const struct cop_constant_stage *k = &net->constants->stage[i];
	const struct cop_stage *s = &net->stages.stage[i];
	struct constant_planes *p = &w->stage[i];
	if (!k->n && !k->nbase)
		return NULL;
	const float *in = w->stage[s->input[0]].value;
	size_t n = pixels(s), in_pixels = pixels(&net->stages.stage[s->input[0]]), rows = (size_t)k->rows;
	if (k->n)
		own_forward(p, in, net, i, (double)batch * (double)n, w->training, param, buffer);
	if (!k->nbase)
		return NULL;
	spread_bias(&net->graph.node[s->node], 0, rows, n, param, p->rows);
	for (size_t e = 0; e < k->nbase; e++)
		add_tap(&k->window, k->base[e].tap, param[k->base[e].at], in + (size_t)k->base[e].in * in_pixels,
			p->rows + (size_t)k->base[e].out * n);
	for (size_t r = 0; r < rows; r++)
		for (size_t j = 0; j < n; j++)
			p->base[j * rows + r] = p->rows[r * n + j];
	return p->base;
}

/* The gradient of constant values becomes that of what lies before cutting off and batch norm; see docs/method.md. */
static void own_slope(struct constant_planes *p, const struct cop_net *net, int i, const float *param, float *grad)
{
	const struct cop_constant_stage *k = &net->constants->stage[i];
	const struct cop_stage *s = &net->stages.stage[i];
	const struct cop_node *norm = s->norm >= 0 ? &net->graph.node[s->norm] : NULL;
	const struct cop_node *d = &net->graph.node[s->node];
	size_t n = pixels(s);
	for (size_t c = 0; c < (size_t)k->n; c++) {
		float *g = p->grad + c * n;
		const float *raw = p->raw + c * n;
		double sum = 0, along = 0;
		for (size_t j = 0; j < n; j++) {
			float z = norm ? raw[j] * p->scale[c] + p->shift[c] : raw[j];
			g[j] = z > s->lo && z < s->hi ? g[j] : 0;
			sum += (double)g[j];
			along += (double)g[j] * ((double)raw[j] - (norm ? (double)p->mean[c] : 0));
		}
		if (d->bias && !norm)
			grad[d->bias_at + (size_t)k->rows + c] = (float)sum;
		if (!norm)
			continue;
		size_t at = (size_t)k->rows + c;
		double inv = (double)p->inv[c], a = (double)param[norm->weight + at] * inv, all = 0;
		grad[norm->weight + at] = (float)(inv * along);
		grad[norm->bias_at + at] = (float)sum;
		/* the batch's images share what is taken off: batch / count of the sums, count = batch n */
		for (size_t j = 0; j < n; j++) {
			double off = ((double)raw[j] - (double)p->mean[c]) * inv * inv * along;
			g[j] = (float)(a * ((double)g[j] - (sum + off) / (double)n));
			all += (double)g[j];
		}
		if (d->bias)
			grad[d->bias_at + at] = (float)all;
	}
}

void cop_constants_backward(struct cop_constants_work *w, const struct cop_net *net, int i, int batch, int ld,
			    const struct cop_gradient *dy, const float *param, float *grad)
{
	const struct cop_constant_stage *k = &net->constants->stage[i];
	const struct cop_stage *s = &net->stages.stage[i];
	if (!k->n && !k->nbase)
		return;
	struct constant_planes *p = &w->stage[i], *x = &w->stage[s->input[0]];
	size_t n = pixels(s), in_pixels = pixels(&net->stages.stage[s->input[0]]);
	const struct cop_shape shape = {s->c, s->h, s->w, batch, ld};
	if (k->nsummed)
		cop_cpu_image_sums(&shape, dy, k->summed, k->nsummed, p->sums);
	for (size_t e = 0; e < k->backward; e++) {
		const struct cop_constant_weight *b = &k->base[e];
		grad[b->at] = take_tap(&k->window, b->tap, param[b->at], x->value + (size_t)b->in * in_pixels,
				       p->sums + (size_t)k->sum_of[b->out] * n, x->grad + (size_t)b->in * in_pixels);
	}
	if (k->n)
		own_slope(p, net, i, param, grad);
	for (size_t e = 0; e < k->nown; e++) {
		const struct cop_constant_weight *b = &k->own[e];
		grad[b->at] = take_tap(&k->window, b->tap, param[b->at], x->value + (size_t)b->in * in_pixels,
				       p->grad + (size_t)b->out * n, x->grad + (size_t)b->in * in_pixels);
	}
}

bool cop_constants_has(const struct cop_net *net, int i)
{
	return net->constants && net->constants->stage[i].n > 0;
}

void cop_constants_add(struct cop_constants_work *w, const struct cop_net *net, int i, const struct cop_shape *s,
		       const struct cop_activation x[2], float lo, float hi, float *y)
{
	struct cop_term term[2];
	for (int k = 0; k < 2; k++) {
		int from = net->stages.stage[i].input[k];
		const struct cop_constant_stage *c = &net->constants->stage[from];
		term[k] = (struct cop_term){.as = x[k], .c = c->stored, .row = c->row, .plane = w->stage[from].value};
	}
	cop_cpu_add_terms(s, &term[0], &term[1], lo, hi, y);
}

void cop_constants_pass(struct cop_constants_work *w, const struct cop_net *net, int i, int k,
			const struct cop_shape *s, const float *g, const struct cop_sink *to)
{
	int from = net->stages.stage[i].input[k];
	const struct cop_constant_stage *c = &net->constants->stage[from];
	struct constant_planes *p = &w->stage[from];
	const struct cop_gradient whole = {.g = g};
	size_t all = (size_t)c->n * (size_t)s->h * (size_t)s->w;
	cop_cpu_pass_some(s, g, c->varying, c->stored, to);
	cop_cpu_image_sums(s, &whole, c->varying + c->stored, c->n, p->sums);
	for (size_t j = 0; j < all; j++)
		p->grad[j] += p->sums[j];
}
