/*
 * RAPL: the counters of energy that processors keep, one a package, as Linux shows them below /sys/class/powercap
 * (Documentation/power/powercap in its sources). Only whole packages are read: what is below them (cores, memory) is a
 * part of them, and 'psys' is all of the board.
 */
#ifndef COP_BASE_RAPL_H
#define COP_BASE_RAPL_H

#include <stdint.h>

enum { COP_RAPL_MAX = 64 };

struct cop_rapl_package {
	char *path;           /* of energy_uj */
	uint64_t range, last; /* microjoules: the counter runs from 0 to range */
};

struct cop_rapl {
	struct cop_rapl_package package[COP_RAPL_MAX];
	int n;      /* that can be read; 0 where any of those found cannot be: a part of them would say nothing */
	int closed; /* found, but not for this user to read */
	double joules;
};

/* Finds the packages below $COPPICE_POWERCAP or /sys/class/powercap and begins to count. Release it. */
void cop_rapl_open(struct cop_rapl *r);
void cop_rapl_release(struct cop_rapl *r);

/* Joules of all packages since the beginning; NaN where none can be read, or could not at some time since. */
double cop_rapl_read(struct cop_rapl *r);

#endif
