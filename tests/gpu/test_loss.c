/* kernels/loss.cu against the CPU backend. */
#include "gpu.h"

#include <math.h>
#include <string.h>

/* A batch of logits: on the host (classes, ld), on the device (batch, classes). */
struct batch {
	struct cop_shape s; /* classes as channels of one pixel */
	float *logits;
	int32_t *label;
};

static struct batch make_batch(const struct cop_launch *l, uint64_t *r)
{
	static const int classes[] = {1, 2, 3, 10, 31, 33, 100, 257}, batches[] = {1, 3, 16, 33, 130};
	struct batch b = {.s = {.h = 1, .w = 1}};

	b.s.c = gpu_one_of(r, 8, classes);
	b.s.batch = gpu_one_of(r, 5, batches);
	b.s.ld = cop_leading(&cop_cpu_backend, b.s.batch);
	b.logits = gpu_random_activation(l, &b.s, r, -8, 8);
	b.label = gpu_host((size_t)b.s.batch * sizeof(*b.label));
	for (int i = 0; i < b.s.batch; i++)
		b.label[i] = gpu_between(r, 0, b.s.c - 1);
	return b;
}

static void same_loss(const struct cop_loss *device, const struct cop_loss *want)
{
	struct cop_loss got;
	gpu_get(&got, device, sizeof(got));
	if (got.top1 != want->top1 || got.top5 != want->top5 || got.images != want->images)
		gpu_fail("top1 %d, top5 %d, images %d; expected %d, %d, %d", (int)got.top1, (int)got.top5,
			 (int)got.images, (int)want->top1, (int)want->top5, (int)want->images);
	if (isnan(want->loss) ? !isnan(got.loss)
			      : got.loss != want->loss && !(fabs(got.loss - want->loss) <= 1e-9 * fabs(want->loss)))
		gpu_fail("loss %.12g, expected %.12g", got.loss, want->loss);
}

/* The launcher on a batch, against the CPU; both add to what is in *loss. */
static void compare(const struct cop_launch *l, const struct batch *b, bool gradient, double tolerance)
{
	struct cop_loss loss = {.loss = 2.5, .top1 = 3, .top5 = 4, .images = 7};
	struct cop_loss *on_device = gpu_put(&loss, sizeof(loss));
	float *dy = gradient ? gpu_host_activation(&b->s) : NULL;
	void *device = gradient ? gpu_alloc_activation(l, &b->s) : NULL;
	const int32_t *label = gpu_put(b->label, (size_t)b->s.batch * sizeof(*b->label));

	gpu_ok(cop_cuda_softmax_xent(l, b->s.c, b->s.batch, gpu_put_activation(l, &b->s, b->logits), label, device,
				     on_device, gpu_alloc((size_t)b->s.batch * 2 * sizeof(double))));
	cop_cpu_backend.softmax_xent(b->s.c, b->s.batch, b->s.ld, b->logits, b->label, dy, &loss);
	same_loss(on_device, &loss);
	if (gradient)
		gpu_same_activation("dy", l, &b->s, device, dy, tolerance);
}

static void test_xent(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 80; seed++) {
		const struct cop_launch *l = &gpu_launches[seed % GPU_ELEMENTS];
		uint64_t r = seed;
		struct batch b = make_batch(l, &r);
		gpu_case("softmax_xent: seed %d, classes %d, batch %d, element %d", (int)seed, b.s.c, b.s.batch,
			 (int)l->element);
		compare(l, &b, seed % 5 != 0, l->element == COP_ELEMENT_F32 ? 1e-6 : 1e-2);
		gpu_end();
	}
}

/* Of equal logits the lower class ranks first. */
static void test_ties(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		const struct cop_launch *l = &gpu_launches[seed % GPU_ELEMENTS];
		uint64_t r = seed;
		struct batch b = make_batch(l, &r);
		gpu_case("ties: seed %d, classes %d, batch %d", (int)seed, b.s.c, b.s.batch);
		for (size_t i = 0; i < gpu_count(&b.s); i++)
			b.logits[i] = (float)gpu_between(&r, -1, 1);
		compare(l, &b, true, 1e-2);
		gpu_end();
	}
}

/* NaN among the logits: the loss is NaN, and the label is not first, whichever logit it is. */
static void test_not_finite(void **state)
{
	(void)state;
	static const float strange[] = {NAN, INFINITY, -INFINITY};
	for (uint64_t seed = 1; seed <= 60; seed++) {
		const struct cop_launch *l = &gpu_launches[seed % GPU_ELEMENTS];
		uint64_t r = seed;
		struct batch b = make_batch(l, &r);
		int times = gpu_between(&r, 1, 6);
		gpu_case("not finite: seed %d, classes %d, batch %d", (int)seed, b.s.c, b.s.batch);
		for (int i = 0; i < times; i++) {
			int image = gpu_between(&r, 0, b.s.batch - 1);
			int class = i % 2 ? b.label[image] : gpu_between(&r, 0, b.s.c - 1);
			b.logits[class * b.s.ld + image] = strange[seed % 3];
		}
		compare(l, &b, true, 1e-2);
		gpu_end();
	}
}

/* Sums of rows in double; as many rows as make one part, several, and the most. */
static void test_column_sums(void **state)
{
	(void)state;
	static const int columns[] = {1, 3, 10, 32, 33, 100}, rows[] = {1, 7, 128, 129, 1000, 5000};
	for (uint64_t seed = 1; seed <= 40; seed++) {
		const struct cop_launch *l = &gpu_launches[seed % GPU_ELEMENTS];
		uint64_t r = seed;
		int c = seed == 1 ? 1 : gpu_one_of(&r, 6, columns), n = seed == 1 ? 70000 : gpu_one_of(&r, 6, rows);
		gpu_case("column_sums: seed %d, rows %d, columns %d, element %d", (int)seed, n, c, (int)l->element);
		size_t count = (size_t)n * (size_t)c;
		float *y = gpu_round(l, count, gpu_random(&r, count, -1, 2)),
		      *sum = gpu_alloc((size_t)c * sizeof(*sum));
		float *want = gpu_floats((size_t)c);
		for (int k = 0; k < c; k++) {
			double all = 0;
			for (int i = 0; i < n; i++)
				all += (double)y[(size_t)i * (size_t)c + (size_t)k];
			want[k] = (float)all;
		}

		gpu_ok(cop_cuda_column_sums(l, n, c, gpu_put_elements(l, y, count), sum,
					    gpu_alloc((size_t)COP_CUDA_PARTS * (size_t)c * sizeof(float))));
		gpu_same_device("sum", (size_t)c, sum, want, 1e-5);
		gpu_end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xent),
		cmocka_unit_test(test_ties),
		cmocka_unit_test(test_not_finite),
		cmocka_unit_test(test_column_sums),
	};
	return cmocka_run_group_tests(tests, gpu_setup, gpu_teardown);
}
