/* Means, intervals and Student's t, against tables and against figures worked out with 30 digits. */
#include "base/statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void near(double got, double wanted, double most)
{
	if (!(fabs(got - wanted) <= most * fabs(wanted)))
		fail_msg("%.17g, not %.17g", got, wanted);
}

/* t(p; freedom): published tables have the first digits of these. */
static const struct {
	double freedom, p95, p975, p995;
} table[] = {
	{1, 6.3137515147, 12.706204736, 63.656741163},   {2, 2.9199855804, 4.3026527297, 9.9248432009},
	{3, 2.3533634348, 3.1824463053, 5.8409093097},   {4, 2.1318467863, 2.7764451052, 4.6040948713},
	{5, 2.0150483733, 2.5705818356, 4.0321429836},   {6, 1.9431802805, 2.4469118511, 3.7074280213},
	{7, 1.8945786051, 2.3646242516, 3.4994832974},   {8, 1.8595480375, 2.3060041352, 3.3553873313},
	{9, 1.8331129327, 2.2621571628, 3.2498355416},   {10, 1.8124611228, 2.228138852, 3.1692726726},
	{11, 1.7958848187, 2.2009851601, 3.1058065155},  {12, 1.7822875556, 2.1788128297, 3.0545395894},
	{13, 1.770933396, 2.1603686565, 3.0122758387},   {14, 1.7613101358, 2.1447866879, 2.9768427344},
	{15, 1.7530503557, 2.1314495456, 2.9467128835},  {16, 1.7458836763, 2.1199052992, 2.9207816224},
	{17, 1.7396067261, 2.1098155778, 2.8982305197},  {18, 1.7340636066, 2.1009220402, 2.8784404727},
	{19, 1.7291328115, 2.0930240544, 2.8609346065},  {20, 1.7247182429, 2.0859634473, 2.8453397098},
	{21, 1.7207429028, 2.0796138447, 2.831359558},   {22, 1.7171443744, 2.0738730679, 2.8187560606},
	{23, 1.7138715277, 2.0686576104, 2.8073356838},  {24, 1.7108820799, 2.0638985616, 2.7969395048},
	{25, 1.7081407613, 2.0595385528, 2.7874358137},  {26, 1.7056179198, 2.0555294386, 2.7787145333},
	{27, 1.7032884457, 2.0518305165, 2.7706829571},  {28, 1.7011309343, 2.0484071418, 2.7632624555},
	{29, 1.6991270265, 2.0452296421, 2.7563859037},  {30, 1.6972608866, 2.0422724563, 2.7499956536},
	{40, 1.6838510133, 2.0210753903, 2.7044592674},  {60, 1.6706488649, 2.000297822, 2.6602830289},
	{120, 1.6576508994, 1.9799304051, 2.6174211451}, {INFINITY, 1.644853627, 1.9599639845, 2.5758293035},
};

static void test_tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		double v = table[i].freedom;
		near(cop_student_quantile(0.95, v), table[i].p95, 1e-9);
		near(cop_student_quantile(0.975, v), table[i].p975, 1e-9);
		near(cop_student_quantile(0.995, v), table[i].p995, 1e-9);
		near(cop_student_quantile(0.025, v), -table[i].p975, 1e-9);
		near(cop_student_cdf(table[i].p975, v), 0.975, 1e-9);
		near(cop_student_cdf(-table[i].p995, v), 0.005, 1e-8);
		assert_true(cop_student_cdf(0, v) == 0.5 && cop_student_quantile(0.5, v) == 0);
	}
}

/* Degrees that are no whole number, few or very many; far tails. */
static void test_elsewhere(void **state)
{
	(void)state;
	near(cop_student_quantile(0.975, 0.5), 164.5576734805, 1e-11);
	near(cop_student_quantile(0.975, 1.7), 5.118838988253, 1e-11);
	near(cop_student_quantile(0.975, 4.37), 2.686148100041, 1e-11);
	near(cop_student_quantile(0.975, 1000), 1.962339080826, 1e-11);
	near(cop_student_quantile(0.975, 100000), 1.959987707535, 1e-11);
	near(cop_student_quantile(0.975, 5000000), 1.959964458994, 1e-10);
	near(cop_student_quantile(0.975, 1e8), 1.9599639845, 1e-7);
	near(cop_student_cdf(-2.5, 3), 0.0438533235040328, 1e-12);
	near(cop_student_cdf(-10, 5), 8.54737878714818e-5, 1e-12);
	near(cop_student_cdf(-40, 9), 9.49149922466991e-12, 1e-12);
	near(cop_student_cdf(-0.1, 7.5), 0.461482666033895, 1e-12);
	near(cop_student_cdf(-6, 1000), 1.37768458668873e-9, 1e-12);
	near(cop_student_cdf(-1e5, 2), 4.99999999925e-11, 1e-11);
	near(cop_student_cdf(2.5, 3), 1 - 0.0438533235040328, 1e-15);
	/* one degree is Cauchy's distribution */
	for (double t = -30; t < 30; t += 0.37)
		near(cop_student_cdf(t, 1), 0.5 + atan(t) / M_PI, 1e-13);
	assert_true(cop_student_cdf(INFINITY, 3) == 1 && cop_student_cdf(-INFINITY, 3) == 0);
	assert_true(isnan(cop_student_cdf(NAN, 3)) && isnan(cop_student_cdf(1, 0)) && isnan(cop_student_cdf(1, -2)));
	assert_true(isnan(cop_student_quantile(0, 3)) && isnan(cop_student_quantile(1, 3)));
	assert_true(isnan(cop_student_quantile(0.9, NAN)));
}

static void test_estimates(void **state)
{
	(void)state;
	const double v[] = {98.1, 98.3, NAN, 97.9, 98.4, 98.3};
	struct cop_estimate e = cop_estimate_of(v, 6);
	assert_int_equal(e.n, 5);
	near(e.mean, 98.2, 1e-14);
	near(e.sd, 0.2, 1e-12);
	near(e.half, 2.7764451052 * 0.2 / sqrt(5), 1e-9);
	/* what is large and near each other keeps its deviation */
	const double large[] = {1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16};
	near(cop_estimate_of(large, 4).sd, sqrt(30), 1e-12);
	e = cop_estimate_of(v, 1);
	assert_true(e.n == 1 && e.mean == 98.1 && isnan(e.sd) && isnan(e.half));
	e = cop_estimate_of(v + 2, 1);
	assert_true(e.n == 0 && isnan(e.mean) && isnan(e.sd) && isnan(e.half));
	e = cop_estimate_of((double[]){5, 5, 5}, 3);
	assert_true(e.mean == 5 && e.sd == 0 && e.half == 0);
}

static void test_differences(void **state)
{
	(void)state;
	/* Welch's formulas by hand: variances 2.5 / 5 and 40 / 5 */
	const double x[] = {1, 2, 3, 4, 5}, y[] = {-2, 2, 6, 10, 14};
	struct cop_estimate a = cop_estimate_of(x, 5), b = cop_estimate_of(y, 5);
	struct cop_difference d = cop_difference_of(&a, &b);
	near(d.mean, -3, 1e-14);
	near(d.freedom, 8.5 * 8.5 / (0.25 / 4 + 64.0 / 4), 1e-12);
	near(d.half, cop_student_quantile(0.975, d.freedom) * sqrt(8.5), 1e-12);
	near(d.p, 2 * cop_student_cdf(-3 / sqrt(8.5), d.freedom), 1e-12);
	/* where the interval ends at 0, so does what 5% of equal means show */
	a.mean = b.mean + d.half;
	near(cop_difference_of(&a, &b).p, 0.05, 1e-9);
	/* samples of one size and deviation: Student's own test */
	b.sd = a.sd;
	near(cop_difference_of(&a, &b).freedom, 8, 1e-12);
	b = cop_estimate_of(y, 1);
	d = cop_difference_of(&a, &b);
	assert_true(isfinite(d.mean) && isnan(d.half) && isnan(d.p) && isnan(d.freedom));
	a = b = cop_estimate_of((double[]){1, 1}, 2);
	d = cop_difference_of(&a, &b);
	assert_true(d.mean == 0 && d.half == 0 && d.p == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_elsewhere),
		cmocka_unit_test(test_estimates),
		cmocka_unit_test(test_differences),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
