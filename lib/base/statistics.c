/* Means and their intervals; see statistics.h. */
#include "base/statistics.h"

#include <math.h>

struct cop_estimate cop_estimate_of(const double *v, size_t n)
{
	struct cop_moments m = {0};
	for (size_t i = 0; i < n; i++)
		cop_moments_add(&m, v[i]);
	return cop_moments_estimate(&m);
}

void cop_moments_add(struct cop_moments *m, double v)
{
	if (!isfinite(v))
		return;
	double from = v - m->mean;
	m->n++;
	m->mean += from / (double)m->n;
	m->squares += from * (v - m->mean);
}

struct cop_estimate cop_moments_estimate(const struct cop_moments *m)
{
	struct cop_estimate e = {.n = m->n, .mean = m->n ? m->mean : NAN, .sd = NAN, .half = NAN};
	double n = (double)m->n;
	if (m->n < 2)
		return e;
	e.sd = sqrt(m->squares / (n - 1));
	e.half = cop_student_quantile(0.975, n - 1) * e.sd / sqrt(n);
	return e;
}

struct cop_difference cop_difference_of(const struct cop_estimate *a, const struct cop_estimate *b)
{
	struct cop_difference d = {.mean = a->mean - b->mean, .half = NAN, .freedom = NAN, .p = NAN};
	if (a->n < 2 || b->n < 2)
		return d;
	double na = (double)a->n, nb = (double)b->n, va = a->sd * a->sd / na, vb = b->sd * b->sd / nb, v = va + vb;
	if (!(v > 0)) {
		d.half = 0;
		d.p = d.mean == 0;
		return d;
	}
	d.freedom = v * v / (va * va / (na - 1) + vb * vb / (nb - 1));
	d.half = cop_student_quantile(0.975, d.freedom) * sqrt(v);
	d.p = 2 * cop_student_cdf(-fabs(d.mean) / sqrt(v), d.freedom);
	return d;
}

/*
 * The continued fraction of the incomplete beta function I_x(a, b), DLMF 8.17.22, by Lentz's method as Thompson and
 * Barnett (1986) have it. It converges fast for x < (a + 1) / (a + b + 2).
 */
static double beta_fraction(double x, double a, double b)
{
	static const double tiny = 1e-300, enough = 1e-16;
	enum { TURNS = 10000 };
	double c = 1, d = 1 - (a + b) * x / (a + 1), f;
	d = 1 / (fabs(d) < tiny ? tiny : d);
	f = d;
	for (int m = 1; m < TURNS; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), step = 1;
		const double part[] = {even, odd};
		for (int k = 0; k < 2; k++) {
			d = 1 + part[k] * d;
			d = 1 / (fabs(d) < tiny ? tiny : d);
			c = 1 + part[k] / c;
			c = fabs(c) < tiny ? tiny : c;
			step = c * d;
			f *= step;
		}
		if (fabs(step - 1) < enough)
			break;
	}
	return f;
}

/* ln Gamma(a + 1/2) - ln Gamma(a); the two cancel out where a is large, and there is a series (DLMF 5.11.13). */
static double gamma_ratio(double a)
{
	if (a < 50)
		return lgamma(a + 0.5) - lgamma(a);
	double r = 1 / a, r2 = r * r;
	return log(a) / 2 - r * (1.0 / 8 - r2 * (1.0 / 192 - r2 * (1.0 / 640 - r2 * 17 / 14336)));
}

/* P(T > |t|) for t^2 = square: half of I_x(freedom / 2, 1 / 2). */
static double upper_tail(double square, double freedom)
{
	double a = freedom / 2, x = freedom / (freedom + square), y = square / (freedom + square);
	if (square <= 0 || isinf(square))
		return square > 0 ? 0 : 0.5;
	double log_x = y < 0.5 ? log1p(-y) : log(x);
	double front = exp(gamma_ratio(a) - log(M_PI) / 2 + a * log_x + log(y) / 2);
	if (x < (a + 1) / (a + 2.5))
		return front * beta_fraction(x, a, 0.5) / a / 2;
	return (1 - 2 * front * beta_fraction(y, 0.5, a)) / 2;
}

double cop_student_cdf(double t, double freedom)
{
	static const double normal = 1e7; /* from there on they differ by less than 3e-7 of themselves */
	if (isnan(t) || !(freedom > 0))
		return NAN;
	double tail = freedom < normal ? upper_tail(t * t, freedom) : erfc(fabs(t) / sqrt(2)) / 2;
	return t > 0 ? 1 - tail : tail;
}

/* Below the middle tails keep their digits. By halves: it is asked for rarely, and cannot go astray. */
double cop_student_quantile(double p, double freedom)
{
	if (!(p > 0 && p < 1) || !(freedom > 0))
		return NAN;
	double tail = p < 0.5 ? p : 1 - p, low = -1, high = 0;
	if (tail == 0.5)
		return 0;
	while (isfinite(low) && cop_student_cdf(low, freedom) > tail)
		low *= 2;
	for (double mid = low / 2; mid > low && mid < high; mid = low + (high - low) / 2) {
		if (cop_student_cdf(mid, freedom) < tail)
			low = mid;
		else
			high = mid;
	}
	if (isinf(low))
		high = low;
	return p < 0.5 ? high : -high;
}
