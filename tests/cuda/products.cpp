/*
 * cuda/products.h on the host, where there is neither cuDNN nor cuBLASLt: plain loops, put into the queue of the
 * runtime that stands in for CUDA's. It is strict: what a plan says it wants of workspace it overwrites, and a plan
 * that is asked for twice is the same one. COPPICE_EMULATED_FUSED has a letter for each part that fused convolutions
 * may have: r, reading; b, a bias or cutting off; s, sums; "rbs" if it is not set.
 */
#include "cuda/products.h"

#include "emulate.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

enum { COP_WANTED = 4096 /* bytes of workspace, so that callers must have some */ };

struct cop_conv_plan {
	cop_conv d;
	cop_conv_way way;
	bool add, narrow, fused;
	cop_conv_fusion fusion;
};

struct cop_matrix_plan {
	cop_matrix_product d;
	bool narrow;
};

/* functions have these names too */
using conv_plan = struct cop_conv_plan;
using matrix_plan = struct cop_matrix_plan;

struct cop_products {
	bool narrow; /* the element is bf16 */
	bool fuses;  /* tensor cores may be used */
	std::vector<std::unique_ptr<conv_plan>> conv;
	std::vector<std::unique_ptr<matrix_plan>> matrix;
};

static int fail(cop_err *err, int code, const char *format, ...) COP_PRINTF(3, 4);
static int fail(cop_err *err, int code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (err) {
		err->code = code;
		vsnprintf(err->msg, sizeof(err->msg), format, args);
	}
	va_end(args);
	return code;
}

/* n numbers of the element, or of float, as floats; and back. */
static std::vector<float> widened(bool narrow, const void *from, size_t n)
{
	std::vector<float> to(n);
	if (narrow)
		for (size_t i = 0; i < n; i++)
			to[i] = __bfloat162float(((const __nv_bfloat16 *)from)[i]);
	else
		memcpy(to.data(), from, n * sizeof(float));
	return to;
}

static void put_back(bool narrow, const std::vector<float> &from, void *to)
{
	if (narrow)
		for (size_t i = 0; i < from.size(); i++)
			((__nv_bfloat16 *)to)[i] = __float2bfloat16_rn(from[i]);
	else
		memcpy(to, from.data(), from.size() * sizeof(float));
}

/* What a result starts from: what lies there, or zeros. */
static std::vector<float> start(bool add, bool narrow, const void *out, size_t n)
{
	return add ? widened(narrow, out, n) : std::vector<float>(n, 0.0f);
}

static bool bad_pointer(const void *p)
{
	return !p || (uintptr_t)p % 16;
}

/* convolutions */

static size_t in_size(const cop_conv *d)
{
	return (size_t)d->batch * d->in_h * d->in_w * d->in_c;
}

static size_t out_size(const cop_conv *d)
{
	return (size_t)d->batch * d->out_h * d->out_w * d->out_c;
}

static size_t weights_size(const cop_conv *d)
{
	return (size_t)d->out_c * (d->in_c / d->groups) * d->kernel[0] * d->kernel[1];
}

/* visit(x, y, tap): where the pixels that a tap of the window joins begin in the input and in the output. */
template <class V> static void each_tap(const cop_conv *d, V visit)
{
	for (int n = 0; n < d->batch; n++)
		for (int oy = 0; oy < d->out_h; oy++)
			for (int ox = 0; ox < d->out_w; ox++)
				for (int tap = 0; tap < d->kernel[0] * d->kernel[1]; tap++) {
					int iy = oy * d->stride[0] - d->padding[0] +
						 tap / d->kernel[1] * d->dilation[0];
					int ix = ox * d->stride[1] - d->padding[1] +
						 tap % d->kernel[1] * d->dilation[1];
					if (iy < 0 || iy >= d->in_h || ix < 0 || ix >= d->in_w)
						continue;
					visit((((size_t)n * d->in_h + iy) * d->in_w + ix) * d->in_c,
					      (((size_t)n * d->out_h + oy) * d->out_w + ox) * d->out_c, tap);
				}
}

/* Weights (taps, in_c/groups, out_c) from (out_c, taps, in_c/groups). */
static std::vector<float> turned(const cop_conv *d, const std::vector<float> &w)
{
	size_t taps = (size_t)d->kernel[0] * d->kernel[1], in = d->in_c / d->groups;
	std::vector<float> t(w.size());
	for (size_t o = 0; o < (size_t)d->out_c; o++)
		for (size_t i = 0; i < taps * in; i++)
			t[i * d->out_c + o] = w[o * taps * in + i];
	return t;
}

static void forward(const cop_conv *d, const std::vector<float> &x, const std::vector<float> &w, std::vector<float> &y)
{
	std::vector<float> t = turned(d, w);
	size_t in = d->in_c / d->groups, out = d->out_c / d->groups;
	each_tap(d, [&](size_t at_x, size_t at_y, int tap) {
		for (size_t c = 0; c < (size_t)d->in_c; c++) {
			float v = x[at_x + c], *to = &y[at_y + c / in * out];
			const float *from = &t[(tap * in + c % in) * d->out_c + c / in * out];
			for (size_t o = 0; o < out; o++)
				to[o] += v * from[o];
		}
	});
}

static void data_gradient(const cop_conv *d, const std::vector<float> &dy, const std::vector<float> &w,
			  std::vector<float> &dx)
{
	size_t taps = (size_t)d->kernel[0] * d->kernel[1], in = d->in_c / d->groups, out = d->out_c / d->groups;
	each_tap(d, [&](size_t at_x, size_t at_y, int tap) {
		for (size_t o = 0; o < (size_t)d->out_c; o++) {
			float v = dy[at_y + o], *to = &dx[at_x + o / out * in];
			const float *from = &w[(o * taps + tap) * in];
			for (size_t c = 0; c < in; c++)
				to[c] += v * from[c];
		}
	});
}

static void weights_gradient(const cop_conv *d, const std::vector<float> &x, const std::vector<float> &dy,
			     std::vector<float> &dw)
{
	size_t taps = (size_t)d->kernel[0] * d->kernel[1], in = d->in_c / d->groups, out = d->out_c / d->groups;
	each_tap(d, [&](size_t at_x, size_t at_y, int tap) {
		for (size_t o = 0; o < (size_t)d->out_c; o++) {
			float v = dy[at_y + o], *to = &dw[(o * taps + tap) * in];
			const float *from = &x[at_x + o / out * in];
			for (size_t c = 0; c < in; c++)
				to[c] += v * from[c];
		}
	});
}

static void do_conv(const conv_plan *p, const void *a, const void *b, void *out)
{
	const cop_conv *d = &p->d;
	if (p->way == COP_CONV_FORWARD) {
		std::vector<float> y = start(p->add, p->narrow, out, out_size(d));
		forward(d, widened(p->narrow, a, in_size(d)), widened(p->narrow, b, weights_size(d)), y);
		put_back(p->narrow, y, out);
	} else if (p->way == COP_CONV_DATA) {
		std::vector<float> dx = start(p->add, p->narrow, out, in_size(d));
		data_gradient(d, widened(p->narrow, a, out_size(d)), widened(p->narrow, b, weights_size(d)), dx);
		put_back(p->narrow, dx, out);
	} else {
		std::vector<float> dw = start(p->add, false, out, weights_size(d));
		weights_gradient(d, widened(p->narrow, a, in_size(d)), widened(p->narrow, b, out_size(d)), dw);
		put_back(false, dw, out);
	}
}

static bool is_shape(const cop_conv *d)
{
	for (int i = 0; i < 2; i++) {
		int in = i ? d->in_w : d->in_h, out = i ? d->out_w : d->out_h;
		if (d->kernel[i] < 1 || d->stride[i] < 1 || d->dilation[i] < 1 || d->padding[i] < 0 || out < 1 ||
		    (in + 2 * d->padding[i] - d->dilation[i] * (d->kernel[i] - 1) - 1) / d->stride[i] + 1 != out)
			return false;
	}
	return d->batch > 0 && d->groups > 0 && d->in_c % d->groups == 0 && d->out_c % d->groups == 0;
}

int cop_conv_plan(cop_products *p, const cop_conv *d, cop_conv_way way, bool add, const conv_plan **plan, cop_err *err)
{
	cop_conv key = *d;
	key.ld = 0;
	if (!is_shape(d))
		return fail(err, COP_EMISSING, "no engine for a convolution of %d to %d channels", d->in_c, d->out_c);
	for (auto &made : p->conv)
		if (!memcmp(&made->d, &key, sizeof(key)) && made->way == way && made->add == add && !made->fused) {
			*plan = made.get();
			return 0;
		}
	p->conv.emplace_back(new conv_plan{key, way, add, p->narrow, false, {}});
	*plan = p->conv.back().get();
	return 0;
}

static bool cuts(float lo, float hi)
{
	return lo > -INFINITY || hi < INFINITY;
}

static bool offered(const cop_products *p, const cop_conv_fusion *f)
{
	const char *letters = getenv("COPPICE_EMULATED_FUSED");
	if (!letters)
		letters = "rbs";
	return p->fuses && (!f->read || strchr(letters, 'r')) &&
	       (!(f->bias || cuts(f->lo, f->hi)) || strchr(letters, 'b')) && (!f->sums || strchr(letters, 's')) &&
	       (!cuts(f->from, f->to) || f->from == 0) && (!cuts(f->lo, f->hi) || f->lo == 0);
}

static bool same_fusion(const cop_conv_fusion *a, const cop_conv_fusion *b)
{
	return a->read == b->read && a->from == b->from && a->to == b->to && a->bias == b->bias && a->lo == b->lo &&
	       a->hi == b->hi && a->sums == b->sums;
}

int cop_conv_plan_fused(cop_products *p, const cop_conv *d, const cop_conv_fusion *f, const conv_plan **plan,
			cop_err *err)
{
	cop_conv key = *d;
	key.ld = 0;
	if (!is_shape(d) || !offered(p, f))
		return fail(err, COP_EMISSING, "no engine for a fused convolution");
	for (auto &made : p->conv)
		if (!memcmp(&made->d, &key, sizeof(key)) && made->fused && same_fusion(&made->fusion, f)) {
			*plan = made.get();
			return 0;
		}
	p->conv.emplace_back(new conv_plan{key, COP_CONV_FORWARD, false, p->narrow, true, *f});
	*plan = p->conv.back().get();
	return 0;
}

size_t cop_conv_plan_space(const conv_plan *)
{
	return COP_WANTED;
}

const char *cop_conv_plan_about(const conv_plan *)
{
	return "plain loops";
}

static int enqueue(cudaStream_t stream, void *space, cop_err *err, std::function<void()> work)
{
	cudaError_t e = emulated_enqueue(stream, [=] {
		memset(space, 0xff, COP_WANTED);
		work();
	});
	return e ? fail(err, COP_EFAILED, "cannot queue a product: %s", cudaGetErrorString(e)) : 0;
}

int cop_conv_run(const conv_plan *plan, cudaStream_t stream, const void *a, const void *b, void *out, void *space,
		 cop_err *err)
{
	if (bad_pointer(a) || bad_pointer(b) || bad_pointer(out) || bad_pointer(space))
		return fail(err, COP_EFAILED, "a convolution's operand is missing or not aligned to 16 bytes");
	return enqueue(stream, space, err, [=] { do_conv(plan, a, b, out); });
}

static float cut_off(float v, float lo, float hi)
{
	v = v < lo ? lo : v;
	return v > hi ? hi : v;
}

/* Sums are of what is stored. */
static void do_fused(const conv_plan *p, const cop_conv_operands *o)
{
	const cop_conv *d = &p->d;
	const cop_conv_fusion *f = &p->fusion;
	size_t in = d->in_c, out = d->out_c;
	std::vector<float> x = widened(p->narrow, o->x, in_size(d)), y(out_size(d)), sum(out), square(out);
	for (size_t i = 0; f->read && i < x.size(); i++)
		x[i] = cut_off(fmaf(x[i], o->scale[i % in], o->shift[i % in]), f->from, f->to);
	if (f->read && p->narrow)
		for (float &v : x)
			v = __bfloat162float(__float2bfloat16_rn(v));
	forward(d, x, widened(p->narrow, o->w, weights_size(d)), y);
	for (size_t i = 0; i < y.size(); i++)
		y[i] = cut_off(y[i] + (f->bias ? o->bias[i % out] : 0.0f), f->lo, f->hi);
	put_back(p->narrow, y, o->y);
	if (!f->sums)
		return;
	y = widened(p->narrow, o->y, y.size());
	for (size_t i = 0; i < y.size(); i++) {
		sum[i % out] += y[i];
		square[i % out] = fmaf(y[i], y[i], square[i % out]);
	}
	put_back(false, sum, o->sum);
	put_back(false, square, o->square);
}

int cop_conv_run_fused(const conv_plan *plan, cudaStream_t stream, const cop_conv_operands *o, void *space,
		       cop_err *err)
{
	const cop_conv_fusion *f = &plan->fusion;
	cop_conv_operands kept = *o;
	if (bad_pointer(o->x) || bad_pointer(o->w) || bad_pointer(o->y) || bad_pointer(space) ||
	    (f->read && (bad_pointer(o->scale) || bad_pointer(o->shift))) || (f->bias && bad_pointer(o->bias)) ||
	    (f->sums && (bad_pointer(o->sum) || bad_pointer(o->square))))
		return fail(err, COP_EFAILED, "a fused convolution's operand is missing or not aligned to 16 bytes");
	return enqueue(stream, space, err, [=] { do_fused(plan, &kept); });
}

/* products of matrices */

/* (rows, columns) from where it lies, turned or not. */
static std::vector<float> matrix(bool narrow, const void *from, int64_t rows, int64_t columns, bool turn)
{
	std::vector<float> lies = widened(narrow, from, (size_t)(rows * columns));
	if (!turn)
		return lies;
	std::vector<float> t(lies.size());
	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < columns; j++)
			t[(size_t)(i * columns + j)] = lies[(size_t)(j * rows + i)];
	return t;
}

static void do_matrix(const matrix_plan *p, const void *a_, const void *b_, const void *bias_, void *c_)
{
	const cop_matrix_product *d = &p->d;
	bool narrow = p->narrow && !d->wide;
	std::vector<float> a = matrix(p->narrow, a_, d->m, d->k, d->a_turned);
	std::vector<float> b = matrix(p->narrow, b_, d->k, d->n, d->b_turned);
	std::vector<float> bias = d->bias ? widened(p->narrow, bias_, (size_t)d->n) : std::vector<float>();
	std::vector<float> c = start(d->add, narrow, c_, (size_t)(d->m * d->n));
	for (int64_t i = 0; i < d->m; i++) {
		float *row = &c[(size_t)(i * d->n)];
		for (int64_t k = 0; k < d->k; k++) {
			float v = a[(size_t)(i * d->k + k)];
			const float *from = &b[(size_t)(k * d->n)];
			for (int64_t j = 0; j < d->n; j++)
				row[j] += v * from[j];
		}
		for (int64_t j = 0; j < d->n; j++) {
			row[j] += d->bias ? bias[(size_t)j] : 0.0f;
			row[j] = d->relu && row[j] < 0 ? 0.0f : row[j];
		}
	}
	put_back(narrow, c, c_);
}

static bool same_product(const cop_matrix_product *a, const cop_matrix_product *b)
{
	return a->m == b->m && a->n == b->n && a->k == b->k && a->a_turned == b->a_turned &&
	       a->b_turned == b->b_turned && a->add == b->add && a->bias == b->bias && a->relu == b->relu &&
	       a->wide == b->wide;
}

int cop_matrix_plan(cop_products *p, const cop_matrix_product *d, const matrix_plan **plan, cop_err *err)
{
	if (d->m < 1 || d->n < 1 || d->k < 1 || ((d->add || d->wide) && (d->bias || d->relu)))
		return fail(err, COP_EMISSING, "no algorithm for a product of %lldx%lld and %lldx%lld", (long long)d->m,
			    (long long)d->k, (long long)d->k, (long long)d->n);
	for (auto &made : p->matrix)
		if (same_product(&made->d, d)) {
			*plan = made.get();
			return 0;
		}
	p->matrix.emplace_back(new matrix_plan{*d, p->narrow});
	*plan = p->matrix.back().get();
	return 0;
}

size_t cop_matrix_plan_space(const matrix_plan *)
{
	return COP_WANTED;
}

const char *cop_matrix_plan_about(const matrix_plan *)
{
	return "plain loops";
}

int cop_matrix_run(const matrix_plan *plan, cudaStream_t stream, const void *a, const void *b, const void *bias,
		   void *c, void *space, cop_err *err)
{
	if (bad_pointer(a) || bad_pointer(b) || bad_pointer(c) || bad_pointer(space) ||
	    (plan->d.bias && bad_pointer(bias)))
		return fail(err, COP_EFAILED, "a product's operand is missing or not aligned to 16 bytes");
	return enqueue(stream, space, err, [=] { do_matrix(plan, a, b, bias, c); });
}

int cop_products_open(const cop_products_choice *c, cop_products **p, cop_err *err)
{
	if (c->space < COP_WANTED)
		return fail(err, COP_EINPUT, "%d bytes of workspace are wanted", (int)COP_WANTED);
	*p = new cop_products{c->precision == COP_BF16, c->precision != COP_FP32, {}, {}};
	return 0;
}

void cop_products_close(cop_products *p)
{
	delete p;
}

/* With COPPICE_EMULATED_LIBRARY=old in the environment they are. */
int cop_products_check(cop_err *err)
{
	const char *kind = getenv("COPPICE_EMULATED_LIBRARY");
	return kind && !strcmp(kind, "old") ? fail(err, COP_EMISSING, "loops that are newer are needed") : 0;
}

const char *cop_products_libraries(char *buf, size_t size)
{
	snprintf(buf, size, "plain loops");
	return buf;
}
