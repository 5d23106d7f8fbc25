/*
 * The plans that cuDNN makes for the convolutions of whole networks, without a GPU: it is told of one by its properties
 * (the text that CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION gives, with the figures of NVIDIA's data sheets and CUDA's
 * programming guide). What is compiled when a plan is made wants a driver's library, and is not proposed without one:
 * CUDA's stub of it will do until the compiled code is to be loaded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cuda/products.h"
#include "nn/models.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* shared: bytes a block may have; memory in GB, clocks in kHz, level 2 cache in bytes */
#define DEVICE(name, version, processors, shared, memory, clock, memory_clock, cache)                               \
	"{\"deviceName\":\"" name "\",\"deviceVer\":" version ",\"multiProcessorCount\":" processors                \
	",\"maxSharedMemoryPerBlockOptin\":" shared ",\"totalGlobalMem\":" memory                                   \
	"000000000,\"smClockRateKHz\":" clock ",\"memClockRateKHz\":" memory_clock ",\"l2CacheSize\":" cache        \
	",\"maxGridSize\":[2147483647,65535,65535],"                                                                \
	"\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152," \
	"\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":32,"                    \
	"\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,\"isTccDriver\":0,"                 \
	"\"supportCoopLaunch\":1,\"cudaDeviceId\":0,\"driverVer\":13000}"

static const struct {
	const char *name, *properties;
} devices[] = {
	{"H200", DEVICE("NVIDIA H200", "900", "132", "232448", "150", "1980000", "3201000", "62914560")},
	{"A100", DEVICE("NVIDIA A100-SXM4-80GB", "800", "108", "166912", "85", "1410000", "1593000", "41943040")},
};
enum { DEVICES = sizeof(devices) / sizeof(devices[0]) };

static const char *const precisions[] = {[COP_FP32] = "fp32", [COP_TF32] = "tf32", [COP_BF16] = "bf16"};

static struct cop_products *open_for(const char *device, enum cop_precision precision)
{
	struct cop_products_choice c = {
		.precision = precision, .deterministic = true, .space = (size_t)1 << 30, .absent = device};
	struct cop_products *p = NULL;
	struct cop_err err;
	if (cop_products_open(&c, &p, &err))
		fail_msg("%s", err.msg);
	return p;
}

/* One plan; with COPPICE_PLANS in the environment it is told. */
static void plan(struct cop_products *p, const struct cop_conv *d, enum cop_conv_way way, bool add, const char *where)
{
	static const char *const ways[] = {"forward", "data", "weights"};
	const struct cop_conv_plan *made = NULL;
	struct cop_err err;
	if (cop_conv_plan(p, d, way, add, &made, &err))
		fail_msg("%s: %s", where, err.msg);
	if (getenv("COPPICE_PLANS"))
		printf("# %s: %d to %d, %dx%d/%d of %dx%d, %s%s: %s, %.1f MiB\n", where, d->in_c, d->out_c,
		       d->kernel[0], d->kernel[1], d->stride[0], d->in_h, d->in_w, ways[way], add ? ", added" : "",
		       cop_conv_plan_about(made), (double)cop_conv_plan_space(made) / (1 << 20));
}

static struct cop_conv conv_of(const struct cop_graph *g, const struct cop_node *n, int batch)
{
	const struct cop_node *in = &g->node[n->input[0]];
	const struct cop_conv_spec *s = &n->conv;
	return (struct cop_conv){.in_c = in->c,
				 .in_h = in->h,
				 .in_w = in->w,
				 .out_c = n->c,
				 .out_h = n->h,
				 .out_w = n->w,
				 .kernel = {s->kernel[0], s->kernel[1]},
				 .stride = {s->stride[0], s->stride[1]},
				 .padding = {s->padding[0], s->padding[1]},
				 .dilation = {s->dilation[0], s->dilation[1]},
				 .groups = s->groups,
				 .batch = batch,
				 .ld = batch};
}

/* All that a training step asks for; depthwise convolutions are our own kernels'. */
static int plan_network(struct cop_products *p, const struct cop_graph *g, int batch, const char *where)
{
	int n = 0;
	for (int i = 0; i < g->n; i++) {
		struct cop_conv d;
		if (g->node[i].op != COP_OP_CONV)
			continue;
		d = conv_of(g, &g->node[i], batch);
		if (d.groups == d.in_c && d.groups == d.out_c)
			continue;
		plan(p, &d, COP_CONV_FORWARD, false, where);
		plan(p, &d, COP_CONV_DATA, false, where);
		plan(p, &d, COP_CONV_DATA, true, where);
		plan(p, &d, COP_CONV_WEIGHTS, false, where);
		n += 4;
	}
	return n;
}

static void test_networks(void **state)
{
	static const struct {
		int name, depth, side, classes, batch;
	} nets[] = {
		{COP_MODEL_RESNET, 20, 32, 10, 128},       {COP_MODEL_RESNET, 20, 32, 10, 1024},
		{COP_MODEL_MOBILENET_V2, 0, 64, 1000, 96}, {COP_MODEL_MOBILENET_V2, 0, 64, 1000, 1024},
		{COP_MODEL_VGG, 16, 32, 10, 128},
	};
	(void)state;
	for (int device = 0; device < DEVICES; device++)
		for (int precision = COP_FP32; precision <= COP_BF16; precision++) {
			struct cop_products *p = open_for(devices[device].properties, (enum cop_precision)precision);
			for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
				struct cop_model_config m = {.name = nets[i].name, .depth = nets[i].depth, .width = 1};
				struct cop_graph g = {0};
				struct cop_err err;
				char where[96];
				snprintf(where, sizeof(where), "%s, %s, %s at %d", devices[device].name,
					 precisions[precision], cop_model_name(nets[i].name), nets[i].batch);
				if (cop_model_build(&g, &m, 3, nets[i].side, nets[i].side, nets[i].classes, &err))
					fail_msg("%s", err.msg);
				assert_true(plan_network(p, &g, nets[i].batch, where) > 50);
				cop_graph_release(&g);
			}
			cop_products_close(p);
		}
}

/* What this was linked with is new enough. */
static void test_check(void **state)
{
	struct cop_err err;
	(void)state;
	if (cop_products_check(&err))
		fail_msg("%s", err.msg);
}

/* Sizes that suit nothing, groups, dilation; each with every precision. */
static void test_odd_shapes(void **state)
{
	static const struct cop_conv odd[] = {
		{5, 13, 11, 7, 7, 6, {3, 3}, {2, 2}, {1, 1}, {1, 1}, 1, 33, 0, NULL},
		{6, 13, 13, 9, 15, 15, {3, 3}, {1, 1}, {2, 2}, {1, 1}, 3, 33, 0, NULL},
		{1, 28, 28, 1, 24, 24, {5, 5}, {1, 1}, {0, 0}, {1, 1}, 1, 1, 0, NULL},
		{16, 1, 100, 32, 1, 92, {1, 3}, {1, 1}, {0, 0}, {1, 4}, 1, 3, 0, NULL},
		{96, 9, 9, 96, 5, 5, {3, 3}, {2, 2}, {1, 1}, {1, 1}, 96, 16, 0, NULL},
		{24, 8, 8, 24, 8, 8, {3, 3}, {1, 1}, {2, 2}, {2, 2}, 1, 16, 0, NULL},
	};
	(void)state;
	for (int precision = COP_FP32; precision <= COP_BF16; precision++) {
		struct cop_products *p = open_for(devices[0].properties, (enum cop_precision)precision);
		for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
			for (int way = COP_CONV_FORWARD; way <= COP_CONV_WEIGHTS; way++)
				for (int add = 0; add <= (way != COP_CONV_FORWARD); add++)
					plan(p, &odd[i], (enum cop_conv_way)way, add, precisions[precision]);
		cop_products_close(p);
	}
}

/* fused convolutions */

/* A node's only reader, past those that compute nothing of their own; NULL: several, or none. */
static const struct cop_node *reader_of(const struct cop_graph *g, int of)
{
	const struct cop_node *reader = NULL;
	for (int i = 0; i < g->n; i++)
		for (int k = 0; k < g->node[i].ninputs; k++)
			if (g->node[i].input[k] == of) {
				if (reader)
					return NULL;
				reader = &g->node[i];
			}
	return reader;
}

static float bound_of(enum cop_op op)
{
	return op == COP_OP_RELU6 ? 6 : INFINITY;
}

static bool is_cut(const struct cop_node *n)
{
	return n && (n->op == COP_OP_RELU || n->op == COP_OP_RELU6);
}

/* All that a training step does around a convolution. */
static struct cop_conv_fusion around(const struct cop_graph *g, int i)
{
	const struct cop_node *n = &g->node[i], *from = &g->node[n->input[0]], *to = reader_of(g, i);
	struct cop_conv_fusion f = {
		.from = -INFINITY, .to = INFINITY, .bias = n->bias, .lo = -INFINITY, .hi = INFINITY};
	f.sums = to && to->op == COP_OP_BATCH_NORM;
	if (is_cut(to)) {
		f.lo = 0;
		f.hi = bound_of(to->op);
	}
	if (is_cut(from) && g->node[from->input[0]].op == COP_OP_BATCH_NORM) {
		f.from = 0;
		f.to = bound_of(from->op);
		from = &g->node[from->input[0]];
	}
	f.read = from->op == COP_OP_BATCH_NORM;
	return f;
}

enum { FUSED_ALL, FUSED_READING, FUSED_REST, FUSED_NOT, FUSIONS };

/* The largest of some fusions that cuDNN makes a plan of, as far as it can be made here. */
static int fuse(struct cop_products *p, const struct cop_conv *d, const struct cop_conv_fusion *all)
{
	struct cop_conv_fusion reading = *all, rest = *all;
	const struct cop_conv_fusion *tried[] = {all, &reading, &rest};
	const struct cop_conv_plan *made = NULL;
	reading.bias = reading.sums = rest.read = false;
	reading.lo = rest.from = -INFINITY;
	reading.hi = rest.to = INFINITY;
	for (int i = 0; i < FUSED_NOT; i++) {
		const struct cop_conv_fusion *f = tried[i];
		struct cop_err err = {0};
		int rc;
		if (!f->read && !f->bias && !f->sums && !(f->hi < INFINITY))
			continue;
		rc = cop_conv_plan_fused(p, d, f, &made, &err);
		if (rc && rc != COP_EMISSING)
			fail_msg("%s", err.msg);
		if (getenv("COPPICE_PLANS"))
			printf("# %d to %d, %dx%d/%d of %dx%d%s%s%s: %s\n", d->in_c, d->out_c, d->kernel[0],
			       d->kernel[1], d->stride[0], d->in_h, d->in_w, f->read ? ", read" : "",
			       f->bias ? ", bias" : "", f->sums ? ", sums" : "", rc ? "no" : cop_conv_plan_about(made));
		if (!rc)
			return i;
	}
	return FUSED_NOT;
}

/* cuDNN asks for the driver's library by its name, which a stub that is loaded from elsewhere has too. */
static bool has_driver(void)
{
	return dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) || dlopen(CUDA_STUB, RTLD_NOW | RTLD_GLOBAL);
}

/* The last test: with the library there, plans of single operations would be compiled as well. */
static void test_fused(void **state)
{
	static const struct {
		int name, depth, side, classes, batch;
		bool quick; /* a plan is compiled, which takes a second */
	} nets[] = {
		{COP_MODEL_RESNET, 20, 32, 10, 128, true},
		{COP_MODEL_MOBILENET_V2, 0, 64, 1000, 96, false},
		{COP_MODEL_VGG, 16, 32, 10, 128, false},
	};
	struct cop_products *p;
	(void)state;
	if (!has_driver()) {
		printf("ok fused plans # SKIP neither a driver's library nor CUDA's stub of it, " CUDA_STUB "\n");
		skip();
	}
	p = open_for(devices[0].properties, COP_BF16);
	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		struct cop_model_config m = {.name = nets[i].name, .depth = nets[i].depth, .width = 1};
		struct cop_graph g = {0};
		struct cop_err err;
		int n[FUSIONS] = {0}, convs = 0;
		if (!nets[i].quick && !getenv("COPPICE_PLANS"))
			continue;
		if (cop_model_build(&g, &m, 3, nets[i].side, nets[i].side, nets[i].classes, &err))
			fail_msg("%s", err.msg);
		for (int k = 0; k < g.n; k++) {
			struct cop_conv d;
			struct cop_conv_fusion f;
			if (g.node[k].op != COP_OP_CONV)
				continue;
			d = conv_of(&g, &g.node[k], nets[i].batch);
			if (d.groups == d.in_c && d.groups == d.out_c)
				continue;
			f = around(&g, k);
			n[fuse(p, &d, &f)]++;
			convs++;
		}
		printf("# %s, bf16, %s at %d: of %d convolutions, %d with all around them, %d with reading, %d with "
		       "what follows, %d alone\n",
		       devices[0].name, cop_model_name(nets[i].name), nets[i].batch, convs, n[FUSED_ALL],
		       n[FUSED_READING], n[FUSED_REST], n[FUSED_NOT]);
		assert_true(n[FUSED_NOT] < convs);
		cop_graph_release(&g);
	}
	cop_products_close(p);
}

static void test_kept(void **state)
{
	struct cop_products *p = open_for(devices[0].properties, COP_FP32);
	struct cop_conv d = {16, 8, 8, 16, 8, 8, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 1, 16, 16, NULL};
	const struct cop_conv_plan *first = NULL, *second = NULL;
	const struct cop_matrix_plan *matrix = NULL;
	struct cop_matrix_product product = {.m = 4, .n = 4, .k = 4};
	struct cop_err err = {0};
	(void)state;
	assert_int_equal(cop_conv_plan(p, &d, COP_CONV_DATA, false, &first, &err), 0);
	d.ld = 32;
	assert_int_equal(cop_conv_plan(p, &d, COP_CONV_DATA, false, &second, &err), 0);
	assert_ptr_equal(first, second);
	assert_int_equal(cop_conv_plan(p, &d, COP_CONV_DATA, true, &second, &err), 0);
	assert_ptr_not_equal(first, second);
	d.batch = 17;
	assert_int_equal(cop_conv_plan(p, &d, COP_CONV_DATA, false, &second, &err), 0);
	assert_ptr_not_equal(first, second);
	/* what cannot be run says so */
	assert_int_equal(cop_conv_run(first, NULL, NULL, NULL, NULL, NULL, &err), COP_EMISSING);
	assert_int_equal(cop_matrix_plan(p, &product, &matrix, &err), COP_EMISSING);
	cop_products_close(p);
}

static void test_refusals(void **state)
{
	struct cop_products *p = open_for(devices[0].properties, COP_FP32);
	struct cop_products_choice nowhere = {.precision = COP_FP32, .space = 1 << 20, .absent = "{}"};
	struct cop_products *none = NULL;
	struct cop_conv wrong = {16, 8, 8, 16, 9, 8, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 1, 16, 16, NULL};
	const struct cop_conv_plan *made = NULL;
	struct cop_err err = {0};
	(void)state;
	assert_int_equal(cop_conv_plan(p, &wrong, COP_CONV_FORWARD, false, &made, &err), COP_EMISSING);
	assert_non_null(strstr(err.msg, "16 to 16 channels, kernel 3x3, 16 images of 8x8"));
	assert_non_null(strstr(err.msg, "CUDNN_STATUS_"));
	assert_null(strchr(err.msg, '\n'));
	assert_int_equal(cop_products_open(&nowhere, &none, &err), COP_EFAILED);
	assert_non_null(strstr(err.msg, "cuDNN cannot describe the device: CUDNN_STATUS_"));
	cop_products_close(p);
	cop_products_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),     cmocka_unit_test(test_refusals), cmocka_unit_test(test_odd_shapes),
		cmocka_unit_test(test_networks), cmocka_unit_test(test_fused),    cmocka_unit_test(test_check),
	};
	char libraries[80];
	printf("# %s\n", cop_products_libraries(libraries, sizeof(libraries)));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
