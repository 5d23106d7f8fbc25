/* How far packing is: the progress line with images a second and the time that is left. */
#ifndef COP_DATA_ADVANCE_H
#define COP_DATA_ADVANCE_H

#include <stddef.h>

struct cop_advance {
	const char *what; /* the split */
	size_t total;     /* images */
	double started, told;
};

void cop_advance_begin(struct cop_advance *a, const char *what, size_t total);

/* `done` images are packed; says so a few times a second, whatever the caller's pace. */
void cop_advance(struct cop_advance *a, size_t done);
void cop_advance_end(struct cop_advance *a);

#endif
