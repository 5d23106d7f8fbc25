/*
 * Convolutions by cuDNN's graph interface (<cudnn_graph.h>, "Graph API" in NVIDIA's manual): tensors and one operation
 * make a graph; the heuristics propose engines for it, best first; the first that keeps the rules of the choice, whose
 * plan can be made and whose workspace is within bounds, is taken. Which it is depends on the device, the library's
 * version and the shape, so the bits are the same from run to run.
 *
 * Engines of fused graphs are compiled when their plan is made, which takes a second, and are proposed only where the
 * driver's library is.
 *
 * The device is told to cuDNN by a descriptor of its properties, which can be read from text: so plans can be made, and
 * tested, where there is no such device.
 */
#include "dnn_graph.h"
#include "fail.h"
#include "products_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLDEST 90800
#if CUDNN_VERSION < OLDEST
#error "cuDNN 9.8 or newer is needed, for descriptors of a device's properties"
#endif

enum { ENGINES = 64 /* the most proposals that are looked at */ };

struct cop_dnn {
	cudnnHandle_t handle; /* NULL: the device is not here */
	struct cop_dnn_pile pile;
	descriptor device;
	enum cop_precision precision;
	bool deterministic;
	size_t space;
};

struct cop_dnn_plan {
	struct cop_dnn *dnn;
	struct cop_dnn_graph graph; /* its pile has the plan as well */
	descriptor plan;
	int64_t space;
	bool fused;
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

/* A part of the library is not here, or is another version's. */
static bool lacks(cudnnStatus_t s)
{
	return s == CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH || s == CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED;
}

static int check(cudnnStatus_t s, const char *what, struct cop_err *err)
{
	char words[400];
	if (s == CUDNN_STATUS_SUCCESS)
		return 0;
	last_words(words, sizeof(words));
	return cop_cuda_fail(err, lacks(s) ? COP_EMISSING : COP_EFAILED, "%scuDNN cannot %s: %s%s%s",
			     out_of_memory(s) ? "out of memory: " : "", what, cudnnGetErrorString(s),
			     *words ? ": " : "", words);
}

/* engines */

/*
 * Whether the choice's rules allow an engine that says these things of itself. A fused one must be on tensor cores:
 * those that are not are made for any shape, and lose more than one pass over memory costs.
 */
static bool allowed(const struct cop_dnn *d, bool fused, const cudnnBackendNumericalNote_t *note, int64_t n)
{
	bool tensor_cores = false;
	for (int64_t i = 0; i < n; i++)
		switch (note[i]) {
		case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
			if (d->deterministic)
				return false;
			break;
		/* on floats, tensor cores take TF32 */
		case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
			tensor_cores = true;
			/* fall through */
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
	return tensor_cores || !fused;
}

/* The engine of a configuration: its number, and whether the rules allow it. */
static cudnnStatus_t examine(const struct cop_dnn_plan *p, descriptor config, int64_t *number, bool *allow)
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
	*allow = s == CUDNN_STATUS_SUCCESS && allowed(p->dnn, p->fused, note, notes);
	cudnnBackendDestroyDescriptor(engine);
	return s;
}

/*
 * Whether a plan failed at nothing but loading what was compiled for it, where the device is not here: then it is as
 * far as it can be, and its workspace is not known.
 */
static bool only_not_loaded(const struct cop_dnn *d, cudnnStatus_t s)
{
	char words[1024];
	return s != CUDNN_STATUS_SUCCESS && !d->handle && strstr(last_words(words, sizeof(words)), "cuLibraryLoadData");
}

/* p->plan becomes the configuration's, if it can and its workspace is within bounds. */
static cudnnStatus_t try(struct cop_dnn_plan *p, descriptor config)
{
	int64_t got = 0;
	descriptor plan;
	cudnnStatus_t s = cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan);
	if (s != CUDNN_STATUS_SUCCESS)
		return s;
	cop_dnn_set_descriptor(&s, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
	cop_dnn_set_descriptor(&s, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, p->dnn->device);
	cop_dnn_finalize(&s, plan);
	if (only_not_loaded(p->dnn, s)) {
		p->space = 0;
		s = CUDNN_STATUS_SUCCESS;
	} else if (s == CUDNN_STATUS_SUCCESS)
		s = cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &got,
					     &p->space);
	if (s == CUDNN_STATUS_SUCCESS && (uint64_t)p->space > p->dnn->space)
		s = CUDNN_STATUS_NOT_SUPPORTED;
	if (s != CUDNN_STATUS_SUCCESS) {
		cudnnBackendDestroyDescriptor(plan);
		return s;
	}
	p->plan = plan;
	p->graph.pile.of[p->graph.pile.n++] = plan;
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
	cop_dnn_set_descriptor(&s, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, p->graph.graph);
	cop_dnn_set(&s, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
	cop_dnn_set_descriptor(&s, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, p->dnn->device);
	cop_dnn_finalize(&s, heuristics);
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
		cudnnStatus_t e = examine(p, config[i], &number, &allow);
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
	(void)cudaGetLastError(); /* what is refused may leave one, which is no kernel's */
	if (p->plan) {
		p->graph.pile.of[p->graph.pile.n++] = config[taken];
		snprintf(p->about, sizeof(p->about), "cuDNN engine %lld%s", (long long)number,
			 mode == CUDNN_HEUR_MODE_FALLBACK ? " (fallback)" : "");
	}
	return p->plan;
}

/* plans */

static int refuse(const struct cop_dnn *dnn, const struct cop_conv *d, enum cop_conv_way way, cudnnStatus_t s,
		  struct cop_err *err)
{
	static const char *const names[] = {"output", "data gradient", "weights' gradient"};
	static const char *const precision[] = {[COP_FP32] = "fp32", [COP_TF32] = "tf32", [COP_BF16] = "bf16"};
	char words[160], version[32];
	last_words(words, sizeof(words));
	return cop_cuda_fail(err, out_of_memory(s) ? COP_EFAILED : COP_EMISSING,
			     "%s%s has no engine for the %s of a convolution of %d to %d channels, kernel %dx%d, %d "
			     "image%s of %dx%d, "
			     "stride %dx%d, padding %dx%d, dilation %dx%d, %d group%s, in %s%s within %zu MiB: %s%s%s",
			     out_of_memory(s) ? "out of memory: " : "", cop_dnn_version(version, sizeof(version)),
			     names[way], d->in_c, d->out_c, d->kernel[0], d->kernel[1], d->batch,
			     d->batch == 1 ? "" : "s", d->in_h, d->in_w, d->stride[0], d->stride[1], d->padding[0],
			     d->padding[1], d->dilation[0], d->dilation[1], d->groups, d->groups == 1 ? "" : "s",
			     precision[dnn->precision], dnn->deterministic ? ", deterministic," : "", dnn->space >> 20,
			     cudnnGetErrorString(s), *words ? ": " : "", words);
}

static cudnnDataType_t element_of(const struct cop_dnn *d)
{
	return d->precision == COP_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

int cop_dnn_plan(struct cop_dnn *dnn, const struct cop_conv *d, enum cop_conv_way way, bool add,
		 struct cop_dnn_plan **plan, struct cop_err *err)
{
	struct cop_dnn_plan *p = calloc(1, sizeof(*p));
	cudnnStatus_t s;
	if (!p)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	p->dnn = dnn;
	p->graph.element = element_of(dnn);
	s = cop_dnn_graph_make(&p->graph, d, way, add);
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

/* Cut-offs that cuDNN's ReLU has. */
static bool has_cut(float lo, float hi)
{
	return !cop_dnn_cuts(lo, hi) || (!(lo < 0) && !(lo > 0) && hi > 0);
}

int cop_dnn_plan_fused(struct cop_dnn *dnn, const struct cop_conv *d, const struct cop_conv_fusion *f,
		       struct cop_dnn_plan **plan, struct cop_err *err)
{
	struct cop_dnn_plan *p;
	cudnnStatus_t s = CUDNN_STATUS_NOT_SUPPORTED;
	if (dnn->precision == COP_FP32 || !has_cut(f->from, f->to) || !has_cut(f->lo, f->hi))
		return refuse(dnn, d, COP_CONV_FORWARD, s, err);
	p = calloc(1, sizeof(*p));
	if (!p)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	p->dnn = dnn;
	p->fused = true;
	p->graph.element = element_of(dnn);
	s = cop_dnn_graph_fuse(&p->graph, d, f);
	if (s == CUDNN_STATUS_SUCCESS && choose(p, CUDNN_HEUR_MODE_A, &s)) {
		*plan = p;
		return 0;
	}
	cop_dnn_plan_free(p);
	return refuse(dnn, d, COP_CONV_FORWARD, s == CUDNN_STATUS_SUCCESS ? CUDNN_STATUS_NOT_SUPPORTED : s, err);
}

void cop_dnn_plan_free(struct cop_dnn_plan *p)
{
	if (!p)
		return;
	cop_dnn_clear(&p->graph.pile);
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

static int run(const struct cop_dnn_plan *p, cudaStream_t stream, const void *const *pointer, void *space,
	       struct cop_err *err)
{
	descriptor pack;
	cudnnStatus_t s;
	if (!p->dnn->handle)
		return cop_cuda_fail(err, COP_EMISSING, "the device that this was planned for is not here");
	s = cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
	if (s != CUDNN_STATUS_SUCCESS)
		return check(s, "run a convolution", err);
	cop_dnn_set(&s, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, p->graph.operands, p->graph.uid);
	cop_dnn_set(&s, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, p->graph.operands, pointer);
	cop_dnn_set(&s, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &space);
	cop_dnn_finalize(&s, pack);
	if (s == CUDNN_STATUS_SUCCESS)
		s = cudnnSetStream(p->dnn->handle, stream);
	if (s == CUDNN_STATUS_SUCCESS)
		s = cudnnBackendExecute(p->dnn->handle, p->plan, pack);
	cudnnBackendDestroyDescriptor(pack);
	return check(s, "run a convolution", err);
}

int cop_dnn_run(const struct cop_dnn_plan *p, cudaStream_t stream, const void *a, const void *b, void *out, void *space,
		struct cop_err *err)
{
	const void *pointer[] = {a, b, out};
	return run(p, stream, pointer, space, err);
}

int cop_dnn_run_fused(const struct cop_dnn_plan *p, cudaStream_t stream, const struct cop_conv_operands *o, void *space,
		      struct cop_err *err)
{
	const void *all[COP_DNN_OPERANDS] = {
		[COP_DNN_X] = o->x,         [COP_DNN_W] = o->w,          [COP_DNN_Y] = o->y,
		[COP_DNN_SCALE] = o->scale, [COP_DNN_SHIFT] = o->shift,  [COP_DNN_BIAS] = o->bias,
		[COP_DNN_SUM] = o->sum,     [COP_DNN_SQUARE] = o->square};
	const void *pointer[COP_DNN_OPERANDS];
	for (int i = 0; i < p->graph.operands; i++)
		pointer[i] = all[p->graph.uid[i] - 1];
	return run(p, stream, pointer, space, err);
}

/* the library */

/* d->device becomes the device of the handle, or the absent one. */
static cudnnStatus_t describe(struct cop_dnn *d, const char *absent)
{
	cudnnStatus_t s = cop_dnn_make(&d->pile, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &d->device);
	if (absent)
		cop_dnn_set(&s, d->device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
			    (int64_t)strlen(absent), absent);
	else
		cop_dnn_set(&s, d->device, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &d->handle);
	cop_dnn_finalize(&s, d->device);
	return s;
}

int cop_dnn_check(struct cop_err *err)
{
	char here[32];
	if (cudnnGetVersion() >= OLDEST && cudnnGetVersion() / 10000 == CUDNN_MAJOR)
		return 0;
	return cop_cuda_fail(err, COP_EMISSING, "cuDNN %d.%d or newer of that series is needed, and %s is here",
			     CUDNN_MAJOR, OLDEST / 100 % 100, cop_dnn_version(here, sizeof(here)));
}

int cop_dnn_open(const struct cop_products_choice *c, struct cop_dnn **dnn, struct cop_err *err)
{
	struct cop_dnn *d;
	int rc = 0;
	if ((rc = cop_dnn_check(err)) != 0)
		return rc;
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
	cop_dnn_clear(&d->pile);
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
