/* The CPU backend's loops over memory; see cpu_kernels.h. */
#include "compute/cpu_kernels.h"

#include "base/clones.h"

#include <math.h>
#include <string.h>

enum { SUMS = 16 };

COP_CLONES void cop_cpu_bias(int rows, int ld, const float *b, bool relu, float *y)
{
	float floor = relu ? 0.0f : -INFINITY;
	for (int r = 0; r < rows; r++, y += ld) {
		float add = b ? b[r] : 0.0f;
		for (int i = 0; i < ld; i++) {
			float v = y[i] + add;
			/* written so that NaN passes through: a diverged network must be seen */
			y[i] = v < floor ? floor : v;
		}
	}
}

COP_CLONES void cop_cpu_cut(size_t n, const float *x, float *dx)
{
	for (size_t i = 0; i < n; i++)
		dx[i] = x[i] > 0.0f ? dx[i] : 0.0f;
}

/* Sixteen running sums and then their sum: an order that no vector width changes. */
COP_CLONES void cop_cpu_row_sums(int rows, int ld, const float *dy, float *sum)
{
	for (int r = 0; r < rows; r++, dy += ld) {
		float part[SUMS] = {0};
		for (int i = 0; i < ld; i += SUMS)
			for (int j = 0; j < SUMS; j++)
				part[j] += dy[i + j];
		float all = 0.0f;
		for (int j = 0; j < SUMS; j++)
			all += part[j];
		sum[r] = all;
	}
}

/* One image's column: its loss, the rank of its label, and its gradient. */
static void one_image(int classes, int ld, const float *logit, int label, float scale, float *dy, struct cop_loss *loss)
{
	float own = logit[(size_t)label * (size_t)ld], top = logit[0];
	int rank = 0;
	for (int k = 0; k < classes; k++) {
		float v = logit[(size_t)k * (size_t)ld];
		top = v > top || isnan(v) ? v : top;
		rank += v > own || (v == own && k < label) || isnan(v);
	}
	double sum = 0;
	for (int k = 0; k < classes; k++)
		sum += exp((double)(logit[(size_t)k * (size_t)ld] - top));
	loss->loss += log(sum) - (double)(own - top);
	loss->top1 += rank < 1;
	loss->top5 += rank < 5;
	loss->images++;
	for (int k = 0; k < classes && dy; k++) {
		double p = exp((double)(logit[(size_t)k * (size_t)ld] - top)) / sum;
		dy[(size_t)k * (size_t)ld] = (float)(p - (k == label)) * scale;
	}
}

/* Images are shared out sixteen at a time, which is a cache line of each class; their losses are added up in order. */
void cop_cpu_softmax_xent(int classes, int batch, int ld, const float *logits, const int32_t *label, float *dy,
			  struct cop_loss *loss)
{
	enum { SLAB = 256, LINE = 16 };
	float scale = 1.0f / (float)batch;
	for (int from = 0; from < batch; from += SLAB) {
		struct cop_loss part[SLAB];
		int n = batch - from < SLAB ? batch - from : SLAB;
#pragma omp parallel for schedule(static, LINE) if ((long)classes * n > 16384)
		for (int k = 0; k < n; k++) {
			int i = from + k;
			part[k] = (struct cop_loss){0};
			one_image(classes, ld, logits + i, label[i], scale, dy ? dy + i : NULL, &part[k]);
		}
		for (int k = 0; k < n; k++) {
			loss->loss += part[k].loss;
			loss->top1 += part[k].top1;
			loss->top5 += part[k].top5;
			loss->images++;
		}
	}
	for (int k = 0; k < classes && dy && ld > batch; k++)
		memset(dy + (size_t)k * (size_t)ld + batch, 0, (size_t)(ld - batch) * sizeof(float));
}

COP_CLONES static void sgd_all(const struct cop_sgd *o, float lr, size_t n, const float *restrict g, float *restrict w,
			       float *restrict v)
{
	float momentum = o->momentum, decay = o->weight_decay;
	float own = o->nesterov ? 1.0f : 0.0f, past = o->nesterov ? momentum : 1.0f;
	for (size_t i = 0; i < n; i++) {
		float grad = g[i] + decay * w[i];
		float speed = momentum * v[i] + grad;
		v[i] = speed;
		w[i] -= lr * (own * grad + past * speed);
	}
}

COP_CLONES static void sgd_masked(const struct cop_sgd *o, float lr, size_t n, const float *restrict g,
				  const uint8_t *restrict mask, float *restrict w, float *restrict v)
{
	float momentum = o->momentum, decay = o->weight_decay;
	float own = o->nesterov ? 1.0f : 0.0f, past = o->nesterov ? momentum : 1.0f;
	for (size_t i = 0; i < n; i++) {
		float grad = mask[i] ? g[i] + decay * w[i] : 0.0f;
		float speed = momentum * v[i] + grad;
		v[i] = speed;
		w[i] -= lr * (own * grad + past * speed);
	}
}

void cop_cpu_sgd(const struct cop_sgd *o, float lr, size_t n, const float *g, const uint8_t *mask, float *w, float *v)
{
	if (mask)
		sgd_masked(o, lr, n, g, mask, w, v);
	else
		sgd_all(o, lr, n, g, w, v);
}

/* The corrections of the bias, folded: w -= rate m / (sqrt(v) + eps) with rate and eps scaled by them. */
struct adam_rates {
	float rate, eps;
};

static struct adam_rates adam_rates(const struct cop_adam *o, float lr, int64_t step)
{
	double c1 = 1.0 - pow((double)o->beta1, (double)step), c2 = sqrt(1.0 - pow((double)o->beta2, (double)step));
	return (struct adam_rates){.rate = (float)((double)lr * c2 / c1), .eps = (float)((double)o->epsilon * c2)};
}

COP_CLONES static void adam_all(const struct cop_adam *o, struct adam_rates r, size_t n, const float *restrict g,
				float *restrict w, float *restrict m, float *restrict v)
{
	float b1 = o->beta1, b2 = o->beta2, decay = o->weight_decay;
	for (size_t i = 0; i < n; i++) {
		float grad = g[i] + decay * w[i];
		m[i] = b1 * m[i] + (1.0f - b1) * grad;
		v[i] = b2 * v[i] + (1.0f - b2) * grad * grad;
		w[i] -= r.rate * m[i] / (sqrtf(v[i]) + r.eps);
	}
}

COP_CLONES static void adam_masked(const struct cop_adam *o, struct adam_rates r, size_t n, const float *restrict g,
				   const uint8_t *restrict mask, float *restrict w, float *restrict m,
				   float *restrict v)
{
	float b1 = o->beta1, b2 = o->beta2, decay = o->weight_decay;
	for (size_t i = 0; i < n; i++) {
		float grad = mask[i] ? g[i] + decay * w[i] : 0.0f;
		m[i] = b1 * m[i] + (1.0f - b1) * grad;
		v[i] = b2 * v[i] + (1.0f - b2) * grad * grad;
		w[i] -= r.rate * m[i] / (sqrtf(v[i]) + r.eps);
	}
}

void cop_cpu_adam(const struct cop_adam *o, float lr, int64_t step, size_t n, const float *g, const uint8_t *mask,
		  float *w, float *m, float *v)
{
	struct adam_rates r = adam_rates(o, lr, step);
	if (mask)
		adam_masked(o, r, n, g, mask, w, m, v);
	else
		adam_all(o, r, n, g, w, m, v);
}
