/*
 * Convolutions by cuDNN's graph interface (cudnn_graph.h, "Graph API" in NVIDIA's manual): tensors and one operation
 * make a graph; the heuristics propose engines for it, best first; the first that keeps the rules of the choice, whose
 * plan can be made and whose workspace is within bounds, is taken. Which it is depends on the device, the library's
 * version and the shape, so the bits are the same from run to run.
 *
 * The device is told to cuDNN by a descriptor of its properties, which can be read from text: so plans can be made, and
 * tested, where there is no such device.
 */
#include "fail.h"
#include "products_priv.h"

#include <cudnn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLDEST 90800
#if CUDNN_VERSION < OLDEST
#error "cuDNN 9.8 or newer is needed, for descriptors of a device's properties"
#endif

typedef cudnnBackendDescriptor_t descriptor;

enum { TENSORS = 3, ENGINES = 64 /* the most proposals that are looked at */, PILE = 16 };

/* Descriptors that live and die together. */
struct pile {
	descriptor of[PILE];
	int n;
};

struct cop_dnn {
	cudnnHandle_t handle; /* NULL: the device is not here */
	struct pile pile;
	descriptor device;
	enum cop_precision precision;
	bool deterministic;
	size_t space;
};

struct cop_dnn_plan {
	struct cop_dnn *dnn;
	struct pile pile;
	descriptor graph, plan;
	int64_t space;
	int64_t uid[TENSORS]; /* of a, b, out */
	char about[COP_PRODUCTS_ABOUT];
};

/* errors */

/* The library's own account of its last error, in one line of at most size - 1 characters. */
static const char *last_words(char *buf, size_t size)
{
	buf[0] = '\0';
	cudnnGetLastErrorString(buf, size);
	for (char *p = buf; *p; p++)
		if (*p == '\n' || *p == '\r' || *p == '\t')
			*p = ' ';
	return buf;
}

static bool out_of_memory(cudnnStatus_t s)
{
	return s == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
	       s == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
}

static int check(cudnnStatus_t s, const char *what, struct cop_err *err)
{
	char words[400];
	if (s == CUDNN_STATUS_SUCCESS)
		return 0;
	last_words(words, sizeof(words));
	return cop_cuda_fail(err, COP_EFAILED, "%scuDNN cannot %s: %s%s%s", out_of_memory(s) ? "out of memory: " : "",
			     what, cudnnGetErrorString(s), *words ? ": " : "", words);
}

/* descriptors */

static void clear(struct pile *p)
{
	while (p->n > 0)
		cudnnBackendDestroyDescriptor(p->of[--p->n]);
}

/* *d becomes a new descriptor of the pile's. */
static cudnnStatus_t make(struct pile *p, cudnnBackendDescriptorType_t type, descriptor *d)
{
	cudnnStatus_t s;
	if (p->n == PILE)
		return CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND;
	s = cudnnBackendCreateDescriptor(type, d);
	if (s == CUDNN_STATUS_SUCCESS)
		p->of[p->n++] = *d;
	return s;
}

/* Attributes are set until one fails; `*s` says which status came of it. */
static void set(cudnnStatus_t *s, descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
		int64_t n, const void *values)
{
	if (*s == CUDNN_STATUS_SUCCESS)
		*s = cudnnBackendSetAttribute(d, name, type, n, values);
}

static void set_descriptor(cudnnStatus_t *s, descriptor d, cudnnBackendAttributeName_t name, descriptor value)
{
	set(s, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void finalize(cudnnStatus_t *s, descriptor d)
{
	if (*s == CUDNN_STATUS_SUCCESS)
		*s = cudnnBackendFinalize(d);
}

/* (dims[0], dims[1], dims[2], dims[3]) as cuDNN counts them, (N,C,H,W), in memory (N,H,W,C). */
static cudnnStatus_t tensor(struct pile *p, int64_t uid, cudnnDataType_t type, const int64_t dims[4], descriptor *t)
{
	int64_t strides[4] = {dims[1] * dims[2] * dims[3], 1, dims[3] * dims[1], dims[1]};
	int64_t alignment = 16;
	cudnnStatus_t s = make(p, CUDNN_BACKEND_TENSOR_DESCRIPTOR, t);
	set(&s, *t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
	set(&s, *t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
	set(&s, *t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
	set(&s, *t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
	set(&s, *t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
	finalize(&s, *t);
	return s;
}

static cudnnStatus_t convolution(struct pile *p, const struct cop_conv *d, descriptor *c)
{
	cudnnDataType_t type = CUDNN_DATA_FLOAT;
	cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
	int64_t spatial = 2;
	int64_t padding[2] = {d->padding[0], d->padding[1]};
	int64_t stride[2] = {d->stride[0], d->stride[1]};
	int64_t dilation[2] = {d->dilation[0], d->dilation[1]};
	cudnnStatus_t s = make(p, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, c);
	set(&s, *c, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
	set(&s, *c, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
	set(&s, *c, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &spatial);
	set(&s, *c, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, padding);
	set(&s, *c, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, padding);
	set(&s, *c, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
	set(&s, *c, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation);
	finalize(&s, *c);
	return s;
}

/* What a way is called by cuDNN: the operation and its attributes. a, b, out: as in products.h. */
static const struct way {
	const char *name;
	cudnnBackendDescriptorType_t operation;
	cudnnBackendAttributeName_t a, b, out, conv, alpha, beta;
} ways[] = {
	[COP_CONV_FORWARD] = {"output", CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
	[COP_CONV_DATA] = {"data gradient", CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
			   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
			   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
			   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
			   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
			   CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
	[COP_CONV_WEIGHTS] = {"weights' gradient", CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
			      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

/* p->graph becomes the operation's. */
static cudnnStatus_t graph(struct cop_dnn_plan *p, const struct cop_conv *d, enum cop_conv_way way, bool add)
{
	int64_t x[4] = {d->batch, d->in_c, d->in_h, d->in_w}, y[4] = {d->batch, d->out_c, d->out_h, d->out_w};
	int64_t w[4] = {d->out_c, d->in_c / d->groups, d->kernel[0], d->kernel[1]};
	const int64_t *dims[3][TENSORS] = {
		[COP_CONV_FORWARD] = {x, w, y}, [COP_CONV_DATA] = {y, w, x}, [COP_CONV_WEIGHTS] = {x, y, w}};
	cudnnDataType_t element = p->dnn->precision == COP_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
	const struct way *as = &ways[way];
	descriptor t[TENSORS] = {NULL}, conv = NULL, operation = NULL;
	float alpha = 1, beta = add;
	cudnnStatus_t s = CUDNN_STATUS_SUCCESS;
	for (int i = 0; i < TENSORS && s == CUDNN_STATUS_SUCCESS; i++) {
		p->uid[i] = i + 1;
		s = tensor(&p->pile, p->uid[i], element, dims[way][i], &t[i]);
	}
	if (s == CUDNN_STATUS_SUCCESS)
		s = convolution(&p->pile, d, &conv);
	if (s == CUDNN_STATUS_SUCCESS)
		s = make(&p->pile, as->operation, &operation);
	set_descriptor(&s, operation, as->a, t[0]);
	set_descriptor(&s, operation, as->b, t[1]);
	set_descriptor(&s, operation, as->out, t[2]);
	set_descriptor(&s, operation, as->conv, conv);
	set(&s, operation, as->alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
	set(&s, operation, as->beta, CUDNN_TYPE_FLOAT, 1, &beta);
	finalize(&s, operation);
	if (s == CUDNN_STATUS_SUCCESS)
		s = make(&p->pile, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &p->graph);
	set_descriptor(&s, p->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
	finalize(&s, p->graph);
	return s;
}

/* engines */

/* Whether the choice's rules allow an engine that says these things of itself. */
static bool allowed(const struct cop_dnn *d, const cudnnBackendNumericalNote_t *note, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		switch (note[i]) {
		case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
			if (d->deterministic)
				return false;
			break;
		/* on floats, tensor cores take TF32 */
		case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
		case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
			if (d->precision == COP_FP32)
				return false;
			break;
		case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
			return false;
		/* tiles of the input: 4x4 gives 2x2 outputs and rounds like a plain sum, larger ones lose digits */
		case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
		case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
			return false;
		default:
			break;
		}
	return true;
}

/* The engine of a configuration: its number, and whether the rules allow it. */
static cudnnStatus_t examine(const struct cop_dnn *d, descriptor config, int64_t *number, bool *allow)
{
	cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
	int64_t got = 0, notes = 0;
	descriptor engine;
	cudnnStatus_t s = cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine);
	if (s != CUDNN_STATUS_SUCCESS)
		return s;
	s = cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &got,
				     &engine);
	if (s == CUDNN_STATUS_SUCCESS)
		s = cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &got, number);
	if (s == CUDNN_STATUS_SUCCESS)
		s = cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
					     CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &notes, note);
	*allow = s == CUDNN_STATUS_SUCCESS && allowed(d, note, notes);
	cudnnBackendDestroyDescriptor(engine);
	return s;
}

/* p->plan becomes the configuration's, if it can and its workspace is within bounds. */
static cudnnStatus_t try(struct cop_dnn_plan *p, descriptor config)
{
	int64_t got = 0;
	descriptor plan;
	cudnnStatus_t s = cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan);
	if (s != CUDNN_STATUS_SUCCESS)
		return s;
	set_descriptor(&s, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
	set_descriptor(&s, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, p->dnn->device);
	finalize(&s, plan);
	if (s == CUDNN_STATUS_SUCCESS)
		s = cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &got,
					     &p->space);
	if (s == CUDNN_STATUS_SUCCESS && (uint64_t)p->space > p->dnn->space)
		s = CUDNN_STATUS_NOT_SUPPORTED;
	if (s != CUDNN_STATUS_SUCCESS) {
		cudnnBackendDestroyDescriptor(plan);
		return s;
	}
	p->plan = plan;
	p->pile.of[p->pile.n++] = plan;
	return s;
}

/* The engines that the heuristics of `mode` propose, best first. */
static cudnnStatus_t propose(struct cop_dnn_plan *p, cudnnBackendHeurMode_t mode, descriptor config[ENGINES],
			     int64_t *n)
{
	descriptor heuristics;
	cudnnStatus_t s = cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics);
	*n = 0;
	if (s != CUDNN_STATUS_SUCCESS)
		return s;
	set_descriptor(&s, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, p->graph);
	set(&s, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
	set_descriptor(&s, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, p->dnn->device);
	finalize(&s, heuristics);
	if (s == CUDNN_STATUS_SUCCESS)
		s = cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
					     ENGINES, n, config);
	if (s != CUDNN_STATUS_SUCCESS)
		*n = 0;
	cudnnBackendDestroyDescriptor(heuristics);
	return s;
}

/* Takes the first proposal that will do; *s is the last refusal where none does. */
static bool choose(struct cop_dnn_plan *p, cudnnBackendHeurMode_t mode, cudnnStatus_t *s)
{
	descriptor config[ENGINES];
	int made = 0, taken = -1;
	int64_t n = 0, number = 0;
	bool allow = false;
	while (made < ENGINES &&
	       cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config[made]) == CUDNN_STATUS_SUCCESS)
		made++;
	*s = made == ENGINES ? propose(p, mode, config, &n) : CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
	for (int64_t i = 0; i < n && !p->plan; i++) {
		cudnnStatus_t e = examine(p->dnn, config[i], &number, &allow);
		if (e == CUDNN_STATUS_SUCCESS)
			e = allow ? try(p, config[i]) : CUDNN_STATUS_NOT_SUPPORTED;
		if (e != CUDNN_STATUS_SUCCESS)
			*s = e;
		else
			taken = (int)i;
	}
	for (int i = 0; i < made; i++)
		if (i != taken)
			cudnnBackendDestroyDescriptor(config[i]);
	if (p->plan) {
		p->pile.of[p->pile.n++] = config[taken];
		snprintf(p->about, sizeof(p->about), "cuDNN engine %lld%s", (long long)number,
			 mode == CUDNN_HEUR_MODE_FALLBACK ? " (fallback)" : "");
	}
	return p->plan;
}

/* plans */

static int refuse(const struct cop_dnn *dnn, const struct cop_conv *d, enum cop_conv_way way, cudnnStatus_t s,
		  struct cop_err *err)
{
	static const char *const precision[] = {[COP_FP32] = "fp32", [COP_TF32] = "tf32", [COP_BF16] = "bf16"};
	char words[160], version[32];
	last_words(words, sizeof(words));
	return cop_cuda_fail(err, out_of_memory(s) ? COP_EFAILED : COP_EMISSING,
			     "%s%s has no engine for the %s of a convolution of %d to %d channels, kernel %dx%d, %d "
			     "image%s of %dx%d, "
			     "stride %dx%d, padding %dx%d, dilation %dx%d, %d group%s, in %s%s within %zu MiB: %s%s%s",
			     out_of_memory(s) ? "out of memory: " : "", cop_dnn_version(version, sizeof(version)),
			     ways[way].name, d->in_c, d->out_c, d->kernel[0], d->kernel[1], d->batch,
			     d->batch == 1 ? "" : "s", d->in_h, d->in_w, d->stride[0], d->stride[1], d->padding[0],
			     d->padding[1], d->dilation[0], d->dilation[1], d->groups, d->groups == 1 ? "" : "s",
			     precision[dnn->precision], dnn->deterministic ? ", deterministic," : "", dnn->space >> 20,
			     cudnnGetErrorString(s), *words ? ": " : "", words);
}

int cop_dnn_plan(struct cop_dnn *dnn, const struct cop_conv *d, enum cop_conv_way way, bool add,
		 struct cop_dnn_plan **plan, struct cop_err *err)
{
	struct cop_dnn_plan *p = calloc(1, sizeof(*p));
	cudnnStatus_t s;
	if (!p)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	p->dnn = dnn;
	s = graph(p, d, way, add);
	if (s == CUDNN_STATUS_SUCCESS &&
	    (choose(p, CUDNN_HEUR_MODE_A, &s) || choose(p, CUDNN_HEUR_MODE_FALLBACK, &s))) {
		*plan = p;
		return 0;
	}
	cop_dnn_plan_free(p);
	if (s == CUDNN_STATUS_SUCCESS) /* nothing was proposed */
		s = CUDNN_STATUS_NOT_SUPPORTED;
	return refuse(dnn, d, way, s, err);
}

void cop_dnn_plan_free(struct cop_dnn_plan *p)
{
	if (!p)
		return;
	clear(&p->pile);
	free(p);
}

size_t cop_dnn_plan_space(const struct cop_dnn_plan *p)
{
	return (size_t)p->space;
}

const char *cop_dnn_plan_about(const struct cop_dnn_plan *p)
{
	return p->about;
}

int cop_dnn_run(const struct cop_dnn_plan *p, cudaStream_t stream, const void *a, const void *b, void *out, void *space,
		struct cop_err *err)
{
	const void *pointer[TENSORS] = {a, b, out};
	descriptor pack;
	cudnnStatus_t s;
	if (!p->dnn->handle)
		return cop_cuda_fail(err, COP_EMISSING, "the device that this was planned for is not here");
	s = cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
	if (s != CUDNN_STATUS_SUCCESS)
		return check(s, "run a convolution", err);
	set(&s, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, TENSORS, p->uid);
	set(&s, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, TENSORS, pointer);
	set(&s, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &space);
	finalize(&s, pack);
	if (s == CUDNN_STATUS_SUCCESS)
		s = cudnnSetStream(p->dnn->handle, stream);
	if (s == CUDNN_STATUS_SUCCESS)
		s = cudnnBackendExecute(p->dnn->handle, p->plan, pack);
	cudnnBackendDestroyDescriptor(pack);
	return check(s, "run a convolution", err);
}

/* the library */

/* d->device becomes the device of the handle, or the absent one. */
static cudnnStatus_t describe(struct cop_dnn *d, const char *absent)
{
	cudnnStatus_t s = make(&d->pile, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &d->device);
	if (absent)
		set(&s, d->device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(absent),
		    absent);
	else
		set(&s, d->device, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &d->handle);
	finalize(&s, d->device);
	return s;
}

int cop_dnn_open(const struct cop_products_choice *c, struct cop_dnn **dnn, struct cop_err *err)
{
	struct cop_dnn *d;
	int rc = 0;
	if (cudnnGetVersion() < OLDEST || cudnnGetVersion() / 10000 != CUDNN_MAJOR)
		return cop_cuda_fail(err, COP_EMISSING,
				     "cuDNN %d.%d or newer of that series is needed, and %zu is here", CUDNN_MAJOR,
				     OLDEST / 100 % 100, cudnnGetVersion());
	d = calloc(1, sizeof(*d));
	if (!d)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	d->precision = c->precision;
	d->deterministic = c->deterministic;
	d->space = c->space;
	if (!c->absent)
		rc = check(cudnnCreate(&d->handle), "be opened", err);
	if (!rc)
		rc = check(describe(d, c->absent), "describe the device", err);
	if (rc) {
		cop_dnn_close(d);
		return rc;
	}
	*dnn = d;
	return 0;
}

void cop_dnn_close(struct cop_dnn *d)
{
	if (!d)
		return;
	clear(&d->pile);
	if (d->handle)
		cudnnDestroy(d->handle);
	free(d);
}

const char *cop_dnn_version(char *buf, size_t size)
{
	size_t v = cudnnGetVersion();
	snprintf(buf, size, "cuDNN %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
	return buf;
}
