/*
 * The CUDA module for tests of what is built on it: the one in $COPPICE_MODULES, or else the one for the host, which is
 * made beside the tests. A program opens one precision; module_again() runs it anew for another.
 */
#ifndef COP_TESTS_MODULE_H
#define COP_TESTS_MODULE_H

#include "compute/backend.h"

/* For the group's setup: opens; says why not where it cannot, and returns -1. Tests that follow count on it. */
int module_open(enum cop_precision precision);

/* The module's backend, and whether the host stands in for the GPU. */
const struct cop_backend *module_backend(void);
bool module_is_emulated(void);

/*
 * The same backend with an eye on it: what is allocated and may hold anything (activations, statistics, workspace)
 * starts as NaN; calls are counted; an allocation can be made to fail.
 */
const struct cop_backend *module_watched(void);
struct module_watch {
	int allocations, records, replays;
	int fail_at; /* the allocation, counted from 0, that fails; -1: none */
};
extern struct module_watch module_watch;

/* Bytes of the device that are taken. */
size_t module_bytes_used(void);

/* Runs this program with one argument; its exit code. */
int module_again(const char *argument);

#endif
