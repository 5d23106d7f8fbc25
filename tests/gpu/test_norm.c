/* kernels/norm.cu against the CPU backend. */
#include "values.h"

#include <math.h>
#include <string.h>

static void moments(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	float *y = gpu_random_activation(l, s, r, -1, 3), *about, *dabout = gpu_channels(r, s->c, -1, 1, &about);
	void *dy = gpu_put_activation(l, s, y);
	size_t bytes = (size_t)s->c * 2 * sizeof(double);
	double *want = memset(gpu_host(bytes), 0, bytes), *scale = memset(gpu_host(bytes), 0, bytes);
	struct cop_sums sums = gpu_sums_room(s->c, COP_CUDA_PARTS, true),
			again = gpu_sums_room(s->c, COP_CUDA_PARTS, true);
	for (int row = 0; row < s->h * s->w * s->c; row++)
		for (int n = 0; n < s->batch; n++) {
			int c = row % s->c;
			double d = (double)y[(size_t)row * (size_t)s->ld + (size_t)n] - (double)about[c];
			want[2 * c] += d;
			want[2 * c + 1] += d * d;
			scale[2 * c] += fabs(d);
			scale[2 * c + 1] += d * d;
		}
	gpu_ok(cop_cuda_moments(l, s, dy, dabout, &sums));
	/* what is summed is read alike by both elements */
	gpu_same_sums(&sums, s->c, want, scale, 1e-5);

	/* the same bits each time, in whatever order the blocks come */
	size_t n = (size_t)sums.parts * (size_t)s->c * 2;
	float *first = gpu_floats(n);
	gpu_ok(cop_cuda_moments(l, s, dy, dabout, &again));
	assert_int_equal(again.parts, sums.parts);
	gpu_get(first, sums.part, n * sizeof(float));
	gpu_same_device("the same sums", n, again.part, first, 0);
}

/* A batch norm of as many channels as the shape has, with sums in some parts. */
struct made {
	struct cop_norm n;
	struct cop_sums host, device;
	float *weight, *bias, *mean, *var, *dweight, *dbias, *dmean, *dvar;
	struct cop_normed out, dout;
};

static float *put_floats(const float *x, int n)
{
	return gpu_put(x, (size_t)n * sizeof(float));
}

static struct made norm_of(const struct cop_shape *s, uint64_t *r)
{
	int c = s->c, parts = gpu_between(r, 0, 1) ? gpu_between(r, 1, 5) : gpu_between(r, 60, COP_CUDA_PARTS);
	struct made m = {.n = {.c = c, .momentum = 0.1, .epsilon = 1e-5}};
	size_t n = (size_t)parts * (size_t)c * 2;
	float *part = gpu_random(r, n, -1, 1);
	m.n.count = gpu_between(r, 0, 7) ? parts * gpu_between(r, 1, 9) : 1;
	/* squares are no less than what makes a variance, but for some that rounding makes smaller */
	for (size_t i = 1; i < n; i += 2)
		part[i] = gpu_between(r, 0, 30) ? 2 * fabsf(part[i]) : 0;
	m.host = (struct cop_sums){.part = part, .parts = parts};
	m.device = (struct cop_sums){.part = gpu_put(part, n * sizeof(float)), .parts = parts};
	m.dweight = gpu_channels(r, c, -2, 2, &m.weight);
	m.dbias = gpu_channels(r, c, -2, 2, &m.bias);
	m.dmean = gpu_channels(r, c, -2, 2, &m.mean);
	m.dvar = gpu_channels(r, c, 0.1f, 2, &m.var);
	float **host = (float *[]){gpu_floats((size_t)c), gpu_floats((size_t)c), gpu_floats((size_t)c),
				   gpu_floats((size_t)c)};
	m.out = (struct cop_normed){host[0], host[1], host[2], host[3]};
	m.dout = (struct cop_normed){put_floats(host[0], c), put_floats(host[1], c), put_floats(host[2], c),
				     put_floats(host[3], c)};
	return m;
}

static void same_normed(const struct made *m)
{
	size_t c = (size_t)m->n.c;
	gpu_same_device("mean", c, m->dout.mean, m->out.mean, 1e-6);
	gpu_same_device("inv", c, m->dout.inv, m->out.inv, 1e-6);
	gpu_same_device("scale", c, m->dout.scale, m->out.scale, 1e-6);
	gpu_same_device("shift", c, m->dout.shift, m->out.shift, 1e-6);
}

static void train(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct made m = norm_of(s, r);
	if (!gpu_between(r, 0, 3)) { /* sums that overflowed */
		float huge = INFINITY;
		m.host.part[1] = huge;
		gpu_copy(m.device.part + 1, &huge, sizeof(huge), cudaMemcpyHostToDevice);
	}
	cop_cpu_backend.norm_train(&m.n, &m.host, m.weight, m.bias, m.mean, m.var, &m.out);
	gpu_ok(cop_cuda_norm_train(l, &m.n, &m.device, m.dweight, m.dbias, m.dmean, m.dvar, &m.dout));
	same_normed(&m);
	gpu_same_device("running mean", (size_t)s->c, m.dmean, m.mean, 1e-6);
	gpu_same_device("running variance", (size_t)s->c, m.dvar, m.var, 1e-6);
}

static void evaluate(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct made m = norm_of(s, r);
	cop_cpu_backend.norm_evaluate(&m.n, m.weight, m.bias, m.mean, m.var, &m.out);
	gpu_ok(cop_cuda_norm_evaluate(l, &m.n, m.dweight, m.dbias, m.dmean, m.dvar, &m.dout));
	same_normed(&m);
}

static void backward(const struct cop_launch *l, const struct cop_shape *s, uint64_t *r)
{
	struct made m = norm_of(s, r);
	int c = s->c;
	m.dout.inv = gpu_channels(r, c, 0.1f, 3, &m.out.inv);
	float *g[5], *dg[5];
	for (int i = 0; i < 5; i++) {
		g[i] = gpu_floats((size_t)c);
		dg[i] = put_floats(g[i], c);
	}
	struct cop_slopes out = {g[2], g[3], g[4]}, dout = {dg[2], dg[3], dg[4]};
	cop_cpu_backend.norm_backward(&m.n, &m.host, m.weight, &m.out, g[0], g[1], &out);
	gpu_ok(cop_cuda_norm_backward(l, &m.n, &m.device, m.dweight, &m.dout, dg[0], dg[1], &dout));
	for (int i = 0; i < 5; i++)
		gpu_same_device((const char *[]){"dweight", "dbias", "a", "b", "c"}[i], (size_t)c, dg[i], g[i], 1e-6);
}

static void test_moments(void **state)
{
	(void)state;
	gpu_each_shape("moments", moments);
}

static void test_train(void **state)
{
	(void)state;
	gpu_each_shape("train", train);
}

static void test_evaluate(void **state)
{
	(void)state;
	gpu_each_shape("evaluate", evaluate);
}

static void test_backward(void **state)
{
	(void)state;
	gpu_each_shape("backward", backward);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moments),
		cmocka_unit_test(test_train),
		cmocka_unit_test(test_evaluate),
		cmocka_unit_test(test_backward),
	};
	return cmocka_run_group_tests(tests, gpu_setup, gpu_teardown);
}
