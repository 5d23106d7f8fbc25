/* Where in one arena buffers lie that live at different times: those whose lives do not meet may share memory. */
#ifndef COP_NN_ARENA_H
#define COP_NN_ARENA_H

#include <stddef.h>

struct cop_life {
	size_t size;   /* in floats */
	int from, to;  /* lives at the times from..to, both included; from > to: never */
	size_t offset; /* where it was put: a multiple of 16 */
};

/* Places them, the largest first, each at the lowest place that is free for its time. Returns the arena's size. */
size_t cop_arena_place(struct cop_life *b, size_t n);

#endif
