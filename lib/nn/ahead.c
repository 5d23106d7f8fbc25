/* Ahead of the step or in it; see ahead.h. */
#include "nn/ahead.h"

#include <string.h>

/*
 * The first steps of a window find what the other kind left. A window has so many steps that count and lasts so long.
 * It is worth trying where a batch takes SHARE of the step, and longer than handing it over might; and it is worth
 * having where the steps are GAIN faster.
 */
enum { PASSED_OVER = 4, STEPS = 6 };
#define WINDOW 0.04
#define SHARE 0.02
#define HAND_OVER 100e-6
#define GAIN 0.98

void cop_ahead_init(struct cop_ahead *a)
{
	*a = (struct cop_ahead){0};
}

static double median3(const double *v)
{
	double low = v[0] < v[2] ? v[0] : v[2], high = v[0] < v[2] ? v[2] : v[0];
	return v[4] < low ? low : v[4] > high ? high : v[4];
}

static void settle(struct cop_ahead *a, bool ahead)
{
	a->settled = true;
	a->ahead = ahead;
}

static void end_window(struct cop_ahead *a, int steps)
{
	double mean = a->sum / steps, waited = a->waited / steps;
	a->sum = a->waited = 0;
	a->steps = 0;
	if (!a->trying) {
		a->trying = waited > HAND_OVER && waited > SHARE * mean;
		if (!a->trying) {
			settle(a, false);
			return;
		}
	}
	a->mean[a->window++] = mean;
	a->ahead = a->window % 2;
	if (a->window == COP_AHEAD_WINDOWS)
		settle(a, median3(a->mean + 1) < GAIN * median3(a->mean));
}

bool cop_ahead_step(struct cop_ahead *a, double seconds, double waited)
{
	if (a->settled || ++a->steps <= PASSED_OVER)
		return a->ahead;
	a->sum += seconds;
	a->waited += waited;
	int steps = a->steps - PASSED_OVER;
	if (steps >= STEPS && a->sum >= WINDOW)
		end_window(a, steps);
	return a->ahead;
}
