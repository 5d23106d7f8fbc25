/* Linear layers, the loss and optimizers in float64; see reference64.h. */
#include "reference64.h"

#include <math.h>

void ref_linear(int in, int out, int batch, bool relu, const double *w, const double *b, const double *x, double *y)
{
	for (int o = 0; o < out; o++, y += batch) {
		for (int n = 0; n < batch; n++)
			y[n] = b[o];
		for (int i = 0; i < in; i++)
			for (int n = 0; n < batch; n++)
				y[n] += w[o * in + i] * x[i * batch + n];
		for (int n = 0; n < batch && relu; n++)
			y[n] = y[n] < 0 ? 0 : y[n];
	}
}

double ref_loss(int classes, int batch, const double *logits, const int32_t *label)
{
	double all = 0;
	for (int n = 0; n < batch; n++) {
		double top = -INFINITY, sum = 0;
		for (int k = 0; k < classes; k++)
			top = fmax(top, logits[k * batch + n]);
		for (int k = 0; k < classes; k++)
			sum += exp(logits[k * batch + n] - top);
		all += top + log(sum) - logits[label[n] * batch + n];
	}
	return all / batch;
}

void ref_sgd(const struct cop_sgd *o, float lr, double g, double *w, double *v)
{
	g += (double)o->weight_decay * *w;
	*v = (double)o->momentum * *v + g;
	*w -= (double)lr * (o->nesterov ? g + (double)o->momentum * *v : *v);
}

void ref_adam(const struct cop_adam *o, float lr, int t, double g, double *w, double *m, double *v)
{
	double b1 = (double)o->beta1, b2 = (double)o->beta2;
	g += (double)o->weight_decay * *w;
	*m = b1 * *m + (1 - b1) * g;
	*v = b2 * *v + (1 - b2) * g * g;
	double own = *m / (1 - pow(b1, t)), spread = sqrt(*v / (1 - pow(b2, t)));
	*w -= (double)lr * own / (spread + (double)o->epsilon);
}
