/*
 * Products of matrices by cuBLASLt. It counts in columns: a row-major (rows, columns) is its (columns, rows) with the
 * leading dimension `columns`. So c = op(a) op(b) is asked for as c^T = op(b)^T op(a)^T, and a bias along c's columns
 * is one along its rows, as its epilogues want.
 *
 * The heuristics' first algorithm whose workspace is within bounds is taken; with the same device, version and shape it
 * is the same from run to run. Where the inner dimension is split, parts are added up in float in the workspace; added
 * up in place, by atomic operations, only where the choice is not for the same bits.
 */
#include "fail.h"
#include "products_priv.h"

#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROPOSALS = 16 };

struct cop_lt {
	cublasLtHandle_t handle;
	enum cop_precision precision;
	bool deterministic;
	size_t space;
};

struct cop_lt_plan {
	const struct cop_lt *lt;
	struct cop_matrix_product of;
	cublasLtMatmulDesc_t product;
	cublasLtMatrixLayout_t first, second, out; /* as cuBLASLt counts: b, a, c */
	cublasLtMatmulAlgo_t algorithm;
	size_t space;
	char about[COP_PRODUCTS_ABOUT];
};

static int check(cublasStatus_t s, const char *what, struct cop_err *err)
{
	if (s == CUBLAS_STATUS_SUCCESS)
		return 0;
	return cop_cuda_fail(err, COP_EFAILED, "%scuBLASLt cannot %s: %s (%s)",
			     s == CUBLAS_STATUS_ALLOC_FAILED ? "out of memory: " : "", what, cublasLtGetStatusString(s),
			     cublasLtGetStatusName(s));
}

/* Attributes are set until one fails; `*s` says which status came of it. */
static void describe(cublasStatus_t *s, cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t name, const void *value,
		     size_t size)
{
	if (*s == CUBLAS_STATUS_SUCCESS)
		*s = cublasLtMatmulDescSetAttribute(d, name, value, size);
}

static void prefer(cublasStatus_t *s, cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t name,
		   const void *value, size_t size)
{
	if (*s == CUBLAS_STATUS_SUCCESS)
		*s = cublasLtMatmulPreferenceSetAttribute(p, name, value, size);
}

static cublasStatus_t describe_product(struct cop_lt_plan *p)
{
	const struct cop_matrix_product *d = &p->of;
	cublasComputeType_t compute = p->lt->precision == COP_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
	cublasOperation_t first = d->b_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
	cublasOperation_t second = d->a_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
	cublasLtEpilogue_t epilogue = d->bias && d->relu ? CUBLASLT_EPILOGUE_RELU_BIAS
				      : d->bias          ? CUBLASLT_EPILOGUE_BIAS
				      : d->relu          ? CUBLASLT_EPILOGUE_RELU
							 : CUBLASLT_EPILOGUE_DEFAULT;
	cublasStatus_t s = cublasLtMatmulDescCreate(&p->product, compute, CUDA_R_32F);
	describe(&s, p->product, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof(first));
	describe(&s, p->product, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof(second));
	describe(&s, p->product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue));
	return s;
}

/* A row-major (rows, columns), or (columns, rows) where it lies turned. */
static cublasStatus_t layout(cublasLtMatrixLayout_t *l, cudaDataType_t type, int64_t rows, int64_t columns, bool turned)
{
	int64_t in_a_row = turned ? rows : columns;
	return cublasLtMatrixLayoutCreate(l, type, (uint64_t)in_a_row, (uint64_t)(turned ? columns : rows), in_a_row);
}

static cublasStatus_t lay_out(struct cop_lt_plan *p)
{
	const struct cop_matrix_product *d = &p->of;
	cudaDataType_t element = p->lt->precision == COP_BF16 ? CUDA_R_16BF : CUDA_R_32F;
	cublasStatus_t s = layout(&p->first, element, d->k, d->n, d->b_turned);
	if (s == CUBLAS_STATUS_SUCCESS)
		s = layout(&p->second, element, d->m, d->k, d->a_turned);
	if (s == CUBLAS_STATUS_SUCCESS)
		s = layout(&p->out, d->wide ? CUDA_R_32F : element, d->m, d->n, false);
	return s;
}

static cublasStatus_t choose(struct cop_lt_plan *p)
{
	cublasLtMatmulHeuristicResult_t result[PROPOSALS];
	cublasLtMatmulPreference_t preference;
	uint32_t alignment = 16, reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
	uint64_t space = p->lt->space;
	int n = 0, i = 0;
	cublasStatus_t s = cublasLtMatmulPreferenceCreate(&preference);
	if (s != CUBLAS_STATUS_SUCCESS)
		return s;
	if (!p->lt->deterministic)
		reductions |= CUBLASLT_REDUCTION_SCHEME_INPLACE;
	prefer(&s, preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &space, sizeof(space));
	prefer(&s, preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof(reductions));
	prefer(&s, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &alignment, sizeof(alignment));
	prefer(&s, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &alignment, sizeof(alignment));
	prefer(&s, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &alignment, sizeof(alignment));
	prefer(&s, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &alignment, sizeof(alignment));
	if (s == CUBLAS_STATUS_SUCCESS)
		s = cublasLtMatmulAlgoGetHeuristic(p->lt->handle, p->product, p->first, p->second, p->out, p->out,
						   preference, PROPOSALS, result, &n);
	cublasLtMatmulPreferenceDestroy(preference);
	if (s != CUBLAS_STATUS_SUCCESS)
		return s;
	while (i < n && (result[i].state != CUBLAS_STATUS_SUCCESS || result[i].workspaceSize > p->lt->space))
		i++;
	if (i == n)
		return CUBLAS_STATUS_NOT_SUPPORTED;
	p->algorithm = result[i].algo;
	p->space = result[i].workspaceSize;
	return s;
}

static void note_about(struct cop_lt_plan *p)
{
	int32_t id = -1, splits = 1;
	size_t got;
	cublasLtMatmulAlgoConfigGetAttribute(&p->algorithm, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof(id), &got);
	cublasLtMatmulAlgoConfigGetAttribute(&p->algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits, sizeof(splits),
					     &got);
	snprintf(p->about, sizeof(p->about), "cuBLASLt algorithm %d", (int)id);
	if (splits > 1)
		snprintf(p->about, sizeof(p->about), "cuBLASLt algorithm %d, in %d parts", (int)id, (int)splits);
}

int cop_lt_plan(struct cop_lt *l, const struct cop_matrix_product *d, struct cop_lt_plan **plan, struct cop_err *err)
{
	struct cop_lt_plan *p = calloc(1, sizeof(*p));
	cublasStatus_t s;
	if (!p)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	p->lt = l;
	p->of = *d;
	s = describe_product(p);
	if (s == CUBLAS_STATUS_SUCCESS)
		s = lay_out(p);
	if (s == CUBLAS_STATUS_SUCCESS)
		s = choose(p);
	if (s == CUBLAS_STATUS_SUCCESS) {
		note_about(p);
		*plan = p;
		return 0;
	}
	cop_lt_plan_free(p);
	if (s != CUBLAS_STATUS_NOT_SUPPORTED)
		return check(s, "plan a product", err);
	return cop_cuda_fail(err, COP_EMISSING,
			     "cuBLASLt has no algorithm for a product of %lldx%lld and %lldx%lld within %zu MiB: %s",
			     (long long)d->m, (long long)d->k, (long long)d->k, (long long)d->n, l->space >> 20,
			     cublasLtGetStatusString(s));
}

void cop_lt_plan_free(struct cop_lt_plan *p)
{
	if (!p)
		return;
	if (p->out)
		cublasLtMatrixLayoutDestroy(p->out);
	if (p->second)
		cublasLtMatrixLayoutDestroy(p->second);
	if (p->first)
		cublasLtMatrixLayoutDestroy(p->first);
	if (p->product)
		cublasLtMatmulDescDestroy(p->product);
	free(p);
}

size_t cop_lt_plan_space(const struct cop_lt_plan *p)
{
	return p->space;
}

const char *cop_lt_plan_about(const struct cop_lt_plan *p)
{
	return p->about;
}

int cop_lt_run(const struct cop_lt_plan *p, cudaStream_t stream, const void *a, const void *b, const void *bias,
	       void *c, void *space, struct cop_err *err)
{
	float alpha = 1, beta = p->of.add;
	cublasStatus_t s = CUBLAS_STATUS_SUCCESS;
	if (p->of.bias)
		describe(&s, p->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias));
	if (s == CUBLAS_STATUS_SUCCESS)
		s = cublasLtMatmul(p->lt->handle, p->product, &alpha, b, p->first, a, p->second, &beta, c, p->out, c,
				   p->out, &p->algorithm, space, p->space, stream);
	return check(s, "multiply matrices", err);
}

int cop_lt_open(const struct cop_products_choice *c, struct cop_lt **lt, struct cop_err *err)
{
	struct cop_lt *l = calloc(1, sizeof(*l));
	int rc;
	if (!l)
		return cop_cuda_fail(err, COP_EFAILED, "out of memory");
	l->precision = c->precision;
	l->deterministic = c->deterministic;
	l->space = c->space;
	rc = check(cublasLtCreate(&l->handle), "be opened", err);
	if (rc) {
		free(l);
		return rc;
	}
	*lt = l;
	return 0;
}

void cop_lt_close(struct cop_lt *l)
{
	if (!l)
		return;
	cublasLtDestroy(l->handle);
	free(l);
}

const char *cop_lt_version(char *buf, size_t size)
{
	size_t v = cublasLtGetVersion();
	snprintf(buf, size, "cuBLASLt %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
	return buf;
}
