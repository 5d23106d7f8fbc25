/*
 * What a few replicates tell: mean, deviation, and how far from the mean the true one may lie. Intervals are of 95%, by
 * Student's t (Student 1908); two means are compared by Welch's test (Welch 1947), which does not ask for equal
 * variances.
 */
#ifndef COP_BASE_STATISTICS_H
#define COP_BASE_STATISTICS_H

#include <stddef.h>

/* Of n values that are numbers. NaN: there is no such thing with so few of them. */
struct cop_estimate {
	size_t n;
	double mean; /* NaN for n = 0 */
	double sd;   /* of the sample, with divisor n - 1; NaN below 2 values */
	double half; /* half the width of the interval, t(0.975; n - 1) sd / sqrt(n); NaN below 2 values */
};

/* Those of v (n) that are finite. */
struct cop_estimate cop_estimate_of(const double *v, size_t n);

/* The same a value at a time (Welford 1962); starts as {0}. What is not finite is passed over. */
struct cop_moments {
	size_t n;
	double mean, squares; /* squares: sum of (v - mean)^2 */
};
void cop_moments_add(struct cop_moments *m, double v);
struct cop_estimate cop_moments_estimate(const struct cop_moments *m);

/* a's mean less b's. NaN where one of them has less than 2 values. */
struct cop_difference {
	double mean;
	double half;    /* t(0.975; freedom) sqrt(a.sd^2 / a.n + b.sd^2 / b.n) */
	double freedom; /* degrees of it, after Welch and Satterthwaite */
	double p;       /* two-sided: how often equal means would differ as much */
};
struct cop_difference cop_difference_of(const struct cop_estimate *a, const struct cop_estimate *b);

/*
 * Student's t with so many degrees of freedom, whole or not, above 0; INFINITY is the normal distribution.
 * P(T <= t), by the incomplete beta function I_x(freedom / 2, 1 / 2), x = freedom / (freedom + t^2); and its inverse
 * for 0 < p < 1. Both good to about 1e-12 of themselves, to 1e-10 beyond a million degrees, to 3e-7 beyond ten million;
 * NaN for what is out of range.
 */
double cop_student_cdf(double t, double freedom);
double cop_student_quantile(double p, double freedom);

#endif
