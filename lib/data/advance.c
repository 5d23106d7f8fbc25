/* The progress of packing; see advance.h. */
#include "data/advance.h"

#include "base/log.h"

#include <math.h>
#include <stdio.h>

static const double pause = 0.1, settled = 0.5; /* seconds between two lines, and before the pace is believed */

void cop_advance_begin(struct cop_advance *a, const char *what, size_t total)
{
	*a = (struct cop_advance){.what = what, .total = total, .started = cop_now()};
}

static void tell_time(char *to, size_t size, double seconds)
{
	long minutes = lround(seconds / 60);
	if (seconds < 90)
		snprintf(to, size, "%.0f s", ceil(seconds));
	else if (minutes < 90)
		snprintf(to, size, "%ld min", minutes);
	else
		snprintf(to, size, "%ld h %02ld min", minutes / 60, minutes % 60);
}

void cop_advance(struct cop_advance *a, size_t done)
{
	double now = cop_now(), spent = now - a->started;
	if (now - a->told < pause || done == 0 || done >= a->total)
		return;
	a->told = now;
	char left[40];
	double pace = (double)done / spent;
	tell_time(left, sizeof(left), (double)(a->total - done) / pace);
	if (spent < settled)
		cop_progress("packing", (double)done, (double)a->total, "%s", a->what);
	else
		cop_progress("packing", (double)done, (double)a->total, "%s, %.0f images/s, %s left", a->what, pace,
			     left);
}

void cop_advance_end(struct cop_advance *a)
{
	cop_progress("packing", 1, 1, "%s", a->what);
}
