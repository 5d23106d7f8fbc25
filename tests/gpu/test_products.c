/* cuda/products.h against the CPU backend: convolutions and linear layers, each way, added to what is there or not. */
#include "values.h"

#include "cuda/products.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cop_products *products[GPU_ELEMENTS], *fusing[GPU_ELEMENTS]; /* fp32 and bf16, TF32 and bf16 */

static void must(int rc, const struct cop_err *err)
{
	if (rc)
		gpu_fail("%s", err->msg);
}

static int open_both(void **state)
{
	struct cop_err err;
	if (gpu_setup(state))
		return -1;
	for (int i = 0; i < GPU_ELEMENTS; i++) {
		struct cop_products_choice c = {.precision = i == COP_ELEMENT_BF16 ? COP_BF16 : COP_FP32,
						.deterministic = true,
						.space = (size_t)256 << 20};
		if (!cop_products_open(&c, &products[i], &err)) {
			c.precision = i == COP_ELEMENT_BF16 ? COP_BF16 : COP_TF32;
			if (!cop_products_open(&c, &fusing[i], &err))
				continue;
		}
		print_error("%s\n", err.msg);
		return -1;
	}
	return 0;
}

static int close_both(void **state)
{
	for (int i = 0; i < GPU_ELEMENTS; i++) {
		cop_products_close(products[i]);
		cop_products_close(fusing[i]);
	}
	return gpu_teardown(state);
}

/* Whether what is not fused is tried in TF32 now, which is floats alone. */
static bool in_tf32;

static struct cop_products *products_of(const struct cop_launch *l)
{
	return in_tf32 ? fusing[l->element] : products[l->element];
}

static double tolerance(const struct cop_launch *l)
{
	return in_tf32 ? 2e-3 : gpu_tolerance(l);
}

/* A small convolution of any kind. */
static struct cop_conv random_conv(uint64_t *r)
{
	static const int channels[] = {1, 2, 3, 5, 8, 16}, batches[] = {1, 3, 16, 33};
	struct cop_conv d = {.batch = gpu_one_of(r, 4, batches)};
	d.groups = gpu_between(r, 0, 3) ? 1 : gpu_between(r, 1, 3);
	d.in_c = d.groups * gpu_one_of(r, 6, channels);
	d.out_c = d.groups * gpu_one_of(r, 6, channels);
	for (int i = 0; i < 2; i++) {
		d.kernel[i] = gpu_between(r, 1, 3);
		d.stride[i] = gpu_between(r, 1, 2);
		d.dilation[i] = gpu_between(r, 1, 2);
		d.padding[i] = gpu_between(r, 0, d.kernel[i] - 1);
	}
	if (!gpu_between(r, 0, 3)) { /* a product of matrices */
		d.groups = d.kernel[0] = d.kernel[1] = d.stride[0] = d.stride[1] = 1;
		d.padding[0] = d.padding[1] = 0;
	}
	d.in_h = gpu_between(r, 5, 9);
	d.in_w = gpu_between(r, 5, 9);
	d.out_h = (d.in_h + 2 * d.padding[0] - d.dilation[0] * (d.kernel[0] - 1) - 1) / d.stride[0] + 1;
	d.out_w = (d.in_w + 2 * d.padding[1] - d.dilation[1] * (d.kernel[1] - 1) - 1) / d.stride[1] + 1;
	d.ld = cop_leading(&cop_cpu_backend, d.batch);
	return d;
}

/* Weights (out_c, taps, in_c/groups) of the products from (out_c, in_c/groups, taps) of the CPU's, or back. */
static float *reordered(const struct cop_conv *d, bool back, const float *from)
{
	size_t taps = (size_t)d->kernel[0] * (size_t)d->kernel[1], in = (size_t)(d->in_c / d->groups);
	float *to = gpu_floats((size_t)d->out_c * in * taps);
	for (size_t o = 0; o < (size_t)d->out_c; o++)
		for (size_t c = 0; c < in; c++)
			for (size_t t = 0; t < taps; t++) {
				size_t theirs = (o * in + c) * taps + t, ours = (o * taps + t) * in + c;
				to[back ? theirs : ours] = from[back ? ours : theirs];
			}
	return to;
}

static struct cop_shape shape_of(const struct cop_conv *d, bool out)
{
	return out ? (struct cop_shape){d->out_c, d->out_h, d->out_w, d->batch, d->ld}
		   : (struct cop_shape){d->in_c, d->in_h, d->in_w, d->batch, d->ld};
}

/* Runs a plan into `out`; asked for twice, it is the same. */
static void run(const struct cop_launch *l, const struct cop_conv *d, enum cop_conv_way way, bool add, const void *a,
		const void *b, void *out)
{
	const struct cop_conv_plan *plan = NULL, *again = NULL;
	struct cop_err err = {0};
	size_t space;
	must(cop_conv_plan(products_of(l), d, way, add, &plan, &err), &err);
	must(cop_conv_plan(products_of(l), d, way, add, &again, &err), &err);
	assert_ptr_equal(plan, again);
	space = cop_conv_plan_space(plan);
	must(cop_conv_run(plan, l->stream, a, b, out, space ? gpu_alloc(space) : NULL, &err), &err);
}

static const struct cop_reading as_it_is = {.lo = -INFINITY, .hi = INFINITY};

static void test_conv(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 120; seed++) {
		const struct cop_launch *l = &gpu_launches[seed % GPU_ELEMENTS];
		uint64_t r = seed;
		if (in_tf32 && l->element != COP_ELEMENT_F32)
			continue;
		struct cop_conv d = random_conv(&r);
		struct cop_shape in = shape_of(&d, false), out = shape_of(&d, true);
		size_t nw = (size_t)d.out_c * (size_t)(d.in_c / d.groups) * (size_t)(d.kernel[0] * d.kernel[1]);
		bool add = seed / 2 % 2;
		gpu_case("conv: seed %d, element %d, %d to %d channels in %d groups, kernel %dx%d, stride %dx%d, "
			 "padding %dx%d, dilation %dx%d, %d images of %dx%d, add %d",
			 (int)seed, (int)l->element, d.in_c, d.out_c, d.groups, d.kernel[0], d.kernel[1], d.stride[0],
			 d.stride[1], d.padding[0], d.padding[1], d.dilation[0], d.dilation[1], d.batch, d.in_h, d.in_w,
			 add);
		float *x = gpu_random_activation(l, &in, &r, -1, 1), *dy = gpu_random_activation(l, &out, &r, -1, 1);
		float *w = gpu_round(l, nw, gpu_random(&r, nw, -1, 1)),
		      *before = gpu_random_activation(l, &in, &r, -1, 1);
		float *dw_before = gpu_random(&r, nw, -1, 1);
		void *gx = gpu_put_activation(l, &in, x), *gdy = gpu_put_activation(l, &out, dy);
		void *gw = gpu_put_elements(l, reordered(&d, false, w), nw);

		/* the CPU's */
		float *y = gpu_host_activation(&out), *dx = gpu_host_activation(&in), *dw = gpu_floats(nw);
		struct cop_conv_use forwards = {.backward = false}, backwards = {.backward = true, .data = true};
		size_t floats = cop_cpu_backend.conv_space(&d, &backwards),
		       forward = cop_cpu_backend.conv_space(&d, &forwards);
		float *space = gpu_host((floats > forward ? floats : forward) * sizeof(float));
		struct cop_activation value = {x, as_it_is};
		struct cop_output output = {.y = y, .lo = -INFINITY, .hi = INFINITY};
		struct cop_gradient gradient = {.g = dy};
		struct cop_sink sink = {.g = dx, .add = add, .of = value};
		memcpy(dx, before, gpu_count(&in) * sizeof(float));
		cop_cpu_backend.conv_forward(&d, &value, w, &output, space);
		cop_cpu_backend.conv_backward(&d, &gradient, &value, w, &sink, dw, NULL, space);

		/* and theirs */
		void *gy = gpu_alloc_activation(l, &out);
		void *gdx = add ? gpu_put_activation(l, &in, before) : gpu_alloc_activation(l, &in);
		float *start = reordered(&d, false, dw_before);
		void *gdw = add ? gpu_put(start, nw * sizeof(float)) : gpu_alloc(nw * sizeof(float));
		run(l, &d, COP_CONV_FORWARD, false, gx, gw, gy);
		gpu_same_activation("y", l, &out, gy, y, tolerance(l));
		run(l, &d, COP_CONV_DATA, add, gdy, gw, gdx);
		gpu_same_activation("dx", l, &in, gdx, dx, tolerance(l));
		run(l, &d, COP_CONV_WEIGHTS, add, gx, gdy, gdw);
		for (size_t i = 0; add && i < nw; i++)
			dw[i] += dw_before[i];
		gpu_same_device("dw", nw, gdw, reordered(&d, false, dw), tolerance(l));
		gpu_end();
	}
}

static struct cop_conv_fusion random_fusion(uint64_t *r)
{
	static const float most[] = {INFINITY, INFINITY, 6};
	int in = gpu_between(r, 0, 2), out = gpu_between(r, 0, 2);
	struct cop_conv_fusion f = {.read = gpu_between(r, 0, 1),
				    .from = -INFINITY,
				    .to = INFINITY,
				    .bias = gpu_between(r, 0, 1),
				    .lo = out ? 0 : -INFINITY,
				    .hi = most[out],
				    .sums = gpu_between(r, 0, 1)};
	if (f.read) {
		f.from = in ? 0 : -INFINITY;
		f.to = most[in];
	}
	return f;
}

/* Fails unless the sums are those of y - about and its square; y as it lies on the device. */
static void same_sums(const struct cop_launch *l, const struct cop_shape *s, const void *y, const float *about,
		      const struct cop_sums *sums)
{
	size_t n = gpu_elements(s), bytes = 2 * (size_t)s->c * sizeof(double);
	double *want = memset(gpu_host(bytes), 0, bytes), *scale = memset(gpu_host(bytes), 0, bytes);
	float *got = gpu_get_elements(l, y, n);
	for (size_t i = 0; i < n; i++) {
		size_t c = i % (size_t)s->c;
		double v = (double)got[i], d = v - (double)about[c];
		want[2 * c] += d;
		want[2 * c + 1] += d * d;
		scale[2 * c] += fabs(v) + fabs((double)about[c]);
		scale[2 * c + 1] += v * v + (double)about[c] * (double)about[c];
	}
	/* an engine may take them before y was rounded */
	gpu_same_sums(sums, s->c, want, scale, l->element == COP_ELEMENT_BF16 ? 4e-3 : 1e-5);
}

/* A fused plan's run beside the CPU backend; false where no engine does it. */
static bool fuse(const struct cop_launch *l, const struct cop_conv *d, const struct cop_conv_fusion *f, uint64_t *r)
{
	const struct cop_conv_plan *plan = NULL, *again = NULL;
	struct cop_shape in = shape_of(d, false), out = shape_of(d, true);
	size_t nw = (size_t)d->out_c * (size_t)(d->in_c / d->groups) * (size_t)(d->kernel[0] * d->kernel[1]), space;
	struct cop_err err = {0};
	int rc = cop_conv_plan_fused(fusing[l->element], d, f, &plan, &err);
	assert_int_equal(cop_conv_plan_fused(fusing[l->element], d, f, &again, &err), rc);
	assert_ptr_equal(plan, again);
	if (rc == COP_EMISSING)
		return false;
	must(rc, &err);

	float *x = gpu_random_activation(l, &in, r, -1, 1), *w = gpu_round(l, nw, gpu_random(r, nw, -1, 1));
	float *scale, *shift, *bias, *about, *y = gpu_host_activation(&out);
	struct cop_conv_operands o = {.x = gpu_put_activation(l, &in, x),
				      .w = gpu_put_elements(l, reordered(d, false, w), nw),
				      .y = gpu_alloc_activation(l, &out),
				      .scale = gpu_channels(r, d->in_c, -2, 2, &scale),
				      .shift = gpu_channels(r, d->in_c, -1, 2, &shift),
				      .bias = gpu_channels(r, d->out_c, -1, 1, &bias),
				      .sum = gpu_alloc((size_t)d->out_c * sizeof(float)),
				      .square = gpu_alloc((size_t)d->out_c * sizeof(float))};
	float *gabout = gpu_channels(r, d->out_c, -1, 1, &about);
	space = cop_conv_plan_space(plan);
	must(cop_conv_run_fused(plan, l->stream, &o, space ? gpu_alloc(space) : NULL, &err), &err);

	struct cop_conv_use forwards = {.backward = false};
	struct cop_activation value = {x, as_it_is};
	if (f->read)
		value.as = (struct cop_reading){scale, shift, f->from, f->to};
	struct cop_output output = {.y = y, .bias = f->bias ? bias : NULL, .lo = f->lo, .hi = f->hi};
	cop_cpu_backend.conv_forward(d, &value, w, &output,
				     gpu_host(cop_cpu_backend.conv_space(d, &forwards) * sizeof(float)));
	/* TF32 has three digits, and bf16 loses one more in what is read */
	gpu_same_activation("y", l, &out, o.y, y, l->element == COP_ELEMENT_BF16 ? 1e-2 : 2e-3);
	if (f->sums) {
		struct cop_sums sums = gpu_sums_room(d->out_c, COP_CUDA_PARTS, true);
		gpu_ok(cop_cuda_sums_about(l, d->out_c, (double)d->batch * d->out_h * d->out_w, o.sum, o.square, gabout,
					   &sums));
		same_sums(l, &out, o.y, about, &sums);
	}
	return true;
}

static void test_fused(void **state)
{
	int done = 0, wanted = 0;
	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		const struct cop_launch *l = &gpu_launches[seed % GPU_ELEMENTS];
		uint64_t r = seed;
		struct cop_conv d = random_conv(&r);
		if (seed / 2 % 2) { /* what engines on tensor cores like */
			d.groups = 1;
			d.in_c = 8 * gpu_between(&r, 1, 4);
			d.out_c = 8 * gpu_between(&r, 1, 4);
		}
		struct cop_conv_fusion f = random_fusion(&r);
		if (!f.read && !f.bias && !(f.lo > -INFINITY) && !f.sums)
			continue;
		gpu_case("fused: seed %d, element %d, %d to %d channels in %d groups, kernel %dx%d, stride %dx%d, "
			 "padding %dx%d, dilation %dx%d, %d images of %dx%d, read %d (%g to %g), bias %d, %g to %g, "
			 "sums %d",
			 (int)seed, (int)l->element, d.in_c, d.out_c, d.groups, d.kernel[0], d.kernel[1], d.stride[0],
			 d.stride[1], d.padding[0], d.padding[1], d.dilation[0], d.dilation[1], d.batch, d.in_h, d.in_w,
			 f.read, (double)f.from, (double)f.to, f.bias, (double)f.lo, (double)f.hi, f.sums);
		done += fuse(l, &d, &f, &r);
		wanted++;
		gpu_end();
	}
	printf("# %d of %d fusions are offered\n", done, wanted);
	if (!done) {
		printf("ok fused convolutions # SKIP no engine does any\n");
		skip();
	}
}

/* fp32 is exact: no engine on tensor cores. */
static void test_not_fused(void **state)
{
	uint64_t r = 1;
	struct cop_conv d = random_conv(&r);
	struct cop_conv_fusion f = {.from = -INFINITY, .to = INFINITY, .lo = -INFINITY, .hi = INFINITY, .sums = true};
	const struct cop_conv_plan *plan = NULL;
	struct cop_err err = {0};
	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(cop_conv_plan_fused(products[COP_ELEMENT_F32], &d, &f, &plan, &err), COP_EMISSING);
	assert_null(plan);
}

/* (columns, rows) on the host becomes (rows, columns): the CPU has the batch innermost. `columns` of them are read. */
static float *turned(const float *from, int rows, int columns, int ld)
{
	float *to = gpu_floats((size_t)rows * (size_t)columns);
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < columns; j++)
			to[(size_t)j * (size_t)rows + (size_t)i] = from[(size_t)i * (size_t)ld + (size_t)j];
	return to;
}

static void multiply(const struct cop_launch *l, const struct cop_matrix_product *d, const void *a, const void *b,
		     const void *bias, void *c)
{
	const struct cop_matrix_plan *plan = NULL, *again = NULL;
	struct cop_err err = {0};
	size_t space;
	must(cop_matrix_plan(products_of(l), d, &plan, &err), &err);
	must(cop_matrix_plan(products_of(l), d, &again, &err), &err);
	assert_ptr_equal(plan, again);
	space = cop_matrix_plan_space(plan);
	must(cop_matrix_run(plan, l->stream, a, b, bias, c, space ? gpu_alloc(space) : NULL, &err), &err);
}

/* (rows, ld) whose columns from `batch` on are 0. */
static float *random_batch(const struct cop_launch *l, uint64_t *r, int rows, int batch, int ld)
{
	size_t n = (size_t)rows * (size_t)ld;
	float *x = gpu_round(l, n, gpu_random(r, n, -1, 1));
	for (size_t i = 0; i < n; i++)
		if (i % (size_t)ld >= (size_t)batch)
			x[i] = 0;
	return x;
}

static void same_batch(const char *what, const struct cop_launch *l, const void *device, const float *want, int rows,
		       int batch, int ld)
{
	size_t n = (size_t)rows * (size_t)batch;
	gpu_same(what, n, gpu_get_elements(l, device, n), turned(want, rows, batch, ld), tolerance(l));
}

static void test_linear(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		static const int batches[] = {1, 3, 16, 33};
		const struct cop_launch *l = &gpu_launches[seed % GPU_ELEMENTS];
		uint64_t r = seed;
		if (in_tf32 && l->element != COP_ELEMENT_F32)
			continue;
		int batch = gpu_one_of(&r, 4, batches);
		struct cop_linear d = {.in = gpu_between(&r, 1, 70),
				       .out = gpu_between(&r, 1, 50),
				       .ld = cop_leading(&cop_cpu_backend, batch),
				       .relu = seed / 2 % 2,
				       .add = seed / 4 % 2};
		bool bias = seed / 8 % 2;
		size_t nw = (size_t)d.in * (size_t)d.out, nx = (size_t)d.in * (size_t)d.ld,
		       ny = (size_t)d.out * (size_t)d.ld;
		gpu_case("linear: seed %d, element %d, %d to %d, batch %d, relu %d, add %d, bias %d", (int)seed,
			 (int)l->element, d.in, d.out, batch, d.relu, d.add, bias);
		float *x = random_batch(l, &r, d.in, batch, d.ld), *dy = random_batch(l, &r, d.out, batch, d.ld);
		float *w = gpu_round(l, nw, gpu_random(&r, nw, -1, 1)),
		      *before = random_batch(l, &r, d.in, batch, d.ld);
		float *b = gpu_round(l, (size_t)d.out, gpu_random(&r, (size_t)d.out, -1, 1));
		float *y = gpu_host(ny * sizeof(float)), *dx = gpu_host(nx * sizeof(float)), *dw = gpu_floats(nw);
		size_t mx = (size_t)d.in * (size_t)batch, my = (size_t)d.out * (size_t)batch;
		void *gx = gpu_put_elements(l, turned(x, d.in, batch, d.ld), mx);
		void *gdy = gpu_put_elements(l, turned(dy, d.out, batch, d.ld), my);
		void *gw = gpu_put_elements(l, w, nw), *gb = gpu_put_elements(l, b, (size_t)d.out);
		void *gy = gpu_alloc(gpu_bytes(l, my)), *gdw = gpu_alloc(nw * sizeof(float));
		void *gdx = d.add ? gpu_put_elements(l, turned(before, d.in, batch, d.ld), mx)
				  : gpu_alloc(gpu_bytes(l, mx));

		memcpy(dx, before, nx * sizeof(float));
		cop_cpu_backend.linear_forward(&d, w, bias ? b : NULL, x, y);
		cop_cpu_backend.linear_backward_data(&d, w, dy, x, dx);
		cop_cpu_backend.linear_backward_weights(&d, dy, x, dw, NULL);

		struct cop_matrix_product forward = {
			.m = batch, .n = d.out, .k = d.in, .b_turned = true, .bias = bias, .relu = d.relu};
		struct cop_matrix_product data = {.m = batch, .n = d.in, .k = d.out, .add = d.add};
		struct cop_matrix_product weights = {.m = d.out, .n = d.in, .k = batch, .a_turned = true, .wide = true};
		multiply(l, &forward, gx, gw, bias ? gb : NULL, gy);
		same_batch("y", l, gy, y, d.out, batch, d.ld);
		multiply(l, &data, gdy, gw, NULL, gdx);
		same_batch("dx", l, gdx, dx, d.in, batch, d.ld);
		multiply(l, &weights, gdy, gx, NULL, gdw);
		gpu_same_device("dw", nw, gdw, dw, tolerance(l));
		gpu_end();
	}
}

static void test_tf32(void **state)
{
	in_tf32 = true;
	test_conv(state);
	test_linear(state);
	in_tf32 = false;
}

static void test_widen(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		const struct cop_launch *l = &gpu_launches[seed % GPU_ELEMENTS];
		uint64_t r = seed;
		size_t n = (size_t)gpu_between(&r, 1, 3000);
		bool add = seed / 2 % 2;
		gpu_case("widen: seed %d, n %zu, element %d, add %d", (int)seed, n, (int)l->element, add);
		float *x = gpu_round(l, n, gpu_random(&r, n, -2, 2)), *before = gpu_random(&r, n, -2, 2);
		void *gx = gpu_put_elements(l, x, n),
		     *y = add ? gpu_put(before, n * sizeof(float)) : gpu_alloc(n * sizeof(float));
		gpu_ok(cop_cuda_widen(l, n, gx, add, y));
		for (size_t i = 0; add && i < n; i++)
			x[i] += before[i];
		gpu_same_device("y", n, y, x, 1e-7);
		gpu_end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conv),   cmocka_unit_test(test_fused), cmocka_unit_test(test_not_fused),
		cmocka_unit_test(test_linear), cmocka_unit_test(test_tf32),  cmocka_unit_test(test_widen),
	};
	return cmocka_run_group_tests(tests, open_both, close_both);
}
