/*
 * How many threads are worth having just now. On a machine that others use too, threads that wait for each other
 * several times a step can be slower than one thread alone, by a factor of a hundred: while one is off its processor,
 * the rest wait. Since the bits of a result do not depend on the number of threads, it may change from step to step: a
 * pace tries half as many and twice as many now and then, and keeps what is fastest.
 */
#ifndef COP_COMPUTE_PACE_H
#define COP_COMPUTE_PACE_H

#include <stdbool.h>

struct cop_pace {
	int most, threads;   /* at most; now */
	int before;          /* while trying: the number to go back to; 0: not trying */
	bool down_next;      /* which way the next try goes */
	double usual;        /* seconds a step at `threads`, or at `before` while trying; 0: not known yet */
	double sum;          /* of the window under way */
	int steps;           /* in it */
	double since, pause; /* seconds of stepping since the last try; how many before the next */
};

/* Begins with `most` threads. */
void cop_pace_init(struct cop_pace *p, int most);

/* A step took `seconds`. Returns how many threads the next one is to have. */
int cop_pace_step(struct cop_pace *p, double seconds);

#endif
