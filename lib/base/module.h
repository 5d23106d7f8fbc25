/*
 * Loadable modules: coppice-NAME.so, looked for in $COPPICE_MODULES, beside the program, and in ../lib/coppice. A
 * module exports one object whose first member is its interface version.
 */
#ifndef COP_BASE_MODULE_H
#define COP_BASE_MODULE_H

#include "base/err.h"

#include <stdbool.h>

struct cop_module_header {
	unsigned version;  /* of the table's layout; must equal the caller's */
	const char *about; /* one line: what it was built against */
};

/*
 * Opens module `name` and finds `symbol` in it (a struct that starts with a cop_module_header of `version`). The module
 * stays open until the program ends. COP_EMISSING, naming where was looked or what the loader said.
 */
int cop_module_open(const char *name, const char *symbol, unsigned version, const void **table, struct cop_err *err)
	COP_CHECKED;

/* Whether the loader finds a library of this name ("libcuda.so.1"), which then stays open. */
bool cop_library_here(const char *name);

#endif
